"""Pools of worker processes."""

import os

import numpy as np
import pytest
import torch
from joblib import delayed

from hmrm_lab.runtime.processes import parse_devices, settle_process, workers


def add_one(large: np.ndarray) -> tuple[float, int]:
    large += 1
    return float(large.sum()), os.getppid()


def test_workers_are_given_arrays_of_their_own() -> None:
    large = np.zeros((2000, 600), np.float32)
    answers = workers(2)(delayed(add_one)(large) for _ in range(4))
    assert answers == [(large.size, os.getpid())] * 4
    assert not large.any()


def test_a_card_is_named_by_its_number_and_computes_as_a_cpu_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Torch takes no card without a number as the current one; TF32 would round otherwise."""
    chosen: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    assert parse_devices("cuda") == ("cuda:0",)
    assert parse_devices("cuda:0, cuda:1") == ("cuda:0", "cuda:1")
    try:
        settle_process("cuda:1")
        assert chosen == [torch.device("cuda:1")]
        assert not torch.backends.cudnn.allow_tf32
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.use_deterministic_algorithms(False)
