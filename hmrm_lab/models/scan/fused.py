"""The scan as one operator of torch, which autograd, `torch.compile` and `torch.export` see.

Machine code on the CPU, Triton on CUDA devices; float32. Or the kernel of the package mamba-ssm.
"""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from hmrm_lab.errors import ConfigError
from hmrm_lab.models.scan import machine_code
from hmrm_lab.models.scan.machine_code import Flags, Scan, Work, make_work
from hmrm_lab.models.scan.vector_math import Array

Tensors = tuple[Tensor, ...]


@torch.library.custom_op("hmrm::selective_scan", mutates_args=(), device_types="cpu")
def fused_scan(
    x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, skip: Tensor, reverse: list[bool]
) -> Tensor:
    """Scan S sequences in G groups; group g runs backwards where `reverse[g]`.

    x, dt (S, L, D); A (G, N, D), the transpose of the equation's, G divides S; B, C (S, L, N);
    skip (G, D). Returns (S, L, D).
    """
    y = torch.zeros(x.shape)
    add_scan((x, dt, A, B, C, skip), reverse, y)
    return y


@torch.library.custom_op(
    "hmrm::selective_scan_backward",
    mutates_args=(),
    device_types="cpu",
    schema="(Tensor grad_y, Tensor x, Tensor dt, Tensor A, Tensor B, Tensor C, Tensor skip,"
    " bool[] reverse) -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
)
def _backward(grad_y: Tensor, *arguments: Any) -> Tensors:
    return differentiate_scan(arguments[:6], arguments[6], grad_y)


@fused_scan.register_kernel("cuda")
def _(*arguments: Any) -> Tensor:
    from hmrm_lab.models.scan import triton_scan  # needs Triton

    _check(arguments[:6], arguments[6])
    return triton_scan.forward(*arguments)


@_backward.register_kernel("cuda")
def _(*arguments: Any) -> Tensors:
    from hmrm_lab.models.scan import triton_scan

    return triton_scan.backward(*arguments)


@fused_scan.register_fake
def _(x: Tensor, *_: Any) -> Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


@_backward.register_fake
def _(grad_y: Tensor, *arguments: Any) -> Tensors:
    kept = torch.contiguous_format
    return tuple(torch.empty_like(tensor, memory_format=kept) for tensor in arguments[:6])


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.reverse = inputs
    ctx.save_for_backward(*tensors)


def _differentiate(ctx: Any, grad_y: Tensor) -> tuple[Tensor | None, ...]:
    return (*_backward(grad_y, *ctx.saved_tensors, ctx.reverse), None)


fused_scan.register_autograd(_differentiate, setup_context=_save)


@fused_scan.register_vmap
def _(info: Any, in_dims: tuple[Any, ...], *arguments: Any) -> tuple[Tensor, int]:
    """Scan stacked folds at once: the groups of one after those of another."""
    *tensors, reverse = arguments
    folds = info.batch_size
    pairs = zip(tensors, in_dims, strict=False)  # the directions are of all folds
    moved = [t.expand(folds, *t.shape) if at is None else t.movedim(at, 0) for t, at in pairs]
    y = fused_scan(*(tensor.flatten(0, 1) for tensor in moved), reverse * folds)
    return y.unflatten(0, (folds, -1)), 0


def add_scan(scan: Tensors, reverse: Sequence[bool], y: Tensor) -> None:
    """Add the scan of sequence s of S to y[s mod S'], y (S', L, D); S' divides S."""
    prepared = _prepare(scan, reverse)
    if scan[0].numel():
        machine_code.scan_forward(*prepared, y.numpy())


def differentiate_scan(scan: Tensors, reverse: Sequence[bool], grad_y: Tensor) -> Tensors:
    """Compute the gradients of the arguments of `add_scan` from that of its y (S', L, D)."""
    prepared, states = _prepare(scan, reverse), scan[2].shape[1]
    grads = [torch.zeros(array.shape) for array in prepared[0]]  # those of B and C are added up
    if scan[0].numel():
        machine_code.scan_backward(*prepared, to_array(grad_y), Scan(*map(to_array, grads)))
    g_x, g_dt, g_A, g_B, g_C, g_skip = grads
    g_B, g_C = (grad[..., :states].contiguous() for grad in (g_B, g_C))
    return g_x, g_dt, g_A[:, :states].contiguous(), g_B, g_C, g_skip


def _prepare(scan: Tensors, reverse: Sequence[bool]) -> tuple[Scan, Flags, Work]:
    """Check the arguments and make them arrays, with memory to work in."""
    _check(scan, reverse)
    x, dt, A, B, C, skip = scan
    if A.shape[1] % 2:  # states are taken two by two: one more, which is never driven
        A, B, C = F.pad(A, (0, 0, 0, 1)), F.pad(B, (0, 1)), F.pad(C, (0, 1))
    arrays = Scan(*map(to_array, (x, dt, A, B, C, skip)))
    return arrays, np.array(reverse), make_work(x.shape[1], A.shape[1], x.shape[2])


def to_array(tensor: Tensor) -> Array:
    """View the memory of a tensor, copied only where it is not contiguous."""
    return tensor.detach().contiguous().numpy()


def _check(scan: Tensors, reverse: Sequence[bool]) -> None:
    """Raise `ValueError` where shapes do not fit: the kernels check no bounds."""
    x, dt, A, B, C, skip = scan
    (sequences, length, width), groups, states = x.shape, len(reverse), A.shape[1]
    selected = (sequences, length, states)
    expected = (tuple(x.shape), (groups, states, width), selected, selected, (groups, width))
    shapes = tuple(tuple(tensor.shape) for tensor in (dt, A, B, C, skip))
    if shapes != expected or not groups or sequences % groups:
        raise ValueError(f"shapes {shapes} do not go with x {tuple(x.shape)}, {groups} groups")


def mamba_ssm_scan(
    x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, skip: Tensor, reverse: Sequence[bool]
) -> Tensor:
    """Scan as `fused_scan` does, by the package mamba-ssm; one launch for each group."""
    kernel = from_mamba_ssm("selective_scan_interface", "selective_scan_fn", option="scan")
    chunks = (tensor.chunk(len(A)) for tensor in (x, dt, B, C))
    outputs = []
    for *sequences, A_g, skip_g, flipped in zip(*chunks, A, skip, reverse, strict=True):
        # The kernel scans along the last axis, forward, with A of (D, N).
        steps = (tensor.flip(1).mT if flipped else tensor.mT for tensor in sequences)
        u, delta, b, c = (step.contiguous() for step in steps)
        y = kernel(u, delta, A_g.mT.contiguous(), b, c, skip_g).mT
        outputs.append(y.flip(1) if flipped else y)
    return torch.cat(outputs)


def from_mamba_ssm(module: str, name: str, *, option: str) -> Any:
    """Import a kernel of the package mamba-ssm, or raise `ConfigError` where it is missing."""
    try:
        return getattr(import_module(f"mamba_ssm.ops.{module}"), name)
    except Exception as error:  # noqa: BLE001  its import brings much with it, all of which can fail
        problem = f"{option}=mamba_ssm needs the package mamba-ssm ({error})"
        hint = f"pip install --no-build-isolation -r requirements-gpu.txt, or use {option}=auto"
        raise ConfigError(problem, hint=hint) from None
