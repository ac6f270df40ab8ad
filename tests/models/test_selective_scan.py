"""The scan against a naive loop, a closed form, and itself under the other implementation."""

import math
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
from models.scan_cases import check_agreement, draw, random_case
from torch import Tensor

from hmrm_lab.errors import ConfigError
from hmrm_lab.models.hmrm import fused_block
from hmrm_lab.models.scan import choose_backend, machine_code, selective_scan, vector_math
from hmrm_lab.models.scan.fused import fused_scan
from hmrm_lab.models.scan.loop import scan_loop, scan_reference

SCANS = [scan_reference, scan_loop]
FAST = ["loop", "fused"]


def naive(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, skip: Tensor) -> Tensor:
    """One number at a time, for (L, D) alone."""
    length, width = x.shape
    y = torch.zeros_like(x)
    for d in range(width):
        for n in range(A.shape[1]):
            h = 0.0
            for t in range(length):
                h = math.exp(dt[t, d] * A[d, n]) * h + dt[t, d] * B[t, n] * x[t, d]
                y[t, d] += C[t, n] * h
    return y + skip * x


@pytest.mark.parametrize("scan", SCANS)
@pytest.mark.parametrize("length", [1, 2, 7])
def test_scan_is_the_naive_loop(scan, length: int) -> None:
    torch.manual_seed(length)
    arguments = [tensor.detach() for tensor in draw((), length, 3, 4)]
    torch.testing.assert_close(scan(*arguments), naive(*arguments))


def test_loop_passes_gradcheck() -> None:
    torch.manual_seed(1)
    assert torch.autograd.gradcheck(scan_loop, draw((2,), 4, 3, 2))


@pytest.mark.parametrize("backend", FAST)
def test_a_hundred_random_shapes_agree_with_float64(backend: str) -> None:
    for number in range(100):
        arguments, reverse = random_case(number)
        check_agreement(
            lambda *tensors, turns=reverse: selective_scan(
                *tensors, reverse=turns, backend=backend
            ),
            arguments,
            reverse,
        )


@pytest.mark.parametrize("backend", [*FAST, "reference", "auto"])
def test_backwards_is_forwards_over_flipped_tokens(backend: str) -> None:
    torch.manual_seed(5)
    arguments = [a.detach().float() for a in draw((2, 3), 6, 4, 3, (2, 1))]
    x, dt, A, B, C, skip = arguments
    turned = (x.flip(-2), dt.flip(-2), A, B.flip(-2), C.flip(-2), skip)
    backwards = selective_scan(*arguments, reverse=True, backend=backend)
    torch.testing.assert_close(selective_scan(*turned, backend=backend).flip(-2), backwards)
    forwards = selective_scan(*arguments, backend=backend)
    both = selective_scan(*arguments, reverse=(False, True), backend=backend)
    torch.testing.assert_close(both, torch.stack([forwards[0], backwards[1]]))


def test_long_steps_forget_and_never_overflow() -> None:
    """exp(dt A) underflows to nothing; states stay what the last token made of them."""
    x, B, C = torch.ones(1, 3, 2), torch.ones(1, 3, 4), torch.ones(1, 3, 4)
    dt, A = torch.full((1, 3, 2), 50.0), torch.full((2, 4), -30.0)
    y = selective_scan(x, dt, A, B, C, torch.zeros(2), backend="fused")
    torch.testing.assert_close(y, torch.full_like(y, 50.0 * 4))


def test_machine_code_exponentials_are_exact() -> None:
    """To a few units in the last place of float32, over all that a training can meet."""
    x = np.linspace(-87, 87, 200_001, dtype=np.float32)
    functions = {
        vector_math.softplus: np.logaddexp(0, x.astype(np.float64)),
        vector_math.sigmoid: 1 / (1 + np.exp(-x.astype(np.float64))),
    }
    for function, exact in functions.items():
        ours = np.array([function(value) for value in x[::100]])
        np.testing.assert_allclose(ours, exact[::100], rtol=5e-7)
    below = x[x <= 0][::100]
    powers = {vector_math.exp: np.exp, vector_math.exp2: np.exp2}
    for function, exact in powers.items():
        ours = np.array([function(value) for value in below])
        np.testing.assert_allclose(ours, exact(below.astype(np.float64)), rtol=3e-7)
    small = np.geomspace(1e-9, 80, 2000, dtype=np.float32)
    ours = np.array([vector_math.complement(value) for value in small])
    np.testing.assert_allclose(ours, -np.expm1(-small.astype(np.float64)), rtol=5e-7)


def test_torch_sees_the_scan() -> None:
    torch.manual_seed(6)
    x, dt, A, B, C, skip = (a.detach().float() for a in draw((4,), 3, 5, 2, (4,)))
    arguments = [a.requires_grad_() for a in (x, dt, A.mT.contiguous(), B, C, skip)]
    torch.library.opcheck(fused_scan, (*arguments, [False, True, True, False]))


def test_shapes_that_do_not_fit_are_refused() -> None:
    x, dt, A, B, C, skip = (a.detach().float() for a in draw((4,), 3, 5, 2, (4,)))
    with pytest.raises(ValueError, match="do not go with x"):
        fused_scan(x, dt, A.mT, B[:, :2], C, skip, [False] * 4)


def test_the_backend_follows_the_tensor() -> None:
    assert choose_backend("auto", torch.zeros(1)) == "fused"
    assert choose_backend("auto", torch.zeros(1, dtype=torch.float64)) == "loop"
    assert choose_backend("auto", torch.zeros(1, device="meta")) == "loop"
    with pytest.raises(ConfigError, match="float32 on CUDA devices"):
        choose_backend("cuda", torch.zeros(1))
    with pytest.raises(ConfigError, match="float32 on CUDA devices"):
        choose_backend("mamba_ssm", torch.zeros(1))
    with pytest.raises(ConfigError, match="float32 on the CPU"):
        choose_backend("fused", torch.zeros(1, dtype=torch.float64))


def test_machine_code_is_compiled_anew_when_what_it_calls_changes() -> None:
    """numba's cache compares one file alone, hence a line in it that follows the other."""
    digest = sha256(Path(vector_math.__file__).read_bytes()).hexdigest()[:8]
    assert machine_code.COMPILED_IN == fused_block.COMPILED_IN == digest


@pytest.mark.parametrize("sizes", [(0, 3, 5), (2, 0, 5)])
def test_no_sequences_and_no_tokens_are_nothing_to_do(sizes: tuple[int, int, int]) -> None:
    sequences, length, width = sizes
    x = torch.zeros(sequences, length, width, requires_grad=True)
    B = torch.zeros(sequences, length, 4)
    A, skip = -torch.ones(1, 4, width, requires_grad=True), torch.ones(1, width)
    y = fused_scan(x, torch.ones_like(x), A, B, B, skip, [False])
    (grad,) = torch.autograd.grad(y.sum(), A)
    assert y.shape == sizes
    assert not grad.any()
