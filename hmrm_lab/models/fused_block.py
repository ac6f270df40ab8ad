"""The inside of a Grained Mamba block as one operator of torch: convolution, selection, scan, gate.

The same arithmetic as `BidirectionalScan` does step by step, with nothing copied between the two
directions and every elementwise step done while its numbers are in the cache. Matrix products are
torch's. Float32 on the CPU; registered through `torch.library`.
"""

from typing import Any

import torch
from torch import Tensor

from hmrm_lab.models import kernels
from hmrm_lab.models.layers import multiply
from hmrm_lab.models.selective_scan.fused import to_array

Tensors = tuple[Tensor, ...]


@torch.library.custom_op("hmrm::bidirectional_scan", mutates_args=(), device_types="cpu")
def _forward(
    xz: Tensor,
    conv_weight: Tensor,
    conv_bias: Tensor,
    select: Tensor,
    dt_weight: Tensor,
    dt_bias: Tensor,
    A: Tensor,
    skip: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """As `fused_bidirectional_scan`; returns what the backward pass needs as well."""
    batch, length, width = xz.shape[0], xz.shape[1], conv_bias.shape[1]
    u = torch.empty(2, batch, length, width)
    kernels.convolve_forward(_convolution(xz, conv_weight, conv_bias), u.numpy())
    selected = torch.stack([multiply(u[g].flatten(0, 1), select[g]) for g in range(2)])
    selected = selected.view(2, batch, length, select.shape[2])
    y, out = torch.empty(batch, length, width), torch.empty(batch, length, width)
    gated = _gated(u, selected, dt_weight, dt_bias, A, skip, xz)
    kernels.gated_scan_forward(gated, y.numpy(), out.numpy())
    return out, u, selected, y


@torch.library.custom_op("hmrm::bidirectional_scan_backward", mutates_args=(), device_types="cpu")
def _backward(
    grad_out: Tensor,
    u: Tensor,
    selected: Tensor,
    y: Tensor,
    xz: Tensor,
    conv_weight: Tensor,
    conv_bias: Tensor,
    select: Tensor,
    dt_weight: Tensor,
    dt_bias: Tensor,
    A: Tensor,
    skip: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    g_u, g_selected, g_xz = (torch.empty(t.shape) for t in (u, selected, xz))
    weights = (conv_weight, conv_bias, dt_weight, dt_bias, A, skip)
    g_conv, g_conv_bias, g_dt, g_dt_bias, g_A, g_skip = (torch.zeros(t.shape) for t in weights)
    kernels.gated_scan_backward(
        _gated(u, selected, dt_weight, dt_bias, A, skip, xz),
        y.numpy(),
        to_array(grad_out),
        _gated(g_u, g_selected, g_dt, g_dt_bias, g_A, g_skip, g_xz),
    )
    g_select = torch.empty(select.shape)
    for g in range(2):
        rows, g_rows, g_picked = (t[g].flatten(0, 1) for t in (u, g_u, g_selected))
        g_select[g] = multiply(rows.mT, g_picked)
        g_rows += multiply(g_picked, select[g].mT)
    kernels.convolve_backward(
        _convolution(xz, conv_weight, conv_bias),
        g_u.numpy(),
        _convolution(g_xz, g_conv, g_conv_bias),
    )
    return g_xz, g_conv, g_conv_bias, g_select, g_dt, g_dt_bias, g_A, g_skip


def fused_bidirectional_scan(
    xz: Tensor,
    conv_weight: Tensor,
    conv_bias: Tensor,
    select: Tensor,
    dt_weight: Tensor,
    dt_bias: Tensor,
    A: Tensor,
    skip: Tensor,
) -> Tensor:
    """Both directions of a block, added and gated.

    Shapes
    ------
    xz : (B, L, 2 D), the projected tokens and their gates
    conv_weight : (2, K, D); conv_bias, dt_bias, skip : (2, D)
    select : (2, D, R + 2 N); dt_weight : (2, R, D)
    A : (2, N, D), the transpose of the equation's
    returns : (B, L, D)
    """
    if xz.shape[2] != 2 * conv_bias.shape[1]:  # the kernels do not look at their bounds
        raise ValueError(f"{xz.shape[2]} channels, not 2 x {conv_bias.shape[1]}")
    out: Tensor = _forward(xz, conv_weight, conv_bias, select, dt_weight, dt_bias, A, skip)[0]
    return out


@_forward.register_fake
def _(xz: Tensor, conv_weight: Tensor, conv_bias: Tensor, select: Tensor, *_: Tensor) -> Tensors:
    batch, length, width = xz.shape[0], xz.shape[1], conv_bias.shape[1]
    shapes = (batch, length, width), (2, batch, length, width), (2, batch, length, select.shape[2])
    out, u, selected = (xz.new_empty(shape) for shape in shapes)
    return out, u, selected, torch.empty_like(out)


@_backward.register_fake
def _(grad_out: Tensor, u: Tensor, selected: Tensor, y: Tensor, *arguments: Tensor) -> Tensors:
    return tuple(torch.empty(t.shape, dtype=t.dtype, device=t.device) for t in arguments)


def _save(ctx: Any, inputs: Tensors, output: Tensors) -> None:
    ctx.save_for_backward(*output[1:], *inputs)
    ctx.set_materialize_grads(False)  # of all but the first output


def _differentiate(ctx: Any, grad_out: Tensor, *_: Tensor) -> Tensors:
    grads: Tensors = _backward(grad_out, *ctx.saved_tensors)
    return grads


_forward.register_autograd(_differentiate, setup_context=_save)


def _convolution(*tensors: Tensor) -> kernels.Convolution:
    return kernels.Convolution(*map(to_array, tensors))


def _gated(*tensors: Tensor) -> kernels.GatedScan:
    return kernels.GatedScan(*map(to_array, tensors))
