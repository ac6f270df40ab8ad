"""How a process that computes is set up: one thread, and memory that is kept for the next step."""

import ctypes
from functools import cache

import torch

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
LARGE = 2**30


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
