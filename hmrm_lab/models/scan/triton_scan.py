"""The scan on a CUDA device: Triton kernels, one program per sequence and block of channels.

The backward pass computes the states again: in chunks of tokens, all of them one chunk where their
states fit into the memory that is allowed. Otherwise it keeps the state at the beginning of each of
about sqrt(L) chunks, and computes the others a third time. Torch sums over sequences and blocks in
a fixed order, so that the same input gives the same gradients. Float32.
"""

import math
from functools import lru_cache
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 64  # channels of one program
LARGEST_STATES = 2**30  # bytes for the states of a backward pass; beyond it, chunks of tokens


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
def _advance(h, decay_rate, x, dt, B, at, d, n, D, N):
    """Return the state after the token at `at`."""
    x_t, dt_t = tl.load(x + at * D + d, d < D, 0.0), tl.load(dt + at * D + d, d < D, 0.0)
    b = tl.load(B + at * N + n, n < N, 0.0)
    return tl.exp(dt_t[None, :] * decay_rate) * h + b[:, None] * (dt_t * x_t)[None, :]


@triton.jit
def _backward(
    x, dt, A, B, C, skip, reverse, grad_y, kept, states, g_x, g_dt, g_A, g_B, g_C, g_skip,
    per_group, S, chunks, K, L, D, N, NP: tl.constexpr, BD: tl.constexpr,
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
    kept += s * chunks * N * D + place
    states += s * K * N * D + place
    h = tl.zeros((NP, BD), tl.float32)
    for chunk in range(chunks - 1):  # the state before each chunk
        tl.store(kept + chunk * N * D, h, inside)
        for step in range(chunk * K, chunk * K + K):
            at = s * L + tl.where(turned != 0, L - 1 - step, step)
            h = _advance(h, decay_rate, x, dt, B, at, d, n, D, N)
    tl.store(kept + (chunks - 1) * N * D, h, inside)
    carried = tl.zeros((NP, BD), tl.float32)
    sum_A, sum_skip = tl.zeros((NP, BD), tl.float32), tl.zeros((BD,), tl.float32)
    for done in range(chunks):
        first = (chunks - 1 - done) * K
        count = tl.minimum(K, L - first)
        tl.debug_barrier()  # other threads of the program may read what these have stored
        h = tl.load(kept + (chunks - 1 - done) * N * D, inside, 0.0)
        for number in range(count):  # the state before each step of the chunk
            tl.store(states + number * N * D, h, inside)
            step = first + number
            at = s * L + tl.where(turned != 0, L - 1 - step, step)
            h = _advance(h, decay_rate, x, dt, B, at, d, n, D, N)
        tl.debug_barrier()
        for back in range(count):
            number = count - 1 - back
            step = first + number
            at = s * L + tl.where(turned != 0, L - 1 - step, step)
            x_t, dt_t = tl.load(x + at * D + d, in_d, 0.0), tl.load(dt + at * D + d, in_d, 0.0)
            b, c = tl.load(B + at * N + n, in_n, 0.0), tl.load(C + at * N + n, in_n, 0.0)
            gy = tl.load(grad_y + at * D + d, in_d, 0.0)
            before = tl.load(states + number * N * D, inside, 0.0)
            decay, drive = tl.exp(dt_t[None, :] * decay_rate), (dt_t * x_t)[None, :]
            after, grad_h = decay * before + b[:, None] * drive, carried + c[:, None] * gy[None, :]
            at_block = (block * S * L + at) * N + n
            tl.store(g_C + at_block, tl.sum(after * gy[None, :], 1), in_n)
            tl.store(g_B + at_block, tl.sum(grad_h * drive, 1), in_n)
            grad_drive = tl.sum(grad_h * b[:, None], 0)
            carried = grad_h * decay
            grad_exponent = carried * before
            sum_A += grad_exponent * dt_t[None, :]
            sum_skip += gy * x_t
            tl.store(g_x + at * D + d, grad_drive * dt_t + through * gy, in_d)
            of_decay = tl.sum(grad_exponent * decay_rate, 0)
            tl.store(g_dt + at * D + d, of_decay + grad_drive * x_t, in_d)
    tl.store(g_A + s * N * D + place, sum_A, inside)
    tl.store(g_skip + s * D + d, sum_skip, in_d)


def forward(
    x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, skip: Tensor, reverse: list[bool]
) -> Tensor:
    """Shapes as in `fused_scan`."""
    x, dt, A, B, C, skip = (tensor.contiguous() for tensor in (x, dt, A, B, C, skip))
    y, flags, (grid, sizes) = torch.empty_like(x), _flags(tuple(reverse), x.device), _launch(x, A)
    with torch.cuda.device_of(x):
        _forward[grid](x, dt, A, B, C, skip, flags, y, len(x) // len(A), *sizes)
    return y


def backward(grad_y: Tensor, *arguments: Any) -> tuple[Tensor, ...]:
    """Compute the gradients of x, dt, A, B, C and skip; `arguments` are those of `forward`."""
    *scan, reverse = arguments
    x, dt, A, B, C, skip, grad_y = (tensor.contiguous() for tensor in (*scan, grad_y))
    (sequences, length, width), (groups, states, _) = x.shape, A.shape
    few = 4 * x.numel() * states <= LARGEST_STATES
    chunk = max(1, length if few else math.isqrt(length))
    split = max(1, triton.cdiv(length, chunk)), chunk
    grid, sizes = _launch(x, A)
    kept, stored = (x.new_empty(sequences, count, states, width) for count in split)
    g_x, g_dt = torch.empty_like(x), torch.empty_like(x)
    g_A, g_skip = x.new_empty(sequences, states, width), x.new_empty(sequences, width)
    g_B, g_C = (x.new_empty(grid[1], sequences, length, states) for _ in range(2))
    gradients = (g_x, g_dt, g_A, g_B, g_C, g_skip)
    flags = _flags(tuple(reverse), x.device)
    per_group = sequences // groups
    with torch.cuda.device_of(x):
        _backward[grid](
            *(x, dt, A, B, C, skip, flags, grad_y, kept, stored, *gradients),
            *(per_group, sequences, *split, *sizes),
        )
    of_A, of_skip = (gradient.unflatten(0, (groups, -1)).sum(1) for gradient in (g_A, g_skip))
    return g_x, g_dt, of_A, g_B.sum(0), g_C.sum(0), of_skip


def _launch(x: Tensor, A: Tensor) -> tuple[tuple[int, int], tuple[int, ...]]:
    """Return the grid of programs, and L, D, N, N as a power of two, and channels of a block."""
    (sequences, length, width), states = x.shape, A.shape[1]
    block = min(BLOCK, triton.next_power_of_2(width))
    grid = sequences, triton.cdiv(width, block)
    return grid, (length, width, states, triton.next_power_of_2(states), block)


@lru_cache
def _flags(reverse: tuple[bool, ...], device: torch.device) -> Tensor:
    """Copy the directions to the device once: a CUDA graph cannot record a copy from the host."""
    return torch.tensor(reverse, dtype=torch.int32, device=device)
