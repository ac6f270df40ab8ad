"""The selective scan of Mamba (paper 3.2; Gu and Dao 2023), as one recurrence over tokens.

    h_t = exp(dt_t A) h_{t-1} + dt_t B_t x_t        y_t = <C_t, h_t> + D x_t

`A` is learned and fixed; `dt`, `B` and `C` depend on the input. The state `A` is discretised by
zero-order hold and the input by `dt B`, as in Mamba. Backends agree up to rounding; `auto` takes
the fastest of this package that can compute the tensor:

    reference   the recurrence in plain torch, any device and type; the others are tested against it
    fused       machine code over channels (numba); float32 on the CPU
    cuda        the same operator by Triton; float32 on CUDA devices
    mamba_ssm   the kernel of the package mamba-ssm; float32 on CUDA devices
"""

import warnings
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from hmrm_lab.errors import ConfigError
from hmrm_lab.models.scan.fused import fused_scan, gated_scan, mamba_ssm_scan

Backend = Literal["auto", "reference", "fused", "cuda", "mamba_ssm"]
DEVICES = {"fused": "cpu", "cuda": "cuda", "mamba_ssm": "cuda"}
DEVICE_NAMES = {"fused": "the CPU", "cuda": "CUDA devices with Triton", "mamba_ssm": "CUDA devices"}


def scan_reference(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, skip: Tensor) -> Tensor:
    """Compute the equation step by step, forward in time; shapes as in `selective_scan`."""
    decay = torch.exp(dt[..., None] * A[..., None, :, :])  # (..., L, D, N)
    drive = (dt * x)[..., None] * B[..., None, :]  # (..., L, D, N)
    state = torch.zeros_like(drive[..., 0, :, :])  # (..., D, N)
    outputs = []
    for t in range(x.shape[-2]):
        state = decay[..., t, :, :] * state + drive[..., t, :, :]
        outputs.append((state * C[..., t, None, :]).sum(-1))  # (..., D)
    return torch.stack(outputs, dim=-2) + skip[..., None, :] * x


def selective_scan(
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    skip: Tensor,
    *,
    reverse: bool = False,
    backend: Backend = "auto",
) -> Tensor:
    """Scan every sequence over its tokens, or from the last to the first.

    Raises `ConfigError` if the named backend cannot compute this tensor.

    x, dt (..., L, D), dt > 0; A (D, N), or (..., D, N) with leading axes that broadcast against
    those of x, A < 0; B, C (..., L, N); skip (D,) or (..., D), the D of the equation. Returns
    (..., L, D).
    """
    # A recurrence adds up what is rounded.
    if not x.is_meta and torch.is_autocast_enabled(x.device.type):
        x, dt, A, B, C, skip = (tensor.float() for tensor in (x, dt, A, B, C, skip))
    name = choose_backend(backend, x)
    if name == "reference":
        x, dt, B, C = (tensor.flip(-2) if reverse else tensor for tensor in (x, dt, B, C))
        y = scan_reference(x, dt, A, B, C, skip)
        return y.flip(-2) if reverse else y
    scan = mamba_ssm_scan if name == "mamba_ssm" else fused_scan
    return scan_groups(scan, (x, dt, A, B, C, skip), (reverse,))


def bidirectional_scan(
    scan: Sequence[Tensor], dt_bias: Tensor, gate: Tensor, *, backend: Backend = "auto"
) -> Tensor:
    """Scan tokens and reversed tokens, add both in their order, and multiply by SiLU of the gate.

    `scan` are the tensors of `selective_scan` with x (2, B, L, D), of which the second comes
    reversed; their steps are softplus(dt + dt_bias), dt_bias (2, D). gate (B, L, D). Returns
    (B, L, D). On CUDA devices it is one operator.
    """
    x, dt, *others = scan
    if choose_backend(backend, x) == "cuda":
        *scan, bias, z = (tensor.float() for tensor in (*scan, dt_bias, gate))
        return scan_groups(lambda *a: gated_scan(*a[:6], bias, z, a[6]), scan, (False, True)).sum(0)
    dt = F.softplus(dt + dt_bias[:, None, None])
    forward, backward = selective_scan(x, dt, *others, backend=backend)
    return (forward + backward.flip(-2)) * F.silu(gate)


def choose_backend(backend: Backend, x: Tensor) -> str:
    """Return the named backend, `ConfigError` where it cannot compute x, or the fastest."""
    if x.is_meta and backend in DEVICES:  # shapes alone, which need no kernel
        return "reference"
    if backend == "auto":
        return next((name for name in ("fused", "cuda") if _fits(name, x)), "reference")
    if backend in DEVICES and not _fits(backend, x):
        raise ConfigError(
            f"the {backend} scan computes float32 on {DEVICE_NAMES[backend]}, not {x.dtype} on"
            f" {x.device}",
            hint="use scan=auto",
        )
    return backend


def _fits(name: str, x: Tensor) -> bool:
    alike = x.device.type == DEVICES[name] and x.dtype == torch.float32
    return alike and (name != "cuda" or runs_triton(x.device))


@torch.compiler.assume_constant_result
def runs_triton(device: torch.device) -> bool:
    return _compiles(device)


@cache
def _compiles(device: torch.device) -> bool:
    """Compile and run the smallest scan, or warn of what is missing.

    Triton needs a C compiler and the headers of Python, which a machine may lack.
    """
    try:
        from hmrm_lab.models.scan import triton_scan

        one = torch.ones(1, 1, 1, device=device)
        triton_scan.forward(one, one, -one, one, one, one[0], [False])
    except Exception as error:  # noqa: BLE001  whatever is missing
        warnings.warn(f"no Triton on {device}, the scan is slower: {error}", stacklevel=2)
        return False
    return True


def scan_groups(
    scan: Callable[..., Tensor], tensors: Sequence[Tensor], reverse: tuple[bool, ...]
) -> Tensor:
    """Call a scan like `fused_scan`: sequences in groups with an A and a direction of their own."""
    x, dt, A, B, C, skip = tensors
    lead, (length, width), states = x.shape[:-2], x.shape[-2:], A.shape[-1]
    shared = torch.broadcast_shapes(A.shape[:-2], skip.shape[:-1], (1,) * len(lead))
    varying = len(shared)
    while varying and shared[varying - 1] == 1:
        varying -= 1
    groups, own = lead[:varying], (1,) * (len(lead) - varying)
    A = A.expand(*groups, *own, width, states).reshape(-1, width, states)
    skip = skip.expand(*groups, *own, width).reshape(-1, width)
    of_groups = [flipped for flipped in reverse for _ in range(len(A) // len(reverse))]
    y = scan(
        x.reshape(-1, length, width),
        dt.expand_as(x).reshape(-1, length, width),
        A.mT,
        B.expand(*lead, length, states).reshape(-1, length, states),
        C.expand(*lead, length, states).reshape(-1, length, states),
        skip,
        of_groups,
    )
    return y.reshape(x.shape)
