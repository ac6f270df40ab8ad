"""The scan in torch: the reference, and a loop whose backward pass is written out."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable


def scan_loop(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, skip: Tensor) -> Tensor:
    """Scan forward in time; shapes as in `selective_scan`.

    States and decays are kept for the gradient: 2 L D N numbers for each sequence.
    """
    return _ScanLoop.apply(x, dt, A, B, C) + skip[..., None, :] * x


class _ScanLoop(Function):
    """Token-first and channel-last, (L, ..., N, D): a step is one contiguous block.

    A step allocates no memory, which would take more time than the arithmetic.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
        x, dt, A, B, C = _steps(x), _steps(dt), A.mT.contiguous(), _steps(B), _steps(C)
        drive, y = dt * x, torch.empty_like(x)
        states = x.new_empty((*B.shape, x.shape[-1]))  # (L, ..., N, D)
        decays, work = torch.empty_like(states), torch.empty_like(states[0])
        for t in range(len(x)):
            state = torch.mul(drive[t, ..., None, :], B[t, ..., None], out=states[t])
            if t > 0:
                decay = torch.mul(dt[t, ..., None, :], A, out=decays[t]).exp_()
                state.addcmul_(decay, states[t - 1])
            torch.sum(torch.mul(state, C[t, ..., None], out=work), -2, out=y[t])
        ctx.save_for_backward(x, dt, A, B, C, states, decays)
        return _sequence(y)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, ...]:
        x, dt, A, B, C, states, decays = ctx.saved_tensors
        grad_y, drive = _steps(grads[0]), dt * x
        grad_dt, grad_drive = torch.zeros_like(dt), torch.empty_like(x)
        grad_B, grad_C = torch.empty_like(B), torch.empty_like(C)
        grad_state, work = torch.empty_like(states[0]), torch.empty_like(states[0])
        carried = torch.zeros_like(states[0])  # exp(dt A) dL/dh of the next step
        grad_A = torch.zeros_like(states[0])
        for t in reversed(range(len(x))):
            torch.mul(C[t, ..., None], grad_y[t, ..., None, :], out=grad_state).add_(carried)
            torch.sum(torch.mul(grad_state, B[t, ..., None], out=work), -2, out=grad_drive[t])
            torch.sum(torch.mul(grad_state, drive[t, ..., None, :], out=work), -1, out=grad_B[t])
            torch.sum(torch.mul(states[t], grad_y[t, ..., None, :], out=work), -1, out=grad_C[t])
            if t > 0:
                torch.mul(decays[t], grad_state, out=carried)
                torch.mul(carried, states[t - 1], out=work)  # the gradient of the exponent dt A
                grad_A.addcmul_(work, dt[t, ..., None, :])
                torch.sum(work.mul_(A), -2, out=grad_dt[t])
        grad_dt += grad_drive * x
        return (
            _sequence(grad_drive * dt),
            _sequence(grad_dt),
            grad_A.sum_to_size(A.shape).mT,
            _sequence(grad_B),
            _sequence(grad_C),
        )


def _steps(values: Tensor) -> Tensor:
    """Move (..., L, D) to contiguous (L, ..., D)."""
    return values.movedim(-2, 0).contiguous()


def _sequence(values: Tensor) -> Tensor:
    """Move (L, ..., D) to (..., L, D)."""
    return values.movedim(0, -2)


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
