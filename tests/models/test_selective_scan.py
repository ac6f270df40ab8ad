"""The scan against a naive loop, a closed form, and itself under the other implementation."""

import math

import pytest
import torch
from torch import Tensor

from hmrm_lab.models.selective_scan.loop import scan_loop
from hmrm_lab.models.selective_scan.reference import scan_reference

SCANS = [scan_reference, scan_loop]


def draw(
    lead: tuple[int, ...], length: int, width: int, state: int, shared: tuple[int, ...] = ()
) -> list[Tensor]:
    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64)

    tensors = (
        normal(*lead, length, width),
        torch.nn.functional.softplus(normal(*lead, length, width)),
        -torch.rand(*shared, width, state, dtype=torch.float64) - 0.1,
        normal(*lead, length, state),
        normal(*lead, length, state),
        normal(*shared, width),
    )
    return [tensor.requires_grad_() for tensor in tensors]


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


@pytest.mark.parametrize("scan", SCANS)
def test_impulse_response_is_exponential(scan) -> None:
    """A single input decays as exp(dt A (t - t0)) under constant dt, B and C."""
    length, dt, decay = 6, 0.5, -0.7
    x = torch.zeros(length, 1, dtype=torch.float64)
    x[1] = 2.0
    ones = torch.ones(length, 1, dtype=torch.float64)
    A = torch.full((1, 1), decay, dtype=torch.float64)
    y = scan(x, dt * ones, A, ones, ones, torch.zeros(1, dtype=torch.float64))
    expected = [0.0] + [2 * dt * math.exp(dt * decay * (t - 1)) for t in range(1, length)]
    torch.testing.assert_close(y[:, 0], torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize(
    ("lead", "length", "width", "state", "shared"),
    [
        ((3,), 1, 4, 2, ()),
        ((2,), 9, 5, 1, ()),
        ((2, 3), 5, 4, 3, (2, 1)),
        ((2, 1), 16, 7, 16, (2, 1)),
    ],
)
def test_loop_and_reference_agree_with_gradients(lead, length, width, state, shared) -> None:
    torch.manual_seed(0)
    arguments = draw(lead, length, width, state, shared)
    weights = torch.randn(*lead, length, width, dtype=torch.float64)
    values, gradients = [], []
    for scan in SCANS:
        y = scan(*arguments)
        values.append(y.detach())
        gradients.append(torch.autograd.grad((y * weights).sum(), arguments))
    torch.testing.assert_close(*values)
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_loop_passes_gradcheck() -> None:
    torch.manual_seed(1)
    assert torch.autograd.gradcheck(scan_loop, draw((2,), 4, 3, 2))


def test_float32_is_close_to_float64_at_working_size() -> None:
    torch.manual_seed(2)
    exact = draw((4,), 49, 32, 16)
    single = [tensor.detach().float() for tensor in exact]
    reference = scan_reference(*exact).detach()
    error = (scan_loop(*single) - reference).abs().max() / reference.abs().max()
    assert error < 1e-6


def test_strided_input_gives_the_same() -> None:
    torch.manual_seed(3)
    arguments = [tensor.detach() for tensor in draw((2,), 6, 4, 3)]
    x = arguments[0].mT.contiguous().mT
    assert not x.is_contiguous()
    torch.testing.assert_close(scan_loop(x, *arguments[1:]), scan_loop(*arguments))


def test_the_scan_is_causal() -> None:
    torch.manual_seed(4)
    arguments = [tensor.detach() for tensor in draw((), 8, 3, 4)]
    before = scan_loop(*arguments)
    arguments[0][5:] += 1
    after = scan_loop(*arguments)
    torch.testing.assert_close(after[:5], before[:5])
    assert (after[5:] - before[5:]).abs().min() > 0
