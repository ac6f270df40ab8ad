"""The background runs of one folder: who works on which, in which order, and what they say.

```
OUT/.background/
    guard         locked for the moment in which somebody looks, or starts a process
    <run>.lock    locked by the process of the run as long as it lives; says who it is
    <run>.toml    its settings
    <run>.json    what it says of itself
    <run>.log     what it prints
```

A lock of the operating system, not a process id, says whether a process lives: the lock goes when
its process goes, however that ends, and no other process can be taken for it. The process is born
with the lock, so that two starts never make two processes. Linux and macOS have such locks.
"""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hmrm_lab.errors import InputError
from hmrm_lab.store import RunFolder, parse_json, read_json, to_json, write_atomic

FOLDER = ".background"


@dataclass(frozen=True)
class Worker:
    """The process of a run, and its number in the queue."""

    process: int
    host: str
    number: int


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
        if not self.lock.is_file():
            return None
        handle = os.open(self.lock, os.O_RDWR)
        try:
            return None if _try_lock(handle) else _read(handle)
        finally:
            os.close(handle)

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
            if not _try_lock(handle):
                raise RuntimeError(f"{self.name} is run already")
            numbers = [_number(lock) for lock in self.folder.glob("*.lock")]
            mine = Worker(0, socket.gethostname(), max(numbers) + 1)
            _write(handle, mine)
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
            _write(handle, Worker(process.pid, mine.host, mine.number))
        finally:
            os.close(handle)  # the process has its own, and with it the lock
        return process


@contextmanager
def guard(folder: Path) -> Iterator[None]:
    """One at a time looks at the locks of this folder, for the moment that this takes."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / "guard", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _lock(handle, wait=True)
        yield
    finally:
        os.close(handle)


def _try_lock(handle: int) -> bool:
    try:
        _lock(handle, wait=False)
    except BlockingIOError:
        return False
    return True


def _lock(handle: int, *, wait: bool) -> None:
    try:
        import fcntl
    except ImportError:
        raise InputError(
            "runs in the background need Linux or macOS", mend="use `hmrm run`, or run_experiment"
        ) from None
    fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))


def _write(handle: int, worker: Worker) -> None:
    text = json.dumps(vars(worker)).encode()
    os.ftruncate(handle, 0)
    os.pwrite(handle, text, 0)


def _read(handle: int) -> Worker:
    return _parse(os.pread(handle, 4096, 0).decode())


def _number(lock: Path) -> int:
    return _parse(lock.read_text(encoding="utf-8")).number


def _parse(text: str) -> Worker:
    """What a lock says; an empty one belongs to a process that nobody knows yet."""
    known: Mapping[str, Any] = parse_json(text) if text else {}
    return Worker(known.get("process", 0), known.get("host", ""), known.get("number", 0))


def _environment() -> dict[str, str]:
    """That of this process; what it can import, the new one can."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
