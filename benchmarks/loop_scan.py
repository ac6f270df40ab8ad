"""The scan in plain torch with a backward pass written by hand: what torch alone can do."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from hmrm_lab.models import scan


def settle_scan(name: str) -> str:
    """Return the backend of this side; `loop` takes the place of the reference in this process."""
    if name != "loop":
        return name
    scan.scan_reference = scan_loop
    return "reference"


def scan_loop(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, skip: Tensor) -> Tensor:
    """Scan forward in time; kept for the gradient are 2 L D N numbers for each sequence."""
    return _ScanLoop.apply(x, dt, A, B, C) + skip[..., None, :] * x


class _ScanLoop(Function):
    """Token-first and channel-last, (L, ..., N, D): a step is one block and allocates nothing."""

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
    """(..., L, D) to contiguous (L, ..., D)."""
    return values.movedim(-2, 0).contiguous()


def _sequence(values: Tensor) -> Tensor:
    """(L, ..., D) to (..., L, D)."""
    return values.movedim(0, -2)
