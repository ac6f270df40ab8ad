"""The scan on a CUDA device: Triton kernels, one program per sequence and block of channels.

A gated scan takes its steps through softplus, and its output times SiLU of a gate, as it goes. What
it scans comes in the order of the scan, and what is turned is gate and output.
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

BLOCK = 32  # channels of one program; with 64 the backward pass of a gated scan spills registers
LARGEST_STATES = 2**30  # bytes for the states of a backward pass; beyond it, chunks of tokens


@triton.jit
def _softplus(v):
    rest = tl.exp(-tl.abs(v))
    whole = 1 + rest  # log(whole) loses what `whole` has rounded away, and is corrected for it
    return tl.maximum(v, 0.0) + tl.where(whole == 1, rest, tl.log(whole) * (rest / (whole - 1)))


@triton.jit
def _forward(
    x, dt, A, B, C, skip, bias, gate, reverse, y, per_group, beside, L, D, N,
    NP: tl.constexpr, BD: tl.constexpr, GATED: tl.constexpr,
):  # fmt: skip
    s = tl.program_id(0).to(tl.int64)
    g = s // per_group
    d = tl.program_id(1) * BD + tl.arange(0, BD)
    n = tl.arange(0, NP)
    in_d, in_n = d < D, n < N
    inside = in_n[:, None] & in_d[None, :]
    decay_rate = tl.load(A + (g * N + n[:, None]) * D + d[None, :], inside, 0.0)
    through = tl.load(skip + g * D + d, in_d, 0.0)
    added = tl.load(bias + g * D + d, in_d, 0.0) if GATED else through
    gate += ((s // (per_group * beside)) * per_group + s % per_group) * L * D + d
    turned = tl.load(reverse + g)
    h = tl.zeros((NP, BD), tl.float32)
    for step in range(L):
        t = tl.where(turned != 0, L - 1 - step, step)  # of gate and output
        at = s * L + (step if GATED else t)
        h = _advance(h, decay_rate, added, x, dt, B, at, d, n, D, N, GATED)
        c = tl.load(C + at * N + n, in_n, 0.0)
        y_t = tl.sum(h * c[:, None], 0) + through * tl.load(x + at * D + d, in_d, 0.0)
        if GATED:
            z = tl.load(gate + t * D, in_d, 0.0)
            y_t *= z * tl.sigmoid(z)
        tl.store(y + (s * L + t) * D + d, y_t, in_d)


@triton.jit
def _advance(h, decay_rate, added, x, dt, B, at, d, n, D, N, GATED: tl.constexpr):
    """Return the state after the token at `at`."""
    x_t, dt_t = tl.load(x + at * D + d, d < D, 0.0), tl.load(dt + at * D + d, d < D, 0.0)
    if GATED:
        dt_t = _softplus(dt_t + added)
    b = tl.load(B + at * N + n, n < N, 0.0)
    return tl.exp(dt_t[None, :] * decay_rate) * h + b[:, None] * (dt_t * x_t)[None, :]


@triton.jit
def _backward(  # noqa: PLR0915  a kernel is one function
    x, dt, A, B, C, skip, bias, gate, reverse, grad_y, kept, states, g_x, g_dt, g_A, g_B, g_C,
    g_skip, g_gate, per_group, beside, S, chunks, K, L, D, N,
    NP: tl.constexpr, BD: tl.constexpr, GATED: tl.constexpr,
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
    added = tl.load(bias + g * D + d, in_d, 0.0) if GATED else through
    gate += ((s // (per_group * beside)) * per_group + s % per_group) * L * D + d
    turned = tl.load(reverse + g)
    kept += s * chunks * N * D + place
    states += s * K * N * D + place
    h = tl.zeros((NP, BD), tl.float32)
    for chunk in range(chunks - 1):  # the state before each chunk
        tl.store(kept + chunk * N * D, h, inside)
        for step in range(chunk * K, chunk * K + K):
            at = s * L + tl.where((turned != 0) & (not GATED), L - 1 - step, step)
            h = _advance(h, decay_rate, added, x, dt, B, at, d, n, D, N, GATED)
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
            at = s * L + tl.where((turned != 0) & (not GATED), L - 1 - step, step)
            h = _advance(h, decay_rate, added, x, dt, B, at, d, n, D, N, GATED)
        tl.debug_barrier()
        for back in range(count):
            number = count - 1 - back
            step = first + number
            t = tl.where(turned != 0, L - 1 - step, step)
            at, out = s * L + (step if GATED else t), (s * L + t) * D + d
            x_t, dt_t = tl.load(x + at * D + d, in_d, 0.0), tl.load(dt + at * D + d, in_d, 0.0)
            b, c = tl.load(B + at * N + n, in_n, 0.0), tl.load(C + at * N + n, in_n, 0.0)
            gy = tl.load(grad_y + out, in_d, 0.0)
            before = tl.load(states + number * N * D, inside, 0.0)
            if GATED:
                slope = tl.sigmoid(dt_t + added)  # of softplus
                dt_t = _softplus(dt_t + added)
            decay, drive = tl.exp(dt_t[None, :] * decay_rate), (dt_t * x_t)[None, :]
            after = decay * before + b[:, None] * drive
            if GATED:
                z = tl.load(gate + t * D, in_d, 0.0)
                y_t, opened = tl.sum(after * c[:, None], 0) + through * x_t, tl.sigmoid(z)
                tl.store(g_gate + out, gy * y_t * opened * (1 + z * (1 - opened)), in_d)
                gy *= z * opened
            grad_h = carried + c[:, None] * gy[None, :]
            at_block = (block * S * L + at) * N + n
            tl.store(g_C + at_block, tl.sum(after * gy[None, :], 1), in_n)
            tl.store(g_B + at_block, tl.sum(grad_h * drive, 1), in_n)
            grad_drive = tl.sum(grad_h * b[:, None], 0)
            carried = grad_h * decay
            grad_exponent = carried * before
            sum_A += grad_exponent * dt_t[None, :]
            sum_skip += gy * x_t
            tl.store(g_x + at * D + d, grad_drive * dt_t + through * gy, in_d)
            of_step = tl.sum(grad_exponent * decay_rate, 0) + grad_drive * x_t
            if GATED:
                of_step *= slope
            tl.store(g_dt + at * D + d, of_step, in_d)
    tl.store(g_A + s * N * D + place, sum_A, inside)
    tl.store(g_skip + s * D + d, sum_skip, in_d)


def forward(*arguments: Any) -> Tensor:
    """Compute `fused_scan` or, of eight tensors, `gated_scan`."""
    *tensors, reverse = arguments
    scan, sizes, grid = _prepare(tensors, reverse)
    y = torch.empty_like(scan[0])
    with torch.cuda.device_of(y):
        _forward[grid](*scan, y, *sizes)
    return y


def backward(grad_y: Tensor, *arguments: Any) -> tuple[Tensor, ...]:
    """Compute the gradients of all tensors; `arguments` are those of `forward`."""
    *tensors, reverse = arguments
    scan, (per_group, beside, *sizes), grid = _prepare(tensors, reverse)
    x = scan[0]
    (sequences, length, width), states = x.shape, tensors[2].shape[1]
    few = 4 * x.numel() * states <= LARGEST_STATES
    chunk = max(1, length if few else math.isqrt(length))
    split = max(1, triton.cdiv(length, chunk)), chunk
    kept, stored = (x.new_empty(sequences, count, states, width) for count in split)
    g_x, g_dt = torch.empty_like(x), torch.empty_like(x)
    g_A, g_skip = x.new_empty(sequences, states, width), x.new_empty(sequences, width)
    g_B, g_C = (x.new_empty(grid[1], sequences, length, states) for _ in range(2))
    g_gate = torch.empty_like(x) if len(tensors) > 6 else x
    gradients = (g_x, g_dt, g_A, g_B, g_C, g_skip, g_gate)
    with torch.cuda.device_of(x):
        _backward[grid](
            *(*scan, grad_y.contiguous(), kept, stored, *gradients),
            *(per_group, beside, sequences, *split, *sizes),
        )
    of_A, of_skip = (one.unflatten(0, (len(reverse), -1)).sum(1) for one in (g_A, g_skip))
    of_scan = g_x, g_dt, of_A, g_B.sum(0), g_C.sum(0), of_skip
    if len(tensors) == 6:
        return of_scan
    of_bias = g_dt.unflatten(0, (len(reverse), -1)).sum((1, 2))
    return *of_scan, of_bias, g_gate.unflatten(0, (-1, beside, per_group)).sum(1).flatten(0, 1)


def _prepare(
    tensors: list[Tensor], reverse: list[bool]
) -> tuple[list[Tensor], tuple[Any, ...], tuple[int, int]]:
    """Return the kernel's tensors, its sizes from `per_group` on, and the grid of programs."""
    gated = len(tensors) > 6
    x, *_ = scan = [tensor.contiguous() for tensor in tensors]
    scan += [] if gated else [x, x]  # in place of bias and gate
    (sequences, length, width), states = x.shape, tensors[2].shape[1]
    block = min(BLOCK, triton.next_power_of_2(width))
    per_group, beside = sequences // len(reverse), sequences // max(1, len(scan[7]))
    sizes = length, width, states, triton.next_power_of_2(states), block, gated
    flags = _flags(tuple(reverse), x.device)
    grid = sequences, triton.cdiv(width, block)
    return [*scan, flags], (per_group, beside, *sizes), grid


@lru_cache
def _flags(reverse: tuple[bool, ...], device: torch.device) -> Tensor:
    """Copy the directions to the device once: a CUDA graph cannot record a copy from the host."""
    return torch.tensor(reverse, dtype=torch.int32, device=device)
