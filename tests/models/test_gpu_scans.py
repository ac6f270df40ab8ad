"""The scans of GPUs: in an interpreter, by a stand-in, and as they are where there is a GPU."""

import os
import subprocess
import sys
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from models.scan_cases import check_agreement, random_case
from torch import Tensor

from hmrm_lab.errors import ConfigError
from hmrm_lab.models.scan import scan_groups, selective_scan
from hmrm_lab.models.scan.fused import mamba_ssm_scan
from hmrm_lab.models.scan.loop import scan_reference


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_hundred_random_shapes_agree_on_a_gpu_twice_alike() -> None:
    for number in range(100):
        arguments, reverse = random_case(number)
        scan = partial(selective_scan, reverse=reverse, backend="cuda")
        first = check_agreement(scan, arguments, reverse, device="cuda")
        again = check_agreement(scan, arguments, reverse, device="cuda")
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_the_kernels_for_a_gpu_agree_in_the_interpreter() -> None:
    pytest.importorskip("triton", reason="Triton has no interpreter on this machine")
    program = Path(__file__).with_name("interpreted_scan.py")
    folders = os.pathsep.join(map(str, program.parents[1:3]))
    environment = {**os.environ, "PYTHONPATH": folders}
    done = subprocess.run(
        [sys.executable, program, "30"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == [str(number) for number in range(30)]


def test_mamba_ssm_is_handed_what_its_interface_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in follows the interface's description: u (B, D, L), A (D, N), B (B, N, L)."""

    def stand_in(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor) -> Tensor:
        assert all(tensor.is_contiguous() for tensor in (u, delta, A, B, C))
        assert A.shape == (u.shape[1], B.shape[1])
        return scan_reference(u.mT, delta.mT, A, B.mT, C.mT, D).mT

    monkeypatch.setattr("hmrm_lab.models.scan.fused.from_mamba_ssm", lambda *_, option: stand_in)
    for number in range(30):
        arguments, reverse = random_case(number, longest=7)
        check_agreement(
            lambda *tensors, turns=reverse: scan_groups(mamba_ssm_scan, tensors, turns),
            arguments,
            reverse,
        )


def test_mamba_ssm_that_is_missing_is_one_sentence() -> None:
    if find_spec("mamba_ssm"):
        pytest.skip("mamba-ssm is here")
    with pytest.raises(ConfigError, match=r"needs the package mamba-ssm .*requirements-gpu"):
        mamba_ssm_scan(*(torch.zeros(1, 1, 1) for _ in range(6)), [False])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_mamba_ssm_agrees_on_a_gpu() -> None:
    pytest.importorskip("mamba_ssm", reason="mamba-ssm is not installed")
    for number in range(100):
        arguments, reverse = random_case(number)
        scan = partial(selective_scan, reverse=reverse, backend="mamba_ssm")
        check_agreement(scan, arguments, reverse, device="cuda")
