"""The scan on a CUDA device: Triton kernels, one program per sequence and block of channels.

The state of a block stays in registers. The backward pass computes the states anew and keeps them
for a while; sums over sequences and blocks are taken by torch, in a fixed order and without atomic
additions, so that the same input gives the same gradients. Float32.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from hmrm_lab.errors import ConfigError

BLOCK = 64  # channels of one program
LARGEST_ROOM = 2**30  # bytes for the states of a backward pass; more sequences go in turns


@triton.jit
def _forward(
    x, dt, A, B, C, skip, reverse, y, per_group, L, D, N, NP: tl.constexpr, BD: tl.constexpr
):
    s = tl.program_id(0).to(tl.int64)
    g = s // per_group
    d = tl.program_id(1) * BD + tl.arange(0, BD)
    n = tl.arange(0, NP)
    in_d, in_n = d < D, n < N
    inside = in_n[:, None] & in_d[None, :]
    decay_rate = tl.load(A + (g * N + n[:, None]) * D + d[None, :], inside, 0.0)
    through = tl.load(skip + g * D + d, in_d, 0.0)
    turned = tl.load(reverse + g)
    h = tl.zeros((NP, BD), tl.float32)
    for step in range(L):
        at = s * L + tl.where(turned != 0, L - 1 - step, step)
        x_t, dt_t = tl.load(x + at * D + d, in_d, 0.0), tl.load(dt + at * D + d, in_d, 0.0)
        b, c = tl.load(B + at * N + n, in_n, 0.0), tl.load(C + at * N + n, in_n, 0.0)
        h = tl.exp(dt_t[None, :] * decay_rate) * h + b[:, None] * (dt_t * x_t)[None, :]
        y_t = tl.sum(h * c[:, None], 0) + through * x_t
        tl.store(y + at * D + d, y_t, in_d)


@triton.jit
def _backward(
    x, dt, A, B, C, skip, reverse, grad_y, states, g_x, g_dt, g_A, g_B, g_C, g_skip,
    per_group, S, L, D, N, NP: tl.constexpr, BD: tl.constexpr,
):  # fmt: skip
    s, block = tl.program_id(0).to(tl.int64), tl.program_id(1)
    g = s // per_group
    d = block * BD + tl.arange(0, BD)
    n = tl.arange(0, NP)
    in_d, in_n = d < D, n < N
    inside = in_n[:, None] & in_d[None, :]
    place = n[:, None] * D + d[None, :]  # of a state among the (N, D) of its step
    decay_rate = tl.load(A + g * N * D + place, inside, 0.0)
    through = tl.load(skip + g * D + d, in_d, 0.0)
    turned = tl.load(reverse + g)
    h = tl.zeros((NP, BD), tl.float32)
    for step in range(L):  # the state before each step
        tl.store(states + (s * L + step) * N * D + place, h, inside)
        at = s * L + tl.where(turned != 0, L - 1 - step, step)
        x_t, dt_t = tl.load(x + at * D + d, in_d, 0.0), tl.load(dt + at * D + d, in_d, 0.0)
        b = tl.load(B + at * N + n, in_n, 0.0)
        h = tl.exp(dt_t[None, :] * decay_rate) * h + b[:, None] * (dt_t * x_t)[None, :]
    tl.debug_barrier()  # other threads of the program may read what these have stored
    carried = tl.zeros((NP, BD), tl.float32)
    sum_A, sum_skip = tl.zeros((NP, BD), tl.float32), tl.zeros((BD,), tl.float32)
    for back in range(L):
        step = L - 1 - back
        at = s * L + tl.where(turned != 0, L - 1 - step, step)
        x_t, dt_t = tl.load(x + at * D + d, in_d, 0.0), tl.load(dt + at * D + d, in_d, 0.0)
        b, c = tl.load(B + at * N + n, in_n, 0.0), tl.load(C + at * N + n, in_n, 0.0)
        gy = tl.load(grad_y + at * D + d, in_d, 0.0)
        before = tl.load(states + (s * L + step) * N * D + place, inside, 0.0)
        decay, drive = tl.exp(dt_t[None, :] * decay_rate), (dt_t * x_t)[None, :]
        after = decay * before + b[:, None] * drive
        grad_h = carried + c[:, None] * gy[None, :]
        at_block = (block * S * L + at) * N + n
        tl.store(g_C + at_block, tl.sum(after * gy[None, :], 1), in_n)
        tl.store(g_B + at_block, tl.sum(grad_h * drive, 1), in_n)
        grad_drive = tl.sum(grad_h * b[:, None], 0)
        carried = grad_h * decay
        grad_exponent = carried * before
        sum_A += grad_exponent * dt_t[None, :]
        sum_skip += gy * x_t
        grad_dt = tl.sum(grad_exponent * decay_rate, 0) + grad_drive * x_t
        tl.store(g_x + at * D + d, grad_drive * dt_t + through * gy, in_d)
        tl.store(g_dt + at * D + d, grad_dt, in_d)
    tl.store(g_A + s * N * D + place, sum_A, inside)
    tl.store(g_skip + s * D + d, sum_skip, in_d)


def forward(
    x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, skip: Tensor, reverse: list[bool]
) -> Tensor:
    """Shapes as in `fused_scan`."""
    x, dt, A, B, C, skip = (tensor.contiguous() for tensor in (x, dt, A, B, C, skip))
    y, turned, (grid, sizes) = torch.empty_like(x), _turned(reverse, x), _launch(x, A)
    _forward[grid](x, dt, A, B, C, skip, turned, y, len(x) // len(A), *sizes)
    return y


def backward(
    grad_y: Tensor,
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    skip: Tensor,
    reverse: list[bool],
) -> tuple[Tensor, ...]:
    """The gradients of x, dt, A, B, C and skip; sequences in turns where they need much room."""
    (_, length, width), (groups, states, _) = x.shape, A.shape
    share = max(1, LARGEST_ROOM // (4 * length * states * width * groups))
    per_sequence = (grad_y, x, dt, B, C)
    in_turns = zip(*(_turns(tensor, groups, share) for tensor in per_sequence), strict=True)
    parts = [
        _backward_of(grad_y, x, dt, A, B, C, skip, reverse) for grad_y, x, dt, B, C in in_turns
    ]
    g_x, g_dt, g_A, g_B, g_C, g_skip = (list(part) for part in zip(*parts, strict=True))
    shared = torch.stack(g_A).sum(0), torch.stack(g_skip).sum(0)
    whole = [_rejoined(gradient, groups) for gradient in (g_x, g_dt, g_B, g_C)]
    return whole[0], whole[1], shared[0], whole[2], whole[3], shared[1]


def _turns(tensor: Tensor, groups: int, share: int) -> list[Tensor]:
    """At most `share` sequences of each group at a time."""
    parts = tensor.unflatten(0, (groups, -1)).split(share, 1)
    return [part.flatten(0, 1) for part in parts]


def _rejoined(parts: list[Tensor], groups: int) -> Tensor:
    return torch.cat([part.unflatten(0, (groups, -1)) for part in parts], 1).flatten(0, 1)


def _backward_of(
    grad_y: Tensor,
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    skip: Tensor,
    reverse: list[bool],
) -> tuple[Tensor, ...]:
    x, dt, A, B, C, skip, grad_y = (t.contiguous() for t in (x, dt, A, B, C, skip, grad_y))
    (sequences, length, width), (groups, states, _) = x.shape, A.shape
    grid, sizes = _launch(x, A)
    room = x.new_empty(sequences, length, states, width)
    g_x, g_dt = torch.empty_like(x), torch.empty_like(x)
    g_A, g_skip = x.new_empty(sequences, states, width), x.new_empty(sequences, width)
    g_B, g_C = (x.new_empty(grid[1], sequences, length, states) for _ in range(2))
    scan, gradients = (x, dt, A, B, C, skip), (g_x, g_dt, g_A, g_B, g_C, g_skip)
    turned = _turned(reverse, x)
    _backward[grid](*scan, turned, grad_y, room, *gradients, sequences // groups, sequences, *sizes)
    of_A, of_skip = (gradient.unflatten(0, (groups, -1)).sum(1) for gradient in (g_A, g_skip))
    return g_x, g_dt, of_A, g_B.sum(0), g_C.sum(0), of_skip


def _launch(x: Tensor, A: Tensor) -> tuple[tuple[int, int], tuple[int, ...]]:
    """The grid of programs, and the sizes L, D, N, N as a power of two, and channels of a block."""
    (sequences, length, width), states = x.shape, A.shape[1]
    block = min(BLOCK, triton.next_power_of_2(width))
    grid = sequences, triton.cdiv(width, block)
    return grid, (length, width, states, triton.next_power_of_2(states), block)


def _turned(reverse: list[bool], x: Tensor) -> Tensor:
    return _on_device(tuple(reverse), x.device)


@lru_cache
def _on_device(reverse: tuple[bool, ...], device: torch.device) -> Tensor:
    """Copied once: a copy from the host cannot be part of a recorded step."""
    return torch.tensor(reverse, dtype=torch.int32, device=device)


INSTALL = "pip install --no-build-isolation -r requirements-gpu.txt"


def mamba_ssm_scan(
    x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, skip: Tensor, reverse: Sequence[bool]
) -> Tensor:
    """Shapes as in `fused_scan`: S sequences in G groups. One launch for each group.

    Raises `ConfigError` where the package, or its compiled part, is missing.
    """
    kernel = _kernel()
    groups = zip(*(tensor.chunk(len(A)) for tensor in (x, dt, B, C)), A, skip, reverse, strict=True)
    return torch.cat([_one_direction(kernel, *group) for group in groups])


def _one_direction(
    kernel: Any,
    x: Tensor,
    dt: Tensor,
    B: Tensor,
    C: Tensor,
    A: Tensor,
    skip: Tensor,
    turned: bool,
) -> Tensor:
    """The package scans along the last axis, forward, with A of (D, N)."""
    steps = (tensor.flip(1).mT if turned else tensor.mT for tensor in (x, dt, B, C))
    u, delta, b, c = (step.contiguous() for step in steps)
    y = kernel(u, delta, A.mT.contiguous(), b, c, skip).mT
    return y.flip(1) if turned else y


def _kernel() -> Any:
    try:
        from mamba_ssm.ops.selective_scan_interface import selective_scan_fn
    except ImportError as error:  # without its compiled part it does not import either
        raise ConfigError(
            f"the mamba_ssm scan needs the package mamba-ssm ({error})",
            mend=f"{INSTALL}, or use scan=auto",
        ) from None
    return selective_scan_fn
