"""A Grained Mamba block's convolution, selection, scan and gate as one operator of torch.

It computes what `BidirectionalScan` computes step by step, without a copy between the directions,
of which the second runs from the last token to the first. Matrix products are torch's, the rest is
machine code. Gradients of weights are added to what is there; all others are overwritten.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from hmrm_lab.models.scan.fused import add_scan, differentiate_scan, to_array
from hmrm_lab.models.scan.vector_math import (
    ZERO,
    Array,
    compiled,
    complement,
    f32,
    inlined,
    sigmoid,
    silu_slope,
    softplus,
)

COMPILED_IN = "3d849848"  # as in `scan.machine_code`
DIRECTIONS = (False, True)  # whether it runs from the last token to the first
Tensors = tuple[Tensor, ...]


class Convolution(NamedTuple):
    """xz (B, L, 2 D), whose first D channels are convolved; weight (2, K, D); bias (2, D)."""

    xz: Array
    weight: Array
    bias: Array


@inlined
def convolve_token(conv: Convolution, g: int, s: int, t: int, out: Array) -> None:
    """Convolve one token, causal and depth-wise."""
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
    """Compute SiLU of the convolution of both directions, u (2, B, L, D)."""
    for g in range(2):
        for s in range(u.shape[1]):
            for t in range(u.shape[2]):
                u_t = u[g, s, t]
                convolve_token(conv, g, s, t, u_t)
                for d in range(len(u_t)):
                    u_t[d] *= sigmoid(u_t[d])


@compiled
def convolve_backward(conv: Convolution, grad_u: Array, grad: Convolution) -> None:
    """Write the gradients of `convolve_forward`; of grad.xz only the first D channels."""
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
    """Compute softplus(dt + bias) in place of dt (2, rows, D); bias (2, D)."""
    for g in range(2):
        for i in range(dt.shape[1]):
            row, b = dt[g, i], bias[g]
            for d in range(len(row)):
                row[d] = softplus(row[d] + b[d])


@compiled
def steps_backward(dt: Array, grad: Array, grad_bias: Array) -> None:
    """Turn the gradient of dt into that of softplus' argument; softplus' = 1 - exp(-dt)."""
    for g in range(2):
        for i in range(dt.shape[1]):
            row, g_row, g_bias = dt[g, i], grad[g, i], grad_bias[g]
            for d in range(len(row)):
                g_row[d] *= complement(row[d])
                g_bias[d] += g_row[d]


@compiled
def gate_forward(xz: Array, y: Array, out: Array) -> None:
    """Multiply y (B, L, D) by SiLU of the last D channels of xz."""
    for s in range(y.shape[0]):
        for t in range(y.shape[1]):
            y_t, out_t = y[s, t], out[s, t]
            z = xz[s, t, len(y_t) :]
            for d in range(len(y_t)):
                out_t[d] = y_t[d] * (z[d] * sigmoid(z[d]))


@compiled
def gate_backward(xz: Array, y: Array, grad_out: Array, grad_xz: Array, grad_y: Array) -> None:
    """Write the gradients of `gate_forward`; of grad_xz only the last D channels."""
    for s in range(y.shape[0]):
        for t in range(y.shape[1]):
            y_t, g_out, g_y = y[s, t], grad_out[s, t], grad_y[s, t]
            z, g_z = xz[s, t, len(y_t) :], grad_xz[s, t, len(y_t) :]
            for d in range(len(y_t)):
                g_y[d] = g_out[d] * (z[d] * sigmoid(z[d]))
                g_z[d] = g_out[d] * y_t[d] * silu_slope(z[d])


OPERANDS = (
    "Tensor xz, Tensor conv_weight, Tensor conv_bias, Tensor select, Tensor dt_weight,"
    " Tensor dt_bias, Tensor A, Tensor skip"
)


def _compute(xz: Tensor, *weights: Tensor) -> Tensors:
    """Compute `fused_bidirectional_scan`, and what its backward pass needs."""
    conv_weight, conv_bias, select, dt_weight, dt_bias, A, skip = weights
    batch, length, width = xz.shape[0], xz.shape[1], conv_bias.shape[1]
    u = torch.empty(2, batch, length, width)
    convolve_forward(_convolution(xz, conv_weight, conv_bias), u.numpy())
    selected = torch.bmm(u.flatten(1, 2), select)
    dt = torch.bmm(selected[..., : dt_weight.shape[1]], dt_weight)
    steps_forward(dt.numpy(), to_array(dt_bias))
    y, out = torch.zeros(batch, length, width), torch.empty(batch, length, width)
    add_scan(_scan(u, selected, dt, A, skip), DIRECTIONS, y)
    gate_forward(to_array(xz), y.numpy(), out.numpy())
    return out, u, selected, dt, y


_forward = torch.library.custom_op(
    "hmrm::bidirectional_scan",
    _compute,
    mutates_args=(),
    device_types="cpu",
    schema=f"({OPERANDS}) -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
)


@torch.library.custom_op(
    "hmrm::bidirectional_scan_backward",
    mutates_args=(),
    device_types="cpu",
    schema=f"(Tensor grad_out, Tensor u, Tensor selected, Tensor dt, Tensor y, {OPERANDS})"
    f" -> ({', '.join(['Tensor'] * 8)})",
)
def _backward(
    grad_out: Tensor, u: Tensor, selected: Tensor, dt: Tensor, y: Tensor, *operands: Tensor
) -> Tensors:
    xz, conv_weight, conv_bias, select, dt_weight, dt_bias, A, skip = operands
    g_xz, g_y = torch.empty(xz.shape), torch.empty(y.shape)
    weights = (conv_weight, conv_bias, dt_bias)
    g_conv, g_conv_bias, g_dt_bias = (torch.zeros(t.shape) for t in weights)
    gate_backward(to_array(xz), y.numpy(), to_array(grad_out), g_xz.numpy(), g_y.numpy())
    scan = _scan(u, selected, dt, A, skip)
    g_u, g_dt, g_A, g_B, g_C, g_skip = differentiate_scan(scan, DIRECTIONS, g_y)
    g_u, g_dt = g_u.view(dt.shape), g_dt.view(dt.shape)
    steps_backward(dt.numpy(), g_dt.numpy(), g_dt_bias.numpy())
    factors = selected[..., : dt_weight.shape[1]]
    g_dt_weight = torch.bmm(factors.mT, g_dt)
    g_factors = torch.bmm(g_dt, dt_weight.mT)
    rows = (*factors.shape[:2], A.shape[1])
    g_selected = torch.cat([g_factors, g_B.view(rows), g_C.view(rows)], dim=-1)
    g_select = torch.bmm(u.flatten(1, 2).mT, g_selected)
    g_u.baddbmm_(g_selected, select.mT)
    convolve_backward(
        _convolution(xz, conv_weight, conv_bias),
        g_u.view(u.shape).numpy(),
        _convolution(g_xz, g_conv, g_conv_bias),
    )
    return g_xz, g_conv, g_conv_bias, g_select, g_dt_weight, g_dt_bias, g_A, g_skip


def fused_bidirectional_scan(xz: Tensor, *weights: Tensor) -> Tensor:
    """Scan both directions of a block, add and gate them: xz (B, L, 2 D) to (B, L, D).

    xz are the projected tokens and their gates; the weights are conv_weight (2, K, D), conv_bias
    (2, D), select (2, D, R + 2 N), dt_weight (2, R, D), dt_bias (2, D), A (2, N, D), the transpose
    of the equation's, and skip (2, D). The machine code checks no bounds.
    """
    _check(xz, *weights)
    compute = _forward if torch.is_grad_enabled() else _compute  # an operator imports the compiler
    return compute(xz, *weights)[0]


@_forward.register_fake
def _(xz: Tensor, conv_weight: Tensor, conv_bias: Tensor, select: Tensor, *_: Tensor) -> Tensors:
    batch, length, width = xz.shape[0], xz.shape[1], conv_bias.shape[1]
    rows = batch * length
    shapes = (2, batch, length, width), (2, rows, select.shape[2]), (2, rows, width)
    out = xz.new_empty(batch, length, width)
    return out, *(xz.new_empty(shape) for shape in shapes), torch.empty_like(out)


@_backward.register_fake
def _(*arguments: Tensor) -> Tensors:
    return tuple(torch.empty(t.shape, dtype=t.dtype, device=t.device) for t in arguments[5:])


def _save(ctx: Any, inputs: Tensors, output: Tensors) -> None:
    ctx.save_for_backward(*output[1:], *inputs)
    ctx.set_materialize_grads(False)  # of all but the first output


def _differentiate(ctx: Any, grad_out: Tensor, *_: Tensor) -> Tensors:
    return _backward(grad_out, *ctx.saved_tensors)


_forward.register_autograd(_differentiate, setup_context=_save)


def _check(xz: Tensor, *weights: Tensor) -> None:
    """Refuse what neither torch's products nor the scan would."""
    conv_weight, conv_bias, select, dt_weight, dt_bias, A, _ = weights
    width, selected = xz.shape[2] // 2, dt_weight.shape[1] + 2 * A.shape[1]
    fitting = conv_weight.shape[::2] == conv_bias.shape == dt_bias.shape == (2, width)
    if not fitting or xz.shape[2] % 2 or select.shape[2] != selected:
        shapes = [tuple(tensor.shape) for tensor in (xz, *weights)]
        raise ValueError(f"shapes {shapes} do not go together")


def _scan(u: Tensor, selected: Tensor, dt: Tensor, A: Tensor, skip: Tensor) -> Tensors:
    """Lay the arguments of both scans one after the other."""
    length, states, width = u.shape[2], A.shape[1], u.shape[3]
    B, C = selected[..., -2 * states : -states], selected[..., -states:]
    x, steps = (t.reshape(-1, length, width) for t in (u, dt))
    B, C = (t.reshape(-1, length, states) for t in (B, C))
    return x, steps, A, B, C, skip


def _convolution(*tensors: Tensor) -> Convolution:
    return Convolution(*map(to_array, tensors))
