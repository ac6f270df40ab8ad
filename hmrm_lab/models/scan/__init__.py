"""The selective scan of Mamba (paper 3.2; Gu and Dao 2023), as one recurrence over tokens.

    h_t = exp(dt_t A) h_{t-1} + dt_t B_t x_t        y_t = <C_t, h_t> + D x_t

`A` is learned and fixed; `dt`, `B` and `C` depend on the input. The state `A` is discretised by
zero-order hold and the input by `dt B`, as in Mamba. Backends agree up to rounding; `auto` takes
the fastest of this package that can compute the tensor:

    reference   the recurrence in plain torch; the others are tested against it
    loop        torch with a hand-written backward pass; any device, any floating type
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
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from hmrm_lab.errors import ConfigError
from hmrm_lab.models.scan.fused import fused_scan, mamba_ssm_scan

Backend = Literal["auto", "reference", "loop", "fused", "cuda", "mamba_ssm"]
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
    reverse: bool | tuple[bool, ...] = False,
    backend: Backend = "auto",
) -> Tensor:
    """Scan every sequence over its tokens.

    `reverse` runs from the last token to the first; a tuple gives it for each entry of the first
    axis of x. Raises `ConfigError` if the named backend cannot compute this tensor.

    x, dt (..., L, D), dt > 0; A (D, N), or (..., D, N) with leading axes that broadcast against
    those of x, A < 0; B, C (..., L, N); skip (D,) or (..., D), the D of the equation. Returns
    (..., L, D).
    """
    # A recurrence adds up what is rounded.
    if not x.is_meta and torch.is_autocast_enabled(x.device.type):
        x, dt, A, B, C, skip = (tensor.float() for tensor in (x, dt, A, B, C, skip))
    name = choose_backend(backend, x)
    entries = max(1, len(x)) if x.ndim > 2 else 1
    reversed_ = (reverse,) * entries if isinstance(reverse, bool) else reverse
    if name in ("reference", "loop"):
        x, dt, B, C = (_flip(tensor, reversed_) for tensor in (x, dt, B, C))
        forwards = scan_reference if name == "reference" else scan_loop
        return _flip(forwards(x, dt, A, B, C, skip), reversed_)
    scan = mamba_ssm_scan if name == "mamba_ssm" else fused_scan
    return scan_groups(scan, (x, dt, A, B, C, skip), reversed_)


def choose_backend(backend: Backend, x: Tensor) -> str:
    """Return the named backend, `ConfigError` where it cannot compute x, or the fastest."""
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
    """Call a scan like `fused_scan`: sequences in groups with an A and a direction of their own."""
    x, dt, A, B, C, skip = tensors
    lead, (length, width), states = x.shape[:-2], x.shape[-2:], A.shape[-1]
    shared = torch.broadcast_shapes(A.shape[:-2], skip.shape[:-1], (1,) * len(lead))
    varying = len(shared)
    while varying and shared[varying - 1] == 1:
        varying -= 1
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
