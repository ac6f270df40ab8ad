"""How a process that computes is set up: one thread, and memory that is kept for the next step."""

import ctypes
import gc
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch
from joblib import Parallel

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


def is_alive(process: int) -> bool | None:
    """Whether a process of this machine lives; None where a system does not say (Windows)."""
    if os.name == "nt":
        return None
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is there, and another user's
        return True
    return not _ended(process)


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


def _ended(process: int) -> bool:
    """Whether a process that Linux still lists has ended, and only its parent has not heard."""
    try:
        told = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:  # another system, or it is gone at this moment
        return False
    return told.rpartition(")")[2].split()[0] in ("Z", "X")


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
    while os.getppid() == parent:
        time.sleep(WATCH_SECONDS)
    os._exit(1)
