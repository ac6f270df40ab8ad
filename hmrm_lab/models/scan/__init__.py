"""The selective scan of Mamba (paper 3.2; Gu and Dao 2023), as one recurrence over tokens.

    h_t = exp(dt_t A) h_{t-1} + dt_t B_t x_t        y_t = <C_t, h_t> + D x_t

`A` is learned and fixed; `dt`, `B` and `C` depend on the input. The state `A` is discretised by
zero-order hold and the input by `dt B`, as in Mamba.

Backends; values and gradients agree up to rounding:

    reference   the recurrence in plain torch; the others are tested against it
    loop        torch with a hand-written backward pass; any device, any floating type
    fused       machine code over channels (numba); float32 on the CPU
    cuda        the same operator by Triton; float32 on CUDA devices
    mamba_ssm   the kernel of the package mamba-ssm; float32 on CUDA devices, never chosen by auto
    auto        the fastest that can compute the tensor
"""

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Literal

import torch
from torch import Tensor

from hmrm_lab.errors import ConfigError
from hmrm_lab.models.scan.fused import fused_scan, mamba_ssm_scan
from hmrm_lab.models.scan.loop import scan_loop, scan_reference

Backend = Literal["auto", "reference", "loop", "fused", "cuda", "mamba_ssm"]
DEVICES = {"fused": "cpu", "cuda": "cuda", "mamba_ssm": "cuda"}
DEVICE_NAMES = {"fused": "the CPU", "cuda": "CUDA devices with Triton", "mamba_ssm": "CUDA devices"}
ANY_DEVICE = {"reference": scan_reference, "loop": scan_loop}


def selective_scan(
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    skip: Tensor,
    *,
    reverse: bool | tuple[bool, ...] = False,
    backend: Backend = "auto",
) -> Tensor:
    """Scan every sequence over its tokens.

    `reverse` runs from the last token to the first; a tuple gives it for each entry of the first
    axis of x. Raises `ConfigError` if the named backend cannot compute this tensor.

    Shapes
    ------
    x, dt : (..., L, D); dt > 0
    A : (D, N), or (..., D, N) with leading axes that broadcast against those of x; A < 0
    B, C : (..., L, N)
    skip : (D,) or (..., D), the D of the equation
    returns : (..., L, D)
    """
    name = choose_backend(backend, x)
    entries = max(1, len(x)) if x.ndim > 2 else 1
    reversed_ = (reverse,) * entries if isinstance(reverse, bool) else reverse
    if name in ANY_DEVICE:
        x, dt, B, C = (_flip(tensor, reversed_) for tensor in (x, dt, B, C))
        return _flip(ANY_DEVICE[name](x, dt, A, B, C, skip), reversed_)
    scan = mamba_ssm_scan if name == "mamba_ssm" else fused_scan
    return scan_groups(scan, (x, dt, A, B, C, skip), reversed_)


def choose_backend(backend: Backend, x: Tensor) -> str:
    """Return the named backend, or for `auto` the fastest one for this tensor.

    Raises `ConfigError` where the named one cannot compute it.
    """
    if x.is_meta and backend in DEVICES:  # shapes alone, which need no kernel
        return "loop"
    if backend == "auto":
        return next((name for name in ("fused", "cuda") if _fits(name, x)), "loop")
    if backend in DEVICES and not _fits(backend, x):
        raise ConfigError(
            f"the {backend} scan computes float32 on {DEVICE_NAMES[backend]}, not {x.dtype} on"
            f" {x.device}",
            hint="use scan=auto",
        )
    return backend


def _fits(name: str, x: Tensor) -> bool:
    if name == "cuda" and not (x.is_cuda and find_spec("triton")):
        return False
    return x.device.type == DEVICES[name] and x.dtype == torch.float32


def _flip(values: Tensor, reverse: tuple[bool, ...]) -> Tensor:
    """Flip the token axis of the entries of the first axis that are reversed."""
    if not any(reverse):
        return values
    if all(reverse):
        return values.flip(-2)
    pairs = zip(values, reverse, strict=True)
    return torch.stack([value.flip(-2) if flipped else value for value, flipped in pairs])


def scan_groups(
    scan: Callable[..., Tensor], tensors: Sequence[Tensor], reverse: tuple[bool, ...]
) -> Tensor:
    """Call a scan of S sequences in G groups, each group with an A and a direction of its own.

    `tensors` are the arguments of `selective_scan`; `scan` takes those of `fused_scan`.
    """
    x, dt, A, B, C, skip = tensors
    lead, (length, width), states = x.shape[:-2], x.shape[-2:], A.shape[-1]
    shared = torch.broadcast_shapes(A.shape[:-2], skip.shape[:-1], (1,) * len(lead))
    varying = max((axis + 1 for axis, size in enumerate(shared) if size > 1), default=0)
    depth = max(varying, len(set(reverse)) - 1)  # leading axes that make a group
    groups = lead[:depth]
    own = (1,) * (len(lead) - depth)
    A = A.expand(*groups, *own, width, states).reshape(-1, width, states)
    skip = skip.expand(*groups, *own, width).reshape(-1, width)
    repeats = len(A) // len(reverse) if depth else 1
    of_groups = [flipped for flipped in reverse for _ in range(repeats)] if depth else [reverse[0]]
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
