"""The scan as a matrix, and the trace of a single channel.

For given `dt`, `B` and `C` the scan is linear in x: `y = M x` with a lower-triangular M,

    M[t, k] = sum_n C_t[n] exp(A[n] (dt_{k+1} + ... + dt_t)) dt_k B_k[n],  + D on the diagonal.
"""

from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from hmrm_lab.errors import unknown_name
from hmrm_lab.models.scan import selective_scan

Direction = Literal["forward", "backward", "both"]
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)


def scan_matrix(
    dt: Tensor, A: Tensor, B: Tensor, C: Tensor, skip: Tensor, *, reverse: bool = False
) -> Tensor:
    """Compute the matrix of one sequence by the scan of a unit impulse at each token.

    dt (L, D), A (D, N), B and C (L, N), skip (D,) to (D, L, L): entry (d, t, k) is what token k
    gives to the output at token t.
    """
    length, width = dt.shape
    impulses = torch.eye(length, dtype=dt.dtype, device=dt.device)[..., None]
    dt, B, C = (tensor.expand(length, *tensor.shape) for tensor in (dt, B, C))
    x = impulses.expand(length, length, width).contiguous()
    y = selective_scan(x, dt, A, B, C, skip, reverse=reverse)
    return y.permute(2, 1, 0)  # (impulse, token, channel) to (channel, token, impulse)


def closed_form_matrix(
    dt: Tensor, A: Tensor, B: Tensor, C: Tensor, skip: Tensor, *, reverse: bool = False
) -> Tensor:
    """Compute `scan_matrix` by its formula, without recurrence."""
    if reverse:
        turned = closed_form_matrix(dt.flip(0), A, B.flip(0), C.flip(0), skip)
        return turned.flip(1, 2)
    passed = dt.cumsum(0)  # (L, D)
    between = (passed[:, None] - passed[None, :]).clamp(min=0)  # (t, k, D)
    kept = torch.exp(between[..., None] * A)  # (t, k, D, N)
    matrix = torch.einsum("tn,tkdn,kd,kn->dtk", C, kept, dt, B).tril()
    return matrix + torch.diag_embed(skip[:, None].expand(-1, len(dt)))


class ScanTrace(NamedTuple):
    """One channel and state, B = C = 1; all (L,) but the matrix (L, L), of which y = matrix x."""

    x: Tensor
    dt: Tensor
    y: Tensor
    states: dict[str, Tensor]
    matrix: Tensor


def trace_scan(
    x: Tensor, dt: Tensor, *, decay: float, skip: float = 0.0, direction: Direction = "forward"
) -> ScanTrace:
    """Scan one channel: `h_t = exp(-decay dt_t) h_{t-1} + dt_t x_t`, `y_t = h_t + skip x_t`.

    x, dt (L,), dt > 0. `both` adds the directions, each with its skip, as the encoder's block does.
    """
    if direction not in DIRECTIONS:
        raise unknown_name("direction", direction, DIRECTIONS)
    chosen = DIRECTIONS[:2] if direction == "both" else (direction,)
    ones, A = torch.ones(len(x), 1, dtype=x.dtype), torch.full((1, 1), -decay, dtype=x.dtype)
    column, skips = dt[:, None], torch.full((1,), skip, dtype=x.dtype)
    matrices = {
        name: scan_matrix(column, A, ones, ones, skips, reverse=name == "backward")[0]
        for name in chosen
    }
    whole = torch.stack(list(matrices.values())).sum(0)
    states = {str(name): matrix @ x - skip * x for name, matrix in matrices.items()}
    return ScanTrace(x, dt, whole @ x, states, whole)
