"""The scan by the kernel of the package mamba-ssm, where it is installed and there is a GPU.

It is what `cuda` is measured against. Its backward pass adds atomically, so that two runs of the
same training differ in their last bits: nothing takes it unless it is named.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from hmrm_lab.errors import ConfigError

INSTALL = "pip install --no-build-isolation -r requirements-gpu.txt"


def mamba_ssm_scan(
    x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, skip: Tensor, reverse: Sequence[bool]
) -> Tensor:
    """Shapes as in `fused_scan`: S sequences in G groups. One launch for each group.

    Raises `ConfigError` where the package, or its compiled part, is missing.
    """
    kernel = _kernel()
    groups = zip(*(tensor.chunk(len(A)) for tensor in (x, dt, B, C)), A, skip, reverse, strict=True)
    return torch.cat([_one_direction(kernel, *group) for group in groups])


def _one_direction(
    kernel: Any,
    x: Tensor,
    dt: Tensor,
    B: Tensor,
    C: Tensor,
    A: Tensor,
    skip: Tensor,
    turned: bool,
) -> Tensor:
    """The package scans along the last axis, forward, with A of (D, N)."""
    steps = (tensor.flip(1).mT if turned else tensor.mT for tensor in (x, dt, B, C))
    u, delta, b, c = (step.contiguous() for step in steps)
    y = kernel(u, delta, A.mT.contiguous(), b, c, skip).mT
    return y.flip(1) if turned else y


def _kernel() -> Any:
    try:
        from mamba_ssm.ops.selective_scan_interface import selective_scan_fn
    except ImportError as error:  # without its compiled part it does not import either
        raise ConfigError(
            f"the mamba_ssm scan needs the package mamba-ssm ({error})",
            mend=f"{INSTALL}, or use scan=auto",
        ) from None
    return selective_scan_fn
