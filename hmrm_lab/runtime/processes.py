"""Processes that compute: how many and on which devices, how they are set up, and how they end."""

import ctypes
import gc
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import psutil
import torch
from joblib import Parallel, cpu_count
from joblib.externals.loky import get_reusable_executor

from hmrm_lab.errors import ConfigError, InputError

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
LARGE = 2**30
WATCH_SECONDS = 0.5
ONE_THREAD = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "MKL_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
        "NUMBA_NUM_THREADS",
        "OPENCV_FOR_THREADS_NUM",
    ),
    "1",
)  # the environment of a worker


def settle_process(device: str = "cpu") -> None:
    """Call in a process before it trains; calling it again changes nothing.

    Two threads are slower than one on models of this size. Kernels of our own, and recorded steps,
    go to the current CUDA device, which is therefore the one that is named.
    """
    torch.set_num_threads(1)
    keep_memory()
    if device.startswith("cuda"):
        torch.cuda.set_device(torch.device(device))


def release_memory(device: str) -> None:
    """Give back what torch holds of a CUDA device and does not use."""
    if device.startswith("cuda"):
        gc.collect()
        torch.cuda.empty_cache()


def parse_devices(text: str) -> tuple[str, ...]:
    """`cuda:0,cuda:1` as its parts, each of which this machine has; else a `ConfigError`."""
    devices = tuple(part.strip() for part in text.split(","))
    for device in devices:
        check_device(device)
    if len({device.partition(":")[0] for device in devices}) > 1:
        raise ConfigError(
            f"'{text}' mixes kinds of devices, which round differently",
            hint="take cpu alone, or cuda devices alone",
        )
    return devices


def check_device(device: str) -> None:
    """Refuse a device that this machine does not have."""
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


def is_alive(process: int) -> bool:
    """Whether a process of this machine lives; one that only its parent still lists does not."""
    try:
        return psutil.Process(process).status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:  # it is there, and another user's
        return True


@cache
def keep_memory() -> None:
    """Keep freed memory for the next step.

    glibc hands blocks of a megabyte, which every step makes by the hundred, back to the system and
    fetches them anew, which costs more than the arithmetic on them.
    """
    try:
        malloc = ctypes.CDLL("libc.so.6")
    except OSError:  # another C library, with other habits
        return
    malloc.mallopt(M_MMAP_THRESHOLD, LARGE)
    malloc.mallopt(M_TRIM_THRESHOLD, LARGE)


def settle_worker(parent: int) -> None:
    """Set up a process that works for `parent`: it leaves Ctrl-C to that one, and ends with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
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


def _end_with(parent: int) -> None:
    """A parent that was killed cannot tell its children."""
    while os.getppid() == parent and is_alive(parent):  # Windows keeps the id of a dead parent
        time.sleep(WATCH_SECONDS)
    os._exit(1)
