"""The selective scan of Mamba (paper 3.2; Gu and Dao 2023), as one recurrence over tokens.

    h_t = exp(dt_t A) h_{t-1} + dt_t B_t x_t        y_t = <C_t, h_t> + D x_t

`A` is learned and fixed; `dt`, `B` and `C` depend on the input. The state `A` is discretised by
zero-order hold and the input by `dt B`, as in Mamba. `scan_reference` is to be read,
`scan_loop` to be used; both give the same values and gradients.

Shapes
------
x, dt : (..., L, D); dt > 0
A : (D, N), or (..., D, N) with leading axes that broadcast against those of x; A < 0
B, C : (..., L, N)
skip : (D,) or (..., D), the D of the equation
returns : (..., L, D)
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable


def scan_reference(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, skip: Tensor) -> Tensor:
    """The recurrence written out over materialised (..., L, D, N) tensors; slow and plain."""
    decay = torch.exp(dt[..., None] * A[..., None, :, :])  # (..., L, D, N)
    drive = (dt * x)[..., None] * B[..., None, :]  # (..., L, D, N)
    state = torch.zeros_like(drive[..., 0, :, :])  # (..., D, N)
    outputs = []
    for t in range(x.shape[-2]):
        state = decay[..., t, :, :] * state + drive[..., t, :, :]
        outputs.append((state * C[..., t, None, :]).sum(-1))  # (..., D)
    return torch.stack(outputs, dim=-2) + skip[..., None, :] * x


def scan_loop(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, skip: Tensor) -> Tensor:
    """The same with `exp` inside the step and the backward pass written out.

    Only the states are kept for the gradient; the decays are computed again.
    """
    return _ScanLoop.apply(x, dt, A, B, C) + skip[..., None, :] * x


class _ScanLoop(Function):
    """Works token-first and channel-last, (L, ..., N, D): each step is one contiguous block."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
        x, dt, A, B, C = _steps(x), _steps(dt), A.mT.contiguous(), _steps(B), _steps(C)
        drive = dt * x
        states = x.new_empty((*B.shape, x.shape[-1]))  # (L, ..., N, D)
        for t in range(len(x)):
            torch.mul(drive[t, ..., None, :], B[t, ..., None], out=states[t])
            if t > 0:
                states[t].addcmul_(torch.exp_(dt[t, ..., None, :] * A), states[t - 1])
        ctx.save_for_backward(x, dt, A, B, C, states)
        return _sequence(torch.matmul(C[..., None, :], states).squeeze(-2))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, ...]:
        x, dt, A, B, C, states = ctx.saved_tensors
        grad_y = _steps(grads[0])
        grad_A, grad_dt = torch.zeros_like(A), torch.zeros_like(dt)
        grad_states = C[..., None] * grad_y[..., None, :]  # (L, ..., N, D)
        for t in reversed(range(1, len(x))):
            carried = torch.exp_(dt[t, ..., None, :] * A).mul_(grad_states[t])
            grad_states[t - 1] += carried
            carried *= states[t - 1]  # the gradient of the exponent dt A
            grad_dt[t] = (carried * A).sum(-2)
            grad_A += carried.mul_(dt[t, ..., None, :]).sum_to_size(A.shape)
        grad_drive = torch.matmul(B[..., None, :], grad_states).squeeze(-2)
        grad_B = torch.matmul(grad_states, (dt * x)[..., None]).squeeze(-1)
        grad_C = torch.matmul(states, grad_y[..., None]).squeeze(-1)
        grad_dt += grad_drive * x
        grad_x = grad_drive * dt
        return (
            _sequence(grad_x),
            _sequence(grad_dt),
            grad_A.mT,
            _sequence(grad_B),
            _sequence(grad_C),
        )


def _steps(values: Tensor) -> Tensor:
    """(..., L, D) to contiguous (L, ..., D)."""
    return values.movedim(-2, 0).contiguous()


def _sequence(values: Tensor) -> Tensor:
    """(L, ..., D) to (..., L, D)."""
    return values.movedim(0, -2)
