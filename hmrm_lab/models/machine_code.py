"""Machine code for what is around the scan in a Grained Mamba block; numba, float32, one thread.

As in `selective_scan.machine_code`, the innermost loops run over channels. B sequences of L tokens
have D channels; direction 1 runs from the last token to the first. Gradients of weights are added
to what is there; all others are overwritten.
"""

from typing import NamedTuple

import numpy as np

from hmrm_lab.models.scan.blocks import Array
from hmrm_lab.models.vector_math import (
    ZERO,
    compiled,
    complement,
    f32,
    inlined,
    sigmoid,
    silu_slope,
    softplus,
)

COMPILED_IN = "14890c33"  # as in `selective_scan.machine_code`


class Convolution(NamedTuple):
    """xz (B, L, 2 D), whose first D channels are convolved; weight (2, K, D); bias (2, D)."""

    xz: Array
    weight: Array
    bias: Array


@inlined
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
    """SiLU of the convolution of both directions, u (2, B, L, D)."""
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
def steps_forward(dt: Array, bias: Array) -> None:
    """softplus(dt + bias) in place of dt (2, rows, D); bias (2, D)."""
    for g in range(2):
        for i in range(dt.shape[1]):
            row, b = dt[g, i], bias[g]
            for d in range(len(row)):
                row[d] = softplus(row[d] + b[d])


@compiled
def steps_backward(dt: Array, grad: Array, grad_bias: Array) -> None:
    """The gradient of what the step was made of, in place of its own; softplus' = 1 - exp(-dt)."""
    for g in range(2):
        for i in range(dt.shape[1]):
            row, g_row, g_bias = dt[g, i], grad[g, i], grad_bias[g]
            for d in range(len(row)):
                g_row[d] *= complement(row[d])
                g_bias[d] += g_row[d]


@compiled
def gate_forward(xz: Array, y: Array, out: Array) -> None:
    """y (B, L, D) times SiLU of the last D channels of xz."""
    for s in range(y.shape[0]):
        for t in range(y.shape[1]):
            y_t, out_t = y[s, t], out[s, t]
            z = xz[s, t, len(y_t) :]
            for d in range(len(y_t)):
                out_t[d] = y_t[d] * (z[d] * sigmoid(z[d]))


@compiled
def gate_backward(xz: Array, y: Array, grad_out: Array, grad_xz: Array, grad_y: Array) -> None:
    """Of grad_xz only the last D channels are written."""
    for s in range(y.shape[0]):
        for t in range(y.shape[1]):
            y_t, g_out, g_y = y[s, t], grad_out[s, t], grad_y[s, t]
            z, g_z = xz[s, t, len(y_t) :], grad_xz[s, t, len(y_t) :]
            for d in range(len(y_t)):
                g_y[d] = g_out[d] * (z[d] * sigmoid(z[d]))
                g_z[d] = g_out[d] * y_t[d] * silu_slope(z[d])
