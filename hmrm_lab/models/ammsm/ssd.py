"""SSSD block (AMMSM, Figure 3) and the scan in it: state space duality of Mamba-2.

The scan (Dao and Gu, ICML 2024) has one decay for each head:

    h_t = exp(dt_t A) h_{t-1} + dt_t B_t x_t^T        y_t = C_t h_t + D x_t

It is also a product with a matrix, `y = (C B^T * decay) (dt x)`, where `decay[i, j]` is the share
of input j <= i that remains at i. Backends agree up to rounding:

    reference   the recurrence, step by step
    chunked     matrices within chunks of tokens, the recurrence between them: what auto takes
    mamba_ssm   the kernel of the package mamba-ssm; float32 on CUDA devices
"""

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hmrm_lab.errors import ConfigError
from hmrm_lab.models.ammsm.sparse_activation import Selection
from hmrm_lab.models.hmrm.grained_mamba import initial_dt_bias
from hmrm_lab.models.layers import Dropout, Linear
from hmrm_lab.models.scan.fused import from_mamba_ssm

SsdBackend = Literal["auto", "reference", "chunked", "mamba_ssm"]

CHUNK = 32  # tokens of a chunk


def ssd(
    x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, skip: Tensor, *, backend: SsdBackend
) -> Tensor:
    """Scan every sequence of L tokens, with H heads of P channels: x (S, L, H, P), as what returns.

    dt (S, L, H), dt >= 0; A (H,), A < 0; B, C (S, L, N), shared by all heads; skip (H,), the D of
    the equation. Raises `ConfigError` if the named backend cannot compute this tensor.
    """
    if backend == "reference":
        return ssd_reference(x, dt, A, B, C, skip)
    if backend != "mamba_ssm":
        return ssd_chunked(x, dt, A, B, C, skip)
    if not x.is_cuda or x.dtype != torch.float32:
        problem = f"mamba_ssm computes float32 on CUDA devices, not {x.dtype} on {x.device}"
        raise ConfigError(problem, hint="use ssd=auto")
    scan = from_mamba_ssm("triton.ssd_combined", "mamba_chunk_scan_combined", option="ssd")
    return scan(x, dt, A, B[:, :, None], C[:, :, None], CHUNK, D=skip)


def ssd_reference(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, skip: Tensor) -> Tensor:
    """Compute the equation step by step. Shapes as in `ssd`."""
    state = x.new_zeros(len(x), *x.shape[2:], B.shape[-1])  # (S, H, P, N)
    outputs = []
    for t in range(x.shape[1]):
        decay = torch.exp(dt[:, t] * A)[..., None, None]
        drive = (dt[:, t, :, None] * x[:, t])[..., None] * B[:, t, None, None]
        state = decay * state + drive
        outputs.append((state * C[:, t, None, None]).sum(-1))
    return torch.stack(outputs, dim=1) + skip[:, None] * x


def ssd_chunked(
    x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, skip: Tensor, chunk: int = CHUNK
) -> Tensor:
    """Compute in chunks of equal length, at most `chunk` tokens. Shapes as in `ssd`.

    Exponents are added up in float64, since differences of long sums lose precision in float32.
    """
    length, count = x.shape[1], -(-x.shape[1] // chunk)
    parts = (_in_chunks(part, count) for part in (dt[..., None] * x, dt * A, B, C))
    drive, exponent, B_, C_ = parts  # (S, c, Q, ...); padding has no drive and no decay
    drive = drive.transpose(2, 3)  # (S, c, H, Q, P)
    total = exponent.double().transpose(2, 3).cumsum(-1)  # (S, c, H, Q)
    size = drive.shape[-2]
    ahead = torch.ones(size, size, dtype=torch.bool, device=x.device).triu(1)
    decay = (total[..., :, None] - total[..., None, :]).masked_fill(ahead, -torch.inf).exp()
    y = decay.to(x.dtype) * (C_ @ B_.mT)[:, :, None] @ drive  # within a chunk
    if count > 1:
        left = (total[..., -1:] - total).exp().to(x.dtype)  # at the end of the chunk
        given = B_.mT[:, :, None] @ (left[..., None] * drive)  # (S, c, H, N, P)
        since = total.exp().to(x.dtype)  # of what the chunk began with
        states = [torch.zeros_like(given[:, 0])]
        for number in range(count - 1):
            states.append(since[:, number, :, -1, None, None] * states[-1] + given[:, number])
        before = torch.stack(states, dim=1)
        y = y + since[..., None] * (C_[:, :, None] @ before)
    return y.transpose(2, 3).flatten(1, 2)[:, :length] + skip[:, None] * x


def _in_chunks(values: Tensor, count: int) -> Tensor:
    """(S, L, ...) to (S, count, Q, ...), zeros after the last token."""
    size = -(-values.shape[1] // count)
    missing = size * count - values.shape[1]
    padded = F.pad(values, (0, 0) * (values.ndim - 2) + (0, missing)) if missing else values
    return padded.unflatten(1, (count, size))


class SSD(nn.Module):
    """Mamba-2's layer around the scan, without its convolution. (S, L, D)."""

    def __init__(
        self, width: int, *, expand: int, head: int, state: int, reverse: bool, backend: SsdBackend
    ) -> None:
        super().__init__()
        inner = expand * width
        if inner % head:
            problem = f"heads of {head} channels do not divide the {inner} of a scan"
            hint = "take a model.width whose multiple by model.expand model.head divides"
            raise ConfigError(problem, hint=hint)
        self.heads, self.reverse, self.backend = inner // head, reverse, backend
        self.scanned = [inner, state, state]  # x, B, C
        self.parts = [inner, sum(self.scanned), self.heads]  # gate, what is scanned, dt
        self.project_in = Linear(width, sum(self.parts))
        self.dt_bias = nn.Parameter(initial_dt_bias((self.heads,)))
        self.log_decay = nn.Parameter(torch.empty(self.heads).uniform_(1, 16).log())  # as Mamba-2
        self.skip = nn.Parameter(torch.ones(self.heads))
        self.norm = nn.RMSNorm(inner)
        self.project_out = Linear(inner, width)

    def forward(self, tokens: Tensor) -> Tensor:
        projected = self.project_in(tokens.flip(1) if self.reverse else tokens)
        gate, scanned, dt = projected.split(self.parts, dim=-1)
        x, B, C = F.silu(scanned).split(self.scanned, dim=-1)
        x, dt = x.unflatten(-1, (self.heads, -1)), F.softplus(dt + self.dt_bias)
        A = -self.log_decay.exp()
        y = ssd(x, dt, A, B, C, self.skip, backend=self.backend).flatten(2)
        mixed = self.project_out(self.norm(y * F.silu(gate)))
        return mixed.flip(1) if self.reverse else mixed

    def elementwise_flops(self, tokens: int) -> int:
        """Count operations outside matrix products: three for each decay."""
        return 3 * tokens * self.heads * min(tokens, CHUNK)


class SSSDBlock(nn.Module):
    """Depth-wise convolution, SSD and feed-forward layer, each with a norm and a shortcut.

    Tokens (B, side^2, D) that are not kept have the convolution alone. `scan` are options of `SSD`.
    """

    def __init__(
        self, width: int, side: int, *, ffn_ratio: float, dropout: float, **scan: Any
    ) -> None:
        super().__init__()
        hidden = max(1, round(ffn_ratio * width))
        self.local = TokenConvolution(side, width, width, groups=width)
        self.mix = nn.Sequential(nn.LayerNorm(width), SSD(width, **scan), Dropout(dropout))
        widen, narrow = Linear(width, hidden), Linear(hidden, width)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(width), widen, nn.GELU(), narrow, Dropout(dropout)
        )

    def forward(self, tokens: Tensor, selection: Selection) -> Tensor:
        tokens = tokens + self.local(tokens)
        kept = selection.gather(tokens)
        kept = kept + self.mix(kept)
        return selection.scatter(tokens, kept + self.feed_forward(kept))


class TokenConvolution(nn.Module):
    """Norm and 3x3 convolution over the map of tokens.

    (B, side^2, D) to (B, ceil(side / stride)^2, E).
    """

    def __init__(self, side: int, width: int, width_out: int, **options: Any) -> None:
        super().__init__()
        self.side = side
        self.norm = nn.LayerNorm(width)
        self.convolve = nn.Conv2d(width, width_out, 3, padding=1, **options)

    def forward(self, tokens: Tensor) -> Tensor:
        grid = self.norm(tokens).unflatten(1, (self.side, self.side))
        return self.convolve(grid.movedim(3, 1)).movedim(1, 3).flatten(1, 2)
