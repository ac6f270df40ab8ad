"""The scan as one operator of torch, which autograd, `torch.compile` and `torch.export` see.

Machine code on the CPU, Triton on CUDA devices; float32. Or the kernel of the package mamba-ssm.
"""

from collections.abc import Callable, Sequence
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
Kernels = tuple[Callable[..., Tensor], Callable[..., Tensors]]  # forward, backward
OPERANDS = "Tensor x, Tensor dt, Tensor A, Tensor B, Tensor C, Tensor skip"


def _make_operator(name: str, operands: str, device: str, kernels: Kernels) -> tuple[Any, Any]:
    """Make an operator of torch and its backward pass, which trace, stack and differentiate."""
    count, kept = operands.count("Tensor"), torch.contiguous_format
    gradients = f"({', '.join(['Tensor'] * count)})"
    signatures = (
        ("", f"({operands}, bool[] reverse) -> Tensor"),
        ("_backward", f"(Tensor grad_y, {operands}, bool[] reverse) -> {gradients}"),
    )
    scan, differentiate = (
        torch.library.custom_op(
            f"hmrm::{name}{suffix}", kernel, mutates_args=(), device_types=device, schema=schema
        )
        for (suffix, schema), kernel in zip(signatures, kernels, strict=True)
    )

    def save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        *tensors, ctx.reverse = inputs
        ctx.save_for_backward(*tensors)

    def stack(info: Any, in_dims: tuple[Any, ...], *arguments: Any) -> tuple[Tensor, int]:
        """Scan stacked folds at once: the groups of one after those of another."""
        *tensors, reverse = arguments
        folds = info.batch_size
        pairs = zip(tensors, in_dims, strict=False)  # the directions are of all folds
        moved = [t.expand(folds, *t.shape) if at is None else t.movedim(at, 0) for t, at in pairs]
        y = scan(*(tensor.flatten(0, 1) for tensor in moved), reverse * folds)
        return y.unflatten(0, (folds, -1)), 0

    def hand_back(ctx: Any, grad_y: Tensor) -> tuple[Tensor | None, ...]:
        return (*differentiate(grad_y, *ctx.saved_tensors, ctx.reverse), None)

    scan.register_fake(lambda x, *_: torch.empty_like(x, memory_format=kept))
    differentiate.register_fake(
        lambda _, *all_: tuple(torch.empty_like(one, memory_format=kept) for one in all_[:count])
    )
    scan.register_autograd(hand_back, setup_context=save)
    scan.register_vmap(stack)
    return scan, differentiate


def _on_cpu(*arguments: Any) -> Tensor:
    add_scan(arguments[:6], arguments[6], y := torch.zeros(arguments[0].shape))
    return y


def _on_cuda(*arguments: Any) -> Tensor:
    from hmrm_lab.models.scan import triton_scan  # needs Triton

    _check(arguments[:-1], arguments[-1])
    return triton_scan.forward(*arguments)


def _back_on_cuda(*arguments: Any) -> Tensors:
    from hmrm_lab.models.scan import triton_scan

    return triton_scan.backward(*arguments)


# Scans S sequences in G groups, group g backwards where `reverse[g]`; returns (S, L, D). Of x, dt
# (S, L, D); A (G, N, D), the transpose of the equation's, G divides S; B, C (S, L, N); skip (G, D).
fused_scan, _differentiate = _make_operator(
    "selective_scan",
    OPERANDS,
    "cpu",
    (_on_cpu, lambda grad_y, *scan: differentiate_scan(scan[:6], scan[6], grad_y)),
)
fused_scan.register_kernel("cuda")(_on_cuda)
_differentiate.register_kernel("cuda")(_back_on_cuda)
# The same with steps softplus(dt + bias) and y times SiLU(gate); bias (G, D), gate (S', L, D), that
# S / S' groups share. A group that runs backwards comes reversed, but for its gate and y.
gated_scan, _differentiate_gated = _make_operator(
    "gated_scan", f"{OPERANDS}, Tensor bias, Tensor gate", "cuda", (_on_cuda, _back_on_cuda)
)


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
    x, A, *gated = scan[0], scan[2], *scan[6:]
    (sequences, length, width), groups, states = x.shape, len(reverse), A.shape[1]
    selected, gates = (sequences, length, states), len(gated[1]) if gated else sequences
    weights = (groups, width)
    expected = [tuple(x.shape), (groups, states, width), selected, selected, weights]
    expected += [weights, (gates, length, width)] if gated else []
    shapes = [tuple(tensor.shape) for tensor in scan[1:]]
    uneven = groups == 0 or sequences % groups or sequences % max(1, gates)
    if shapes != expected or uneven or gates % max(1, sequences // groups):
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
