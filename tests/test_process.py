"""Pools of worker processes."""

import os

import numpy as np
from joblib import delayed

from hmrm_lab.runtime.processes import workers


def add_one(large: np.ndarray) -> tuple[float, int]:
    large += 1
    return float(large.sum()), os.getppid()


def test_workers_are_given_arrays_of_their_own() -> None:
    large = np.zeros((2000, 600), np.float32)
    answers = workers(2)(delayed(add_one)(large) for _ in range(4))
    assert answers == [(large.size, os.getpid())] * 4
    assert not large.any()
