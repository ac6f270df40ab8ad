"""The selective scan of Mamba (paper 3.2; Gu and Dao 2023), as one recurrence over tokens.

    h_t = exp(dt_t A) h_{t-1} + dt_t B_t x_t        y_t = <C_t, h_t> + D x_t

`A` is learned and fixed; `dt`, `B` and `C` depend on the input. The state `A` is discretised by
zero-order hold and the input by `dt B`, as in Mamba.

Backends, all of one recurrence; values and gradients agree up to rounding:

    reference   written out in torch; to be read, and what the others are measured against
    loop        plain torch, a few cache-sized steps; any device, any floating type
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from hmrm_lab.models.selective_scan.loop import scan_loop
from hmrm_lab.models.selective_scan.reference import scan_reference

Backend = Literal["auto", "reference", "loop"]
Scan = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]
SCANS: dict[str, Scan] = {"reference": scan_reference, "loop": scan_loop}


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

    `reverse` runs from the last token to the first; a tuple says so for each entry of the first
    axis of x.

    Shapes
    ------
    x, dt : (..., L, D); dt > 0
    A : (D, N), or (..., D, N) with leading axes that broadcast against those of x; A < 0
    B, C : (..., L, N)
    skip : (D,) or (..., D), the D of the equation
    returns : (..., L, D)
    """
    scan = SCANS[choose_backend(backend, x)]
    if reverse is False:
        return scan(x, dt, A, B, C, skip)
    x, dt, B, C = (_turn(tensor, reverse) for tensor in (x, dt, B, C))
    return _turn(scan(x, dt, A, B, C, skip), reverse)


def choose_backend(backend: Backend, x: Tensor) -> str:
    """The backend that `auto` takes for a tensor, or the one that is named."""
    return "loop" if backend == "auto" else backend


def _turn(values: Tensor, reverse: bool | tuple[bool, ...]) -> Tensor:
    """Flip the token axis, of all sequences or of the named entries of the first axis."""
    if isinstance(reverse, bool):
        return values.flip(-2) if reverse else values
    pairs = zip(values, reverse, strict=True)
    return torch.stack([value.flip(-2) if turned else value for value, turned in pairs])
