"""The background runs of one folder: who works on which, in which order, and what they say.

```
OUT/.background/
    guard         locked for the moment in which somebody looks, or starts a process
    <run>.lock    locked by the process of the run as long as it lives; says who it is
    <run>.toml    its settings
    <run>.json    what it says of itself
    <run>.log     what it prints
```

A lock says whether a process lives (`locks`). The process is born with it, so that two starts never
make two processes.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hmrm_lab.runtime.store import RunFolder, read_json, to_json, write_atomic
from hmrm_lab.studies.locks import Worker, read_worker, try_lock, worker_of, write_worker

FOLDER = ".background"


@dataclass(frozen=True)
class Place:
    """The place of one run among those of its folder."""

    folder: Path
    name: str

    @classmethod
    def of(cls, run: RunFolder) -> "Place":
        return cls(run.path.parent / FOLDER, run.path.name)

    @property
    def lock(self) -> Path:
        return self.folder / f"{self.name}.lock"

    @property
    def settings(self) -> Path:
        return self.folder / f"{self.name}.toml"

    @property
    def words(self) -> Path:
        return self.folder / f"{self.name}.json"

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"

    def say(self, **words: str) -> None:
        """For the process of the run: `phase`, `note`, and in the end `ended` and `problem`."""
        write_atomic(self.words, to_json(words))

    def said(self) -> dict[str, str]:
        return dict(read_json(self.words)) if self.words.is_file() else {}

    def worker(self) -> Worker | None:
        """The living process of this run; None if there is none. Call it under the guard."""
        return worker_of(self.lock)

    def ahead(self) -> list[str]:
        """The living runs that were started before this one. Call it under the guard."""
        me, found = self.worker(), []
        for lock in sorted(self.folder.glob("*.lock")):
            other = Place(self.folder, lock.stem)
            worker = other.worker() if other.name != self.name else None
            if worker and (me is None or worker.number < me.number):
                found.append(other.name)
        return found

    def launch(self, command: Sequence[str]) -> "subprocess.Popen[bytes]":
        """Start the process of this run, which nobody runs, at the end of the queue.

        Call it under the guard. `command` is given the number of the open lock as its last
        argument, and lives in a session of its own: it outlives whoever starts it.
        """
        phase = "waiting" if self.ahead() else "preparing"
        handle = os.open(self.lock, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            if not try_lock(handle):
                raise RuntimeError(f"{self.name} is run already")
            numbers = [read_worker(lock).number for lock in self.folder.glob("*.lock")]
            mine = Worker(0, socket.gethostname(), max(numbers) + 1)
            write_worker(handle, mine)
            self.say(phase=phase)
            with self.log.open("wb") as log:
                process = subprocess.Popen(
                    [*command, str(handle)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    pass_fds=(handle,),
                    start_new_session=True,
                    env=_environment(),
                )
            write_worker(handle, Worker(process.pid, mine.host, mine.number))
        finally:
            os.close(handle)  # the process has its own, and with it the lock
        return process


def _environment() -> dict[str, str]:
    """That of this process; what it can import, the new one can."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
