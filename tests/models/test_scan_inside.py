"""The scan as a matrix, and one channel laid open."""

import math

import pytest
import torch
from torch import Tensor

from hmrm_lab.errors import ConfigError
from hmrm_lab.models.scan import selective_scan
from hmrm_lab.models.scan.inside import closed_form_matrix, scan_matrix, trace_scan

L, D, N = 9, 3, 4


def arguments(dtype: torch.dtype = torch.float64) -> tuple[Tensor, ...]:
    torch.manual_seed(0)
    dt, A = torch.rand(L, D, dtype=dtype) + 0.05, -torch.rand(D, N, dtype=dtype) - 0.1
    B, C = torch.randn(2, L, N, dtype=dtype)
    return dt, A, B, C, torch.randn(D, dtype=dtype)


@pytest.mark.parametrize("reverse", [False, True])
def test_the_impulses_give_the_closed_form(reverse: bool) -> None:
    matrix = scan_matrix(*arguments(), reverse=reverse)
    torch.testing.assert_close(matrix, closed_form_matrix(*arguments(), reverse=reverse))
    nothing = matrix.tril(-1) if reverse else matrix.triu(1)
    assert not nothing.any()


@pytest.mark.parametrize("reverse", [False, True])
def test_the_matrix_is_the_scan(reverse: bool) -> None:
    dt, A, B, C, skip = arguments()
    x = torch.randn(L, D, dtype=torch.float64)
    y = selective_scan(x, dt, A, B, C, skip, reverse=reverse)
    matrix = scan_matrix(dt, A, B, C, skip, reverse=reverse)
    torch.testing.assert_close(torch.einsum("dtk,kd->td", matrix, x), y)


def test_long_sums_of_dt_do_not_overflow_above_the_diagonal() -> None:
    dt, A, B, C, skip = arguments(torch.float32)
    assert torch.isfinite(closed_form_matrix(100 * dt, 10 * A, B, C, skip)).all()


def test_an_impulse_decays_by_its_exponent() -> None:
    x, dt = torch.zeros(L), torch.full((L,), 0.5)
    x[2] = 1.0
    trace = trace_scan(x, dt, decay=2.0, skip=0.25)
    state = [0, 0, *(0.5 * math.exp(-2 * 0.5 * k) for k in range(L - 2))]
    torch.testing.assert_close(trace.states["forward"], torch.tensor(state))
    torch.testing.assert_close(trace.y, torch.tensor(state) + 0.25 * x)
    assert list(trace.states) == ["forward"]


def test_both_directions_are_added() -> None:
    x, dt = torch.rand(L), torch.rand(L) + 0.1
    traces = {
        name: trace_scan(x, dt, decay=0.7, skip=0.5, direction=name)
        for name in ("forward", "backward", "both")
    }
    whole = traces["forward"].y + traces["backward"].y
    torch.testing.assert_close(traces["both"].y, whole)
    torch.testing.assert_close(traces["both"].matrix @ x, whole)
    assert list(traces["both"].states) == ["forward", "backward"]


def test_a_mistyped_direction_is_refused() -> None:
    with pytest.raises(ConfigError, match="did you mean 'backward'"):
        trace_scan(torch.ones(2), torch.ones(2), decay=1.0, direction="backwards")
