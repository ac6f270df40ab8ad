"""Machine code for the Grained Mamba block: scan, convolution, gate; numba, float32, one thread.

The innermost loop of each function runs over channels, which lie side by side in memory, and
becomes vector instructions; a state never leaves the cache. Compiled at the first call and kept on
disk; no compiler needs to be installed. numba looks for changes only in the file of the function
that is called: after a change in `vector_math`, delete `__pycache__` here.

S sequences of L tokens have D channels and N states. `A` is (N, D) here, the transpose of the
equation's. Two groups of sequences, or directions, have weights of their own; `reverse` ones run
from the last token to the first. Gradients come in a tuple like that of the arguments. Those of
weights are added to what is there; all others are overwritten.
"""

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hmrm_lab.models.vector_math import ZERO, compiled, exp, f32, sigmoid, silu_slope, softplus

Array: TypeAlias = NDArray[np.float32]
Flags: TypeAlias = NDArray[np.bool_]


class Scan(NamedTuple):
    """The arguments of a scan, of one sequence or of all.

    x, dt (S, L, D); A (G, N, D); B, C (S, L, N); skip (G, D). Sequence s is of group s // (S / G).
    Of one sequence: (L, D), (N, D), (L, N) and (D,).
    """

    x: Array
    dt: Array
    A: Array
    B: Array
    C: Array
    skip: Array


class Convolution(NamedTuple):
    """xz (S, L, 2 D), whose first D channels are convolved; weight (2, K, D); bias (2, D)."""

    xz: Array
    weight: Array
    bias: Array


class GatedScan(NamedTuple):
    """The scans of both directions, gated.

    u (2, S, L, D); selected (2, S, L, R + 2 N): what the steps are made of, B and C;
    dt = softplus(selected[..., :R] dt_weight + dt_bias), with dt_weight (2, R, D);
    A (2, N, D); dt_bias, skip (2, D); xz (S, L, 2 D), which ends in the gate.
    """

    u: Array
    selected: Array
    dt_weight: Array
    dt_bias: Array
    A: Array
    skip: Array
    xz: Array


class Room(NamedTuple):
    """What the backward pass of one sequence writes on: states (L + 1, N, D), decays (L, N, D)
    that take one state to the next, the gradient (N, D) carried to the step before, and rows."""

    states: Array
    decays: Array
    carried: Array
    rows: Array


@compiled
def add_scan(one: Scan, reverse: bool, state: Array, drive: Array, y: Array) -> None:
    """Add the scan of one sequence to y (L, D). `state` (N, D) and `drive` (D,) are room."""
    length, width = one.x.shape
    state[:] = ZERO
    for step in range(length):
        t = length - 1 - step if reverse else step
        x, dt, skip, y_t = one.x[t], one.dt[t], one.skip, y[t]
        for d in range(width):
            drive[d] = dt[d] * x[d]
            y_t[d] += skip[d] * x[d]
        for n in range(len(state)):
            h, A, b, c = state[n], one.A[n], one.B[t, n], one.C[t, n]
            for d in range(width):
                h_d = exp(dt[d] * A[d]) * h[d] + drive[d] * b
                h[d] = h_d
                y_t[d] += h_d * c


@compiled
def keep_states(one: Scan, reverse: bool, room: Room) -> None:
    """The states of one sequence, the first of zeros, and its decays."""
    length, width = one.x.shape
    drive = room.rows[0]
    room.states[0] = ZERO
    for step in range(length):
        t = length - 1 - step if reverse else step
        x, dt = one.x[t], one.dt[t]
        for d in range(width):
            drive[d] = dt[d] * x[d]
        for n in range(len(one.A)):
            before, after = room.states[step, n], room.states[step + 1, n]
            decay, A, b = room.decays[step, n], one.A[n], one.B[t, n]
            for d in range(width):
                e = exp(dt[d] * A[d])
                decay[d] = e
                after[d] = e * before[d] + drive[d] * b


@compiled
def backward_of_one(one: Scan, reverse: bool, grad_y: Array, room: Room, grad: Scan) -> None:
    """Gradients of one sequence, whose states are in the room."""
    length, width = one.x.shape
    keep_states(one, reverse, room)
    drive, grad_drive, grad_step = room.rows[0], room.rows[1], room.rows[2]
    room.carried[:] = ZERO
    for step in range(length - 1, -1, -1):
        t = length - 1 - step if reverse else step
        x, dt, skip, gy = one.x[t], one.dt[t], one.skip, grad_y[t]
        for d in range(width):
            drive[d] = dt[d] * x[d]
            grad_drive[d] = ZERO
            grad_step[d] = ZERO
        for n in range(len(one.A)):
            before, after = room.states[step, n], room.states[step + 1, n]
            decay, carried, A, gA = room.decays[step, n], room.carried[n], one.A[n], grad.A[n]
            b, c, gB, gC = one.B[t, n], one.C[t, n], ZERO, ZERO
            for d in range(width):
                gh = carried[d] + c * gy[d]
                gC += after[d] * gy[d]
                gB += gh * drive[d]
                grad_drive[d] += gh * b
                handed_on = gh * decay[d]
                carried[d] = handed_on
                grad_exponent = handed_on * before[d]
                grad_step[d] += grad_exponent * A[d]
                gA[d] += grad_exponent * dt[d]
            grad.B[t, n], grad.C[t, n] = gB, gC
        gx, gdt, gskip = grad.x[t], grad.dt[t], grad.skip
        for d in range(width):
            gx[d] = grad_drive[d] * dt[d] + skip[d] * gy[d]
            gdt[d] = grad_step[d] + grad_drive[d] * x[d]
            gskip[d] += gy[d] * x[d]


@compiled
def take(scan: Scan, s: int, g: int) -> Scan:
    """One sequence of all."""
    return Scan(scan.x[s], scan.dt[s], scan.A[g], scan.B[s], scan.C[s], scan.skip[g])


@compiled
def make_room(length: int, states: int, width: int) -> Room:
    return Room(
        np.empty((length + 1, states, width), f32),
        np.empty((length, states, width), f32),
        np.empty((states, width), f32),
        np.empty((3, width), f32),
    )


@compiled
def scan_forward(scan: Scan, reverse: Flags, y: Array) -> None:
    """The scan of all sequences; reverse (G,), y (S, L, D)."""
    sequences, _, width = scan.x.shape
    state, drive = np.empty(scan.A.shape[1:], f32), np.empty(width, f32)
    y[:] = ZERO
    for s in range(sequences):
        g = s * len(reverse) // sequences
        add_scan(take(scan, s, g), reverse[g], state, drive, y[s])


@compiled
def scan_backward(scan: Scan, reverse: Flags, grad_y: Array, grad: Scan) -> None:
    sequences, length, width = scan.x.shape
    room = make_room(length, scan.A.shape[1], width)
    for s in range(sequences):
        g = s * len(reverse) // sequences
        backward_of_one(take(scan, s, g), reverse[g], grad_y[s], room, take(grad, s, g))


@compiled
def convolve_token(conv: Convolution, g: int, s: int, t: int, out: Array) -> None:
    """One token of the causal depth-wise convolution; direction 1 runs against the stream."""
    taps, width = conv.weight.shape[1:]
    out[:] = conv.bias[g]
    for k in range(taps):
        source = t + (taps - 1 - k) * (1 if g == 1 else -1)
        if 0 <= source < conv.xz.shape[1]:
            x, weight = conv.xz[s, source], conv.weight[g, k]
            for d in range(width):
                out[d] += weight[d] * x[d]


@compiled
def convolve_forward(conv: Convolution, u: Array) -> None:
    """SiLU of the convolution of both directions, u (2, S, L, D)."""
    for g in range(2):
        for s in range(u.shape[1]):
            for t in range(u.shape[2]):
                u_t = u[g, s, t]
                convolve_token(conv, g, s, t, u_t)
                for d in range(len(u_t)):
                    u_t[d] *= sigmoid(u_t[d])


@compiled
def convolve_backward(conv: Convolution, grad_u: Array, grad: Convolution) -> None:
    """Of grad.xz only the first D channels are written."""
    taps, width = conv.weight.shape[1:]
    row = np.empty(width, f32)
    grad.xz[:, :, :width] = ZERO
    for g in range(2):
        for s in range(grad_u.shape[1]):
            for t in range(grad_u.shape[2]):
                convolve_token(conv, g, s, t, row)
                gu, gb = grad_u[g, s, t], grad.bias[g]
                for d in range(width):
                    row[d] = gu[d] * silu_slope(row[d])
                    gb[d] += row[d]
                for k in range(taps):
                    source = t + (taps - 1 - k) * (1 if g == 1 else -1)
                    if 0 <= source < grad_u.shape[2]:
                        x, gx = conv.xz[s, source], grad.xz[s, source]
                        weight, gw = conv.weight[g, k], grad.weight[g, k]
                        for d in range(width):
                            gx[d] += weight[d] * row[d]
                            gw[d] += x[d] * row[d]


@compiled
def direction(gated: GatedScan, s: int, g: int, dt: Array) -> Scan:
    """One sequence in one direction, as views; of the gradients too."""
    states, selected = gated.A.shape[1], gated.selected[g, s]
    at_C = selected.shape[1] - states
    B, C = selected[:, at_C - states : at_C], selected[:, at_C:]
    return Scan(gated.u[g, s], dt, gated.A[g], B, C, gated.skip[g])


@compiled
def make_steps(gated: GatedScan, s: int, g: int, logits: Array, dt: Array) -> None:
    """dt = softplus(logits) of one sequence; both (L, D)."""
    rank, width = gated.dt_weight.shape[1:]
    for t in range(len(dt)):
        logit, dt_t = logits[t], dt[t]
        logit[:] = gated.dt_bias[g]
        for r in range(rank):
            factor, weight = gated.selected[g, s, t, r], gated.dt_weight[g, r]
            for d in range(width):
                logit[d] += factor * weight[d]
        for d in range(width):
            dt_t[d] = softplus(logit[d])


@compiled
def make_steps_backward(
    gated: GatedScan, s: int, g: int, logits: Array, grad_dt: Array, grad: GatedScan
) -> None:
    """The gradients of `make_steps`; grad_dt is overwritten."""
    rank, width = gated.dt_weight.shape[1:]
    for t in range(len(logits)):
        logit, g_logit, g_bias = logits[t], grad_dt[t], grad.dt_bias[g]
        for d in range(width):
            g_logit[d] *= sigmoid(logit[d])
            g_bias[d] += g_logit[d]
        for r in range(rank):
            factor, weight = gated.selected[g, s, t, r], gated.dt_weight[g, r]
            g_weight, g_factor = grad.dt_weight[g, r], ZERO
            for d in range(width):
                g_factor += g_logit[d] * weight[d]
                g_weight[d] += g_logit[d] * factor
            grad.selected[g, s, t, r] = g_factor


@compiled
def gated_scan_forward(gated: GatedScan, y: Array, out: Array) -> None:
    """The sum of both scans, y, and the same gated, out (S, L, D)."""
    sequences, length, width = y.shape
    logits, dt = np.empty((length, width), f32), np.empty((length, width), f32)
    state, drive = np.empty(gated.A.shape[1:], f32), np.empty(width, f32)
    y[:] = ZERO
    for s in range(sequences):
        for g in range(2):
            make_steps(gated, s, g, logits, dt)
            add_scan(direction(gated, s, g, dt), g == 1, state, drive, y[s])
        for t in range(length):
            z, y_t, out_t = gated.xz[s, t, width:], y[s, t], out[s, t]
            for d in range(width):
                out_t[d] = y_t[d] * (z[d] * sigmoid(z[d]))


@compiled
def gated_scan_backward(gated: GatedScan, y: Array, grad_out: Array, grad: GatedScan) -> None:
    """Of grad.xz only the last D channels are written."""
    sequences, length, width = y.shape
    logits, dt = np.empty((length, width), f32), np.empty((length, width), f32)
    grad_y, grad_dt = np.empty((length, width), f32), np.empty((length, width), f32)
    room = make_room(length, gated.A.shape[1], width)
    for s in range(sequences):
        for t in range(length):
            z, gz = gated.xz[s, t, width:], grad.xz[s, t, width:]
            y_t, g_out, gy = y[s, t], grad_out[s, t], grad_y[t]
            for d in range(width):
                gy[d] = g_out[d] * (z[d] * sigmoid(z[d]))
                gz[d] = g_out[d] * y_t[d] * silu_slope(z[d])
        for g in range(2):
            make_steps(gated, s, g, logits, dt)
            its_grad = direction(grad, s, g, grad_dt)
            backward_of_one(direction(gated, s, g, dt), g == 1, grad_y, room, its_grad)
            make_steps_backward(gated, s, g, logits, grad_dt, grad)
