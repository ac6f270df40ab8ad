"""Grained Mamba Encoder (paper 3.2, Figure 3): bidirectional Mamba blocks over face tokens."""

import math
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hmrm_lab.models.hmrm.fused_block import fused_bidirectional_scan
from hmrm_lab.models.layers import Linear, is_stacked, uniform_like
from hmrm_lab.models.scan import Backend, bidirectional_scan, choose_backend

DT_RANGE = (1e-3, 1e-1)  # of Mamba's initialisation


class ScanInputs(NamedTuple):
    """What is scanned, forward and over the reversed tokens; steps are softplus(dt + dt_bias).

    x, dt (2, B, L, D); A (2, 1, D, N); B, C (2, B, L, N); skip (2, 1, D).
    """

    x: Tensor
    dt: Tensor
    A: Tensor
    B: Tensor
    C: Tensor
    skip: Tensor


class BidirectionalScan(nn.Module):
    """Convolution, SiLU and selective SSM of both directions, each with its own weights; gated.

    Tokens and gates (B, L, 2 D) to (B, L, D). The backward branch reads the flipped sequence. Both
    branches are added, and multiplied by SiLU of the gate. The fused backend is one operator.
    """

    rounds = False  # products of the selection in bfloat16; those of the fused backend are exact

    def __init__(self, width: int, *, state: int, kernel: int, scan: Backend = "auto") -> None:
        super().__init__()
        self.width, self.state, self.kernel, self.scan = width, state, kernel, scan
        self.rank = math.ceil(width / 16)
        self.conv_weight = nn.Parameter(_uniform((2, kernel, width), kernel))
        self.conv_bias = nn.Parameter(_uniform((2, width), kernel))
        self.select = nn.Parameter(_uniform((2, width, self.rank + 2 * state), width))
        self.dt_weight = nn.Parameter(_uniform((2, self.rank, width), self.rank))
        self.dt_bias = nn.Parameter(initial_dt_bias((2, width)))
        decay = torch.arange(1.0, state + 1).expand(2, width, state)  # S4D-real initialisation
        self.log_decay = nn.Parameter(decay.log())  # A = -exp(log_decay)
        self.skip = nn.Parameter(torch.ones(2, width))

    def forward(self, xz: Tensor) -> Tensor:
        if choose_backend(self.scan, xz) == "fused" and not is_stacked():
            selection = self.select, self.dt_weight, self.dt_bias, -self.log_decay.exp().mT
            weights = self.conv_weight, self.conv_bias, *selection, self.skip
            return fused_bidirectional_scan(xz, *weights)
        x, z = xz.chunk(2, dim=-1)
        return bidirectional_scan(self.scan_inputs(x), self.dt_bias, z, backend=self.scan)

    def scan_inputs(self, x: Tensor) -> ScanInputs:
        """Select the arguments of both scans from the tokens, (B, L, D)."""
        both = torch.stack([x, x.flip(-2)])  # (2, B, L, D)
        both = F.silu(self._convolve(both))
        selected = self._by_direction(both, self.select)
        dt, B, C = selected.split([self.rank, self.state, self.state], dim=-1)
        dt = self._by_direction(dt, self.dt_weight)
        A, skip = -self.log_decay.exp()[:, None], self.skip[:, None]
        return ScanInputs(both, dt, A, B, C, skip)

    def elementwise_flops(self, tokens: int) -> int:
        """Count operations outside matrix products, for `tokens` tokens of both directions."""
        # Per channel and state: exponent, exp, decayed state, drive, their sum, read-out, its sum.
        return 2 * tokens * self.width * (2 * self.kernel + 7 * self.state)

    def _by_direction(self, x: Tensor, weight: Tensor) -> Tensor:
        """Multiply each direction by its matrix: (2, B, L, D) and (2, D, E) to (2, B, L, E)."""
        factors = x.flatten(1, 2), weight
        rounded = (factor.bfloat16() if self.rounds else factor for factor in factors)
        return torch.bmm(*rounded).to(x.dtype).unflatten(1, x.shape[1:3])

    def _convolve(self, x: Tensor) -> Tensor:
        """Convolve tokens, depth-wise and causal, as a sum of shifted copies."""
        length = x.shape[-2]
        padded = F.pad(x, (0, 0, self.kernel - 1, 0))
        taps = self.conv_weight[:, :, None, None].unbind(1)  # each (2, 1, 1, D)
        shifts = (padded[..., k : k + length, :] * tap for k, tap in enumerate(taps))
        return sum(shifts, start=self.conv_bias[:, None, None])


class TokenGate(nn.Module):
    """What is left of a block without convolution and scan: tokens times SiLU of their gates."""

    def forward(self, xz: Tensor) -> Tensor:
        x, z = xz.chunk(2, dim=-1)
        return x * F.silu(z)


class GrainedMambaBlock(nn.Module):
    """Norm, gated bidirectional scan, residual; then, with `ffn_ratio`, a feed-forward layer.

    With `scan="none"` no token knows of another.
    """

    def __init__(
        self,
        width: int,
        *,
        state: int,
        kernel: int,
        expand: int = 2,
        ffn_ratio: float = 0.0,
        scan: Backend | Literal["none"] = "auto",
        **residual: float,
    ) -> None:
        super().__init__()
        inner = expand * width
        self.norm = nn.LayerNorm(width)
        self.project_in = Linear(width, 2 * inner)
        self.scan = (
            TokenGate()
            if scan == "none"
            else BidirectionalScan(inner, state=state, kernel=kernel, scan=scan)
        )
        self.project_out = Linear(inner, width)
        self.residual = Residual(width, **residual)
        self.feed_forward = (
            FeedForward(width, ffn_ratio, **residual) if ffn_ratio else nn.Identity()
        )

    def forward(self, tokens: Tensor) -> Tensor:
        mixed = self.scan(self.project_in(self.norm(tokens)))
        tokens = self.residual(tokens, self.project_out(mixed))
        return self.feed_forward(tokens)


class GrainedMambaEncoder(nn.Module):
    """A stack of blocks. (B, L, D) to (B, L, D).

    `block` are options of `GrainedMambaBlock`: `kernel` sets the grain of the convolutions.
    `drop_path` grows evenly to the last block. `equal` norms every vector in the end.
    """

    def __init__(
        self, width: int, *, depth: int, drop_path: float = 0.0, equal: bool = False, **block: Any
    ) -> None:
        super().__init__()
        rates = (drop_path * (layer + 1) / depth for layer in range(depth))
        self.blocks = nn.Sequential(
            *(GrainedMambaBlock(width, drop_path=rate, **block) for rate in rates)
        )
        self.norm = nn.LayerNorm(width) if equal else nn.Identity()

    def forward(self, tokens: Tensor) -> Tensor:
        return self.norm(self.blocks(tokens))


class Residual(nn.Module):
    """`tokens + scale * branch`, the branch dropped for whole sequences while training."""

    def __init__(self, width: int, *, layer_scale: float = 1.0, drop_path: float = 0.0) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((width,), layer_scale))
        self.drop_path = drop_path

    def forward(self, tokens: Tensor, branch: Tensor) -> Tensor:
        branch = branch * self.scale
        if self.training and self.drop_path > 0:
            keep = 1 - self.drop_path
            kept = uniform_like(branch[:, :1, :1]) < keep
            branch = branch * kept / keep
        return tokens + branch


class FeedForward(nn.Module):
    """Norm, two linear layers with `ratio` times the width between them, residual."""

    def __init__(self, width: int, ratio: float, **residual: float) -> None:
        super().__init__()
        hidden = max(1, round(ratio * width))
        self.layers = nn.Sequential(
            nn.LayerNorm(width), Linear(width, hidden), nn.GELU(), Linear(hidden, width)
        )
        self.residual = Residual(width, **residual)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.residual(tokens, self.layers(tokens))


def _uniform(shape: tuple[int, ...], fan_in: int) -> Tensor:
    bound = 1 / math.sqrt(fan_in)
    return torch.empty(shape).uniform_(-bound, bound)


def initial_dt_bias(shape: tuple[int, ...]) -> Tensor:
    """Draw biases whose softplus is spread over DT_RANGE, evenly in the logarithm."""
    low, high = (math.log(bound) for bound in DT_RANGE)
    dt = torch.exp(torch.empty(shape).uniform_(low, high))
    return dt + torch.log(-torch.expm1(-dt))
