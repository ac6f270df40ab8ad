"""The recurrence written out over materialised (..., L, D, N) tensors: slow, and to be read."""

import torch
from torch import Tensor


def scan_reference(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, skip: Tensor) -> Tensor:
    """Shapes as in `selective_scan`, forward in time."""
    decay = torch.exp(dt[..., None] * A[..., None, :, :])  # (..., L, D, N)
    drive = (dt * x)[..., None] * B[..., None, :]  # (..., L, D, N)
    state = torch.zeros_like(drive[..., 0, :, :])  # (..., D, N)
    outputs = []
    for t in range(x.shape[-2]):
        state = decay[..., t, :, :] * state + drive[..., t, :, :]
        outputs.append((state * C[..., t, None, :]).sum(-1))  # (..., D)
    return torch.stack(outputs, dim=-2) + skip[..., None, :] * x
