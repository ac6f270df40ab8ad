"""Processes that compute: how many and on which devices, how they are set up, and how they end.

A lock of the operating system (`filelock`), not a process id, says whether a process lives: it goes
when its process goes, however that ends. A JSON file beside it names the process. One that has just
been started has no lock yet; until then its id and its time of birth (`psutil`) stand for it.
"""

import ctypes
import errno
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
import torch
from filelock import FileLock, Timeout
from joblib import Parallel, cpu_count
from joblib.externals.loky import get_reusable_executor

from hmrm_lab.errors import ConfigError, InputError
from hmrm_lab.runtime.store import nearest_folder, read_json, to_json, write_atomic

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
LARGE = 2**30
WATCH_SECONDS = 0.5
LIBRARIES = ("OMP", "MKL", "OPENBLAS", "NUMBA")
ONE_THREAD = {
    **{f"{library}_NUM_THREADS": "1" for library in LIBRARIES},
    "VECLIB_MAXIMUM_THREADS": "1",
    "OPENCV_FOR_THREADS_NUM": "1",
}  # the environment of a worker
NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})
SAME_BIRTH_S = 2.0  # two readings of one birth differ where the clock was set meanwhile


def settle_process(device: str = "cpu") -> None:
    """Set up a process that trains: two threads are slower than one on models of this size.

    Recorded steps go to the current CUDA device. There products are in float32, not in TF32, and
    the same input gives the same gradients wherever torch has such a kernel.
    """
    torch.set_num_threads(1)
    keep_memory()
    if device.startswith("cuda"):
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read with the first product
        torch.cuda.set_device(torch.device(device))
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        torch.backends.cudnn.deterministic = True
        torch.use_deterministic_algorithms(True, warn_only=True)


@cache
def keep_memory() -> None:
    """Keep freed memory for the next step.

    glibc hands blocks of a megabyte, which every step makes by the hundred, back to the system and
    fetches them anew, which costs more than the arithmetic on them.
    """
    with suppress(OSError):  # another C library, with other habits
        malloc = ctypes.CDLL("libc.so.6")
        malloc.mallopt(M_MMAP_THRESHOLD, LARGE)
        malloc.mallopt(M_TRIM_THRESHOLD, LARGE)


def parse_devices(text: str) -> tuple[str, ...]:
    """`cuda:0,cuda:1` as its parts; `cuda` is the first card."""
    devices = tuple(part.strip() for part in text.split(","))
    for device in devices:
        check_device(device)
    devices = tuple("cuda:0" if device == "cuda" else device for device in devices)
    if len({device.partition(":")[0] for device in devices}) > 1:
        problem = f"'{text}' mixes kinds of devices, which round differently"
        raise ConfigError(problem, hint="take cpu alone, or cuda devices alone")
    return devices


def check_device(device: str) -> None:
    """A `ConfigError` for a device that this machine does not have."""
    kind, _, number = device.partition(":")
    known = number == "" or (number.isdecimal() and int(number) < torch.cuda.device_count())
    if device != "cpu" and not (kind == "cuda" and torch.cuda.is_available() and known):
        raise ConfigError(f"no device '{device}' here", hint="take cpu; see `hmrm doctor`")


def count_cores() -> int:
    """Count the cores that this process may use: of a shared machine not all."""
    return int(cpu_count())


def count_jobs(jobs: int, devices: tuple[str, ...] = ("cpu",)) -> int:
    """Read `--jobs`: 0 is one process per core, or one per CUDA device."""
    if jobs < 0:
        raise InputError(f"{jobs} jobs", hint="take one or more, or 0 for one per core")
    return jobs or (count_cores() if devices == ("cpu",) else len(devices))


def settle_worker(parent: int) -> None:
    """Set up a process that works for `parent`: it leaves Ctrl-C to that one, and ends with it."""

    def end_with_parent() -> None:  # which cannot tell its children where it was killed
        while os.getppid() == parent and is_alive(parent):  # Windows keeps the id of a dead one
            time.sleep(WATCH_SECONDS)
        os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=end_with_parent, daemon=True).start()
    settle_process()


def workers(jobs: int, return_as: str = "list") -> Parallel:
    """A pool of processes that end with this one; a single one is this one itself.

    Arrays are handed over whole: as memory-mapped files they could not be written to.
    """
    if jobs <= 1:
        return Parallel(n_jobs=1, return_as=return_as)
    theirs: dict[str, Any] = {"initializer": settle_worker, "initargs": (os.getpid(),)}
    return Parallel(n_jobs=jobs, return_as=return_as, max_nbytes=None, **theirs)


def end_preparation_workers() -> None:
    """Let the processes that prepared the maps go: they idle on, and hold memory."""
    get_reusable_executor(kill_workers=True).shutdown(wait=False, kill_workers=True)


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Processes begun in here do not hear of Ctrl-C while they start; this one does afterwards."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def is_alive(process: int) -> bool:
    """Whether a process of this machine lives; one that only its parent still lists does not."""
    try:
        return psutil.Process(process).status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:  # it is there, and another user's
        return True


@dataclass(frozen=True)
class Worker:
    """A process that holds a lock, and its number in the queue if it stands in one."""

    process: int
    host: str
    born: float  # seconds since 1970
    number: int = 0

    @classmethod
    def of(cls, process: int, number: int = 0) -> "Worker":
        return cls(process, socket.gethostname(), psutil.Process(process).create_time(), number)

    @property
    def is_here(self) -> bool:
        return self.host == socket.gethostname()

    def lives(self) -> bool:
        """Whether it is here and lives; another process with the same id is not it."""
        with suppress(psutil.NoSuchProcess):  # it ends at this moment
            if self.is_here and is_alive(self.process):
                born = float(psutil.Process(self.process).create_time())
                return abs(born - self.born) < SAME_BIRTH_S
        return False


@contextmanager
def guard(folder: Path) -> Iterator[None]:
    """Let one process at a time look at the locks of this folder, or take one."""
    folder.mkdir(parents=True, exist_ok=True)
    with _acquire(folder / "guard", wait=True):
        yield


@contextmanager
def held(lock: Path, number: int = 0) -> Iterator[None]:
    """Hold this lock; an `InputError` names the process that holds it already."""
    with guard(lock.parent):
        try:
            taken = _acquire(lock, wait=False)
        except Timeout:
            other = _read_worker(lock)
            who = f"process {other.process} on {other.host}" if other else "another process"
            hint = "wait until it has ended, or stop it there"
            raise InputError(f"{who} works in {lock.parent}", hint=hint) from None
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
    worker = _read_worker(lock)
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


def _read_worker(lock: Path) -> Worker | None:
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
        problem = f"this disk has no file locks ({error.strerror})"
        hint = "choose a folder on another disk, such as a local one"
        raise InputError(problem, hint=hint) from None
    return made
