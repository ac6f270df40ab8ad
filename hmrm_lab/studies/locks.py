"""Locks of the operating system on files, which say whether a process lives, and who it is.

Such a lock, not a process id, is to be trusted: it goes when its process goes, however that ends,
and no other process can be taken for it. Linux and macOS have such locks.
"""

import errno
import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from hmrm_lab.errors import InputError
from hmrm_lab.runtime.store import nearest_folder, parse_json

NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})
GUARD = "guard"  # of a folder, held for the moment in which somebody looks at its locks


@dataclass(frozen=True)
class Worker:
    """Who holds a lock, and its number in the queue if it stands in one."""

    process: int
    host: str
    number: int = 0


@contextmanager
def guard(folder: Path) -> Iterator[None]:
    """One at a time looks at the locks of this folder, for the moment that this takes."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / GUARD, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _lock(handle, wait=True)
        yield
    finally:
        os.close(handle)


@contextmanager
def held(lock: Path) -> Iterator[None]:
    """Hold this lock as long as the work in its folder lasts.

    Windows has no such locks: there nothing keeps a second process off.

    Raises
    ------
    InputError
        If it is held already; it names the process and its host.
    """
    if find_spec("fcntl") is None:
        yield
        return
    handle = _take(lock)
    try:
        yield
    finally:
        os.close(handle)


def check_locks(folder: Path) -> None:
    """Refuse a disk without file locks, before the work in this folder begins."""
    if find_spec("fcntl") is not None:
        with TemporaryFile(dir=nearest_folder(folder)) as file:
            try_lock(file.fileno())


def holder(lock: Path) -> Worker | None:
    """The living process that holds this lock, if there is one; nothing is begun by looking."""
    if not lock.is_file():
        return None
    with guard(lock.parent):
        return worker_of(lock)


def worker_of(lock: Path) -> Worker | None:
    """The living process that holds this lock, if there is one. Call it under the guard."""
    if not lock.is_file():
        return None
    handle = os.open(lock, os.O_RDWR)
    try:
        return None if try_lock(handle) else _parse(os.pread(handle, 4096, 0).decode())
    finally:
        os.close(handle)


def try_lock(handle: int) -> bool:
    """Whether this process has now locked the open file."""
    try:
        _lock(handle, wait=False)
    except BlockingIOError:
        return False
    return True


def write_worker(handle: int, worker: Worker) -> None:
    """Say in the open file who holds it."""
    text = json.dumps(vars(worker)).encode()
    os.ftruncate(handle, 0)
    os.pwrite(handle, text, 0)


def read_worker(lock: Path) -> Worker:
    """Who holds this lock, or held it last."""
    return _parse(lock.read_text(encoding="utf-8"))


def _take(lock: Path) -> int:
    """The open file, which this process holds until it closes it."""
    with guard(lock.parent):
        if other := worker_of(lock):
            raise InputError(
                f"process {other.process} on {other.host} works in {lock.parent}",
                mend="wait until it has ended, or stop it there",
            )
        handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
        try_lock(handle)
        write_worker(handle, Worker(os.getpid(), socket.gethostname()))
    return handle


def _lock(handle: int, *, wait: bool) -> None:
    try:
        import fcntl
    except ImportError:
        raise InputError(
            "runs in the background need Linux or macOS", mend="use `hmrm run`, or run_experiment"
        ) from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        raise InputError(
            f"this disk has no file locks ({error.strerror})",
            mend="choose a folder on another disk, such as a local one",
        ) from None


def _parse(text: str) -> Worker:
    """What a lock says; an empty one belongs to a process that nobody knows yet."""
    known: Mapping[str, Any] = parse_json(text) if text else {}
    return Worker(known.get("process", 0), known.get("host", ""), known.get("number", 0))
