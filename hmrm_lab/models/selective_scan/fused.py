"""The scan as one operator of torch: machine code on the CPU, Triton on CUDA devices; float32.

Registered through `torch.library`, so that autograd, `torch.compile` and `torch.export` see one
operator.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from hmrm_lab.models import kernels


@torch.library.custom_op("hmrm::selective_scan", mutates_args=(), device_types="cpu")
def fused_scan(
    x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, skip: Tensor, reverse: list[bool]
) -> Tensor:
    """Scan S sequences in G groups; group g runs backwards where `reverse[g]`.

    Shapes
    ------
    x, dt : (S, L, D)
    A : (G, N, D), the transpose of the equation's; G divides S
    B, C : (S, L, N)
    skip : (G, D)
    returns : (S, L, D)
    """
    _check(x, dt, A, B, C, skip, reverse)
    y = torch.empty(x.shape)
    kernels.scan_forward(_scan(x, dt, A, B, C, skip), np.array(reverse), y.numpy())
    return y


@torch.library.custom_op("hmrm::selective_scan_backward", mutates_args=(), device_types="cpu")
def _backward(
    grad_y: Tensor,
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    skip: Tensor,
    reverse: list[bool],
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    scan = (x, dt, A, B, C, skip)
    g_x, g_dt, g_B, g_C = (torch.empty(tensor.shape) for tensor in (x, dt, B, C))
    g_A, g_skip = torch.zeros(A.shape), torch.zeros(skip.shape)
    grads = (g_x, g_dt, g_A, g_B, g_C, g_skip)
    kernels.scan_backward(_scan(*scan), np.array(reverse), to_array(grad_y), _scan(*grads))
    return g_x, g_dt, g_A, g_B, g_C, g_skip


@fused_scan.register_kernel("cuda")
def _(*arguments: Any) -> Tensor:
    from hmrm_lab.models.selective_scan import triton_scan  # needs Triton

    _check(*arguments)
    return triton_scan.forward(*arguments)


@_backward.register_kernel("cuda")
def _(*arguments: Any) -> tuple[Tensor, ...]:
    from hmrm_lab.models.selective_scan import triton_scan

    return triton_scan.backward(*arguments)


@fused_scan.register_fake
def _(
    x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, skip: Tensor, reverse: list[bool]
) -> Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


@_backward.register_fake
def _(grad_y: Tensor, *arguments: Any) -> tuple[Tensor, ...]:
    return tuple(
        torch.empty_like(tensor, memory_format=torch.contiguous_format) for tensor in arguments[:6]
    )


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.reverse = inputs
    ctx.save_for_backward(*tensors)


def _differentiate(ctx: Any, grad_y: Tensor) -> tuple[Tensor | None, ...]:
    return (*_backward(grad_y, *ctx.saved_tensors, ctx.reverse), None)


fused_scan.register_autograd(_differentiate, setup_context=_save)


def _scan(*tensors: Tensor) -> kernels.Scan:
    return kernels.Scan(*map(to_array, tensors))


def to_array(tensor: Tensor) -> kernels.Array:
    """The memory of a tensor, copied only where it is not contiguous."""
    return tensor.detach().contiguous().numpy()


def _check(
    x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, skip: Tensor, reverse: list[bool]
) -> None:
    """The kernels do not look at their bounds."""
    (sequences, length, width), groups, states = x.shape, len(reverse), A.shape[1]
    expected = (
        (sequences, length, width),
        (groups, states, width),
        (sequences, length, states),
        (sequences, length, states),
        (groups, width),
    )
    shapes = tuple(tuple(tensor.shape) for tensor in (dt, A, B, C, skip))
    if shapes != expected or sequences % groups:
        raise ValueError(f"shapes {shapes} do not go with x {tuple(x.shape)}, {groups} groups")
