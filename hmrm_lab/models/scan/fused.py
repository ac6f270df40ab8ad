"""The scan as one operator of torch: machine code on the CPU, Triton on CUDA devices; float32.

Registered through `torch.library`, so that autograd, `torch.compile` and `torch.export` see one
operator.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from hmrm_lab.models.scan import machine_code
from hmrm_lab.models.scan.vector_math import Array, Room, Scan, make_room

Tensors = tuple[Tensor, ...]


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
    y = torch.zeros(x.shape)
    add_scan((x, dt, A, B, C, skip), reverse, y)
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
    grads = differentiate_scan((x, dt, A, B, C, skip), reverse, grad_y)
    return grads[0], grads[1], grads[2], grads[3], grads[4], grads[5]


@fused_scan.register_kernel("cuda")
def _(*arguments: Any) -> Tensor:
    from hmrm_lab.models.scan import triton_scan  # needs Triton

    _check(arguments[:6], arguments[6])
    return triton_scan.forward(*arguments)


@_backward.register_kernel("cuda")
def _(*arguments: Any) -> tuple[Tensor, ...]:
    from hmrm_lab.models.scan import triton_scan

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


def add_scan(scan: Tensors, reverse: Sequence[bool], y: Tensor) -> None:
    """Add the scans of S sequences to y (S', L, D), which S' divides, in turn."""
    _check(scan, reverse)
    if not scan[0].numel():
        return
    arguments = _arrays(_even(scan))
    machine_code.scan_forward(arguments, np.array(reverse), _room(arguments), y.numpy())


def differentiate_scan(scan: Tensors, reverse: Sequence[bool], grad_y: Tensor) -> Tensors:
    """The gradients of the arguments of `add_scan`, of its y (S', L, D)."""
    _check(scan, reverse)
    if not scan[0].numel():
        return tuple(torch.zeros(tensor.shape) for tensor in scan)
    even = _even(scan)
    arguments = _arrays(even)
    x, dt, A, B, C, skip = even
    into = [torch.empty(tensor.shape) for tensor in (x, dt, A)]
    into += [torch.zeros(B.shape), torch.zeros(C.shape), torch.empty(skip.shape)]
    machine_code.scan_backward(
        arguments, np.array(reverse), _room(arguments), to_array(grad_y), _arrays(into)
    )
    states = scan[2].shape[1]
    g_x, g_dt, g_A, g_B, g_C, g_skip = into
    if states != A.shape[1]:
        g_A, g_B, g_C = (
            g_A[:, :states].clone(),
            g_B[..., :states].clone(),
            g_C[..., :states].clone(),
        )
    return g_x, g_dt, g_A, g_B, g_C, g_skip


def _even(scan: Tensors) -> Tensors:
    """The machine code goes two states at a time: an odd number gets one that nothing drives."""
    x, dt, A, B, C, skip = scan
    if A.shape[1] % 2:
        A, B, C = F.pad(A, (0, 0, 0, 1)), F.pad(B, (0, 1)), F.pad(C, (0, 1))
    return x, dt, A, B, C, skip


def _arrays(tensors: Sequence[Tensor]) -> Scan:
    return Scan(*map(to_array, tensors))


def _room(scan: Scan) -> Room:
    return make_room(scan.x.shape[1], scan.A.shape[1], scan.x.shape[2])


def to_array(tensor: Tensor) -> Array:
    """The memory of a tensor, copied only where it is not contiguous."""
    return tensor.detach().contiguous().numpy()


def _check(scan: Tensors, reverse: Sequence[bool]) -> None:
    """The kernels do not look at their bounds."""
    x, dt, A, B, C, skip = scan
    (sequences, length, width), groups, states = x.shape, len(reverse), A.shape[1]
    expected = (
        (sequences, length, width),
        (groups, states, width),
        (sequences, length, states),
        (sequences, length, states),
        (groups, width),
    )
    shapes = tuple(tuple(tensor.shape) for tensor in (dt, A, B, C, skip))
    if shapes != expected or not groups or sequences % groups:
        raise ValueError(f"shapes {shapes} do not go with x {tuple(x.shape)}, {groups} groups")
