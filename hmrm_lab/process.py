"""How a process that computes is set up: one thread, and memory that is kept for the next step."""

import ctypes
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch

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


def settle_process() -> None:
    """Call once in a process before it trains; calling it again changes nothing.

    Two threads are slower than one on models of this size.
    """
    torch.set_num_threads(1)
    keep_memory()


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
