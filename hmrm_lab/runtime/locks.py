"""Locks on files, which say whether a process lives, and which one it is.

A lock of the operating system (`filelock`), not a process id, is to be trusted: it goes when its
process goes, however that ends. A JSON file beside it names the process. One that has just been
started has no lock yet; until then its id and its time of birth (`psutil`) stand for it.
"""

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
from filelock import FileLock, Timeout

from hmrm_lab.errors import InputError
from hmrm_lab.runtime.processes import is_alive
from hmrm_lab.runtime.store import nearest_folder, read_json, to_json, write_atomic

NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})
SAME_BIRTH_S = 2.0  # two readings of one birth differ where the clock was set meanwhile


@dataclass(frozen=True)
class Worker:
    """A process that holds a lock, and its number in the queue if it stands in one."""

    process: int
    host: str
    born: float  # seconds since 1970
    number: int = 0

    @classmethod
    def of(cls, process: int, number: int = 0) -> "Worker":
        """Describe a living process of this machine."""
        return cls(process, socket.gethostname(), psutil.Process(process).create_time(), number)

    @property
    def is_here(self) -> bool:
        """Whether it is a process of this machine."""
        return self.host == socket.gethostname()

    def lives(self) -> bool:
        """Whether it is here and lives; another process with the same id is not it."""
        if not self.is_here or not is_alive(self.process):
            return False
        try:
            born = float(psutil.Process(self.process).create_time())
        except psutil.NoSuchProcess:
            return False
        return abs(born - self.born) < SAME_BIRTH_S


@contextmanager
def guard(folder: Path) -> Iterator[None]:
    """Let one process at a time look at the locks of this folder, or take one."""
    folder.mkdir(parents=True, exist_ok=True)
    with _acquire(folder / "guard", wait=True):
        yield


@contextmanager
def held(lock: Path, number: int = 0) -> Iterator[None]:
    """Hold this lock as long as the work in its folder lasts.

    Raises
    ------
    InputError
        If a process holds it already, which is named; or if the disk has no file locks.
    """
    with guard(lock.parent):
        try:
            taken = _acquire(lock, wait=False)
        except Timeout:
            other = read_worker(lock)
            who = f"process {other.process} on {other.host}" if other else "another process"
            raise InputError(
                f"{who} works in {lock.parent}", hint="wait until it has ended, or stop it there"
            ) from None
        write_worker(lock, Worker.of(os.getpid(), number))
    with taken:
        try:
            yield
        finally:
            _worker_file(lock).unlink(missing_ok=True)


def check_locks(folder: Path) -> None:
    """Refuse a disk without file locks, before the work in this folder begins."""
    with TemporaryDirectory(dir=nearest_folder(folder)) as made:
        _acquire(Path(made) / "lock", wait=False).release()


def holder(lock: Path) -> Worker | None:
    """The living process that holds this lock, if there is one; looking changes nothing."""
    if not lock.is_file() and not _worker_file(lock).is_file():
        return None
    with guard(lock.parent):
        return worker_of(lock)


def worker_of(lock: Path) -> Worker | None:
    """The living process that holds this lock, if there is one. Call it under the guard."""
    worker = read_worker(lock)
    if worker is None or worker.lives():
        return worker
    try:
        _acquire(lock, wait=False).release()
    except Timeout:  # of another machine, or the clock was set
        return worker
    return None


def write_worker(lock: Path, worker: Worker) -> None:
    """Record who holds this lock, or is about to take it."""
    write_atomic(_worker_file(lock), to_json(asdict(worker)))


def read_worker(lock: Path) -> Worker | None:
    """Who holds this lock, or held it when it was killed."""
    file = _worker_file(lock)
    return Worker(**read_json(file)) if file.is_file() else None


def _worker_file(lock: Path) -> Path:
    return lock.parent / f"{lock.name}.json"


def _acquire(lock: Path, *, wait: bool) -> FileLock:
    """A lock that is held; `Timeout` where it is held already and may not be waited for."""
    made = FileLock(lock, fallback_to_soft=False)
    try:
        made.acquire(blocking=wait)
    except OSError as error:
        if isinstance(error, Timeout) or error.errno not in NO_LOCKS:
            raise
        raise InputError(
            f"this disk has no file locks ({error.strerror})",
            hint="choose a folder on another disk, such as a local one",
        ) from None
    return made
