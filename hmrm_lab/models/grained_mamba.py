"""Grained Mamba Encoder (paper 3.2, Figure 3): bidirectional Mamba blocks over face tokens."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hmrm_lab.models.selective_scan import selective_scan

DIRECTIONS = 2  # forward, backward
DT_RANGE = (1e-3, 1e-1)  # of Mamba's initialisation


class BidirectionalScan(nn.Module):
    """Convolution, SiLU and selective SSM of both directions, each with its own weights.

    The backward branch sees the flipped sequence; both run in one scan.

    Shapes
    ------
    x : (B, L, D)
    returns : (B, L, D), the sum of both branches
    """

    def __init__(self, width: int, *, state: int, kernel: int) -> None:
        super().__init__()
        self.width, self.state, self.kernel = width, state, kernel
        self.rank = math.ceil(width / 16)
        g = DIRECTIONS
        self.conv_weight = nn.Parameter(_uniform((kernel, g, 1, 1, width), kernel))
        self.conv_bias = nn.Parameter(_uniform((g, 1, 1, width), kernel))
        self.select = nn.Parameter(_uniform((g, width, self.rank + 2 * state), width))
        self.dt_weight = nn.Parameter(_uniform((g, self.rank, width), self.rank))
        self.dt_bias = nn.Parameter(_initial_dt_bias((g, 1, 1, width)))
        self.log_decay = nn.Parameter(
            torch.arange(1.0, state + 1).log().expand(g, 1, width, state).clone()
        )  # A = -exp(log_decay); S4D-real initialisation
        self.skip = nn.Parameter(torch.ones(g, 1, width))

    def forward(self, x: Tensor) -> Tensor:
        both = torch.stack([x, x.flip(-2)])  # (2, B, L, D)
        both = F.silu(self._convolve(both))
        selected = _by_direction(both, self.select)
        dt, B, C = selected.split([self.rank, self.state, self.state], dim=-1)
        dt = F.softplus(_by_direction(dt, self.dt_weight) + self.dt_bias)  # (2, B, L, D)
        forward, backward = selective_scan(both, dt, -self.log_decay.exp(), B, C, self.skip)
        return forward + backward.flip(-2)

    def elementwise_flops(self, tokens: int) -> int:
        """Operations outside matrix products, for `tokens` tokens of both directions.

        Per channel a convolution; per channel and state seven: the exponent, its exp, the decayed
        state, the drive and their sum, and the read-out by C with its sum.
        """
        return DIRECTIONS * tokens * self.width * (2 * self.kernel + 7 * self.state)

    def _convolve(self, x: Tensor) -> Tensor:
        """Depth-wise causal convolution over tokens, as a sum of shifted copies."""
        length = x.shape[-2]
        padded = F.pad(x, (0, 0, self.kernel - 1, 0))
        shifts = (padded[..., k : k + length, :] * w for k, w in enumerate(self.conv_weight))
        return sum(shifts, start=self.conv_bias)


class GrainedMambaBlock(nn.Module):
    """Norm, gated bidirectional scan, residual; then, if asked for, a feed-forward layer.

    Shapes
    ------
    tokens : (B, L, D)
    returns : (B, L, D)
    """

    def __init__(
        self,
        width: int,
        *,
        state: int,
        kernel: int,
        expand: int,
        ffn_ratio: float,
        layer_scale: float,
        drop_path: float,
    ) -> None:
        super().__init__()
        inner = expand * width
        self.norm = nn.LayerNorm(width)
        self.project_in = nn.Linear(width, 2 * inner)
        self.scan = BidirectionalScan(inner, state=state, kernel=kernel)
        self.project_out = nn.Linear(inner, width)
        self.residual = Residual(width, layer_scale=layer_scale, drop_path=drop_path)
        self.feed_forward = (
            FeedForward(width, ratio=ffn_ratio, layer_scale=layer_scale, drop_path=drop_path)
            if ffn_ratio
            else nn.Identity()
        )

    def forward(self, tokens: Tensor) -> Tensor:
        x, gate = self.project_in(self.norm(tokens)).chunk(2, dim=-1)
        tokens = self.residual(tokens, self.project_out(self.scan(x) * F.silu(gate)))
        return self.feed_forward(tokens)


class GrainedMambaEncoder(nn.Module):
    """A stack of blocks and a final norm. `kernel` sets the grain of its convolutions.

    Shapes
    ------
    tokens : (B, L, D)
    returns : (B, L, D)
    """

    def __init__(
        self,
        width: int,
        *,
        depth: int,
        state: int,
        kernel: int,
        expand: int = 2,
        ffn_ratio: float = 0.0,
        layer_scale: float = 1.0,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            *(
                GrainedMambaBlock(
                    width,
                    state=state,
                    kernel=kernel,
                    expand=expand,
                    ffn_ratio=ffn_ratio,
                    layer_scale=layer_scale,
                    drop_path=drop_path * (layer + 1) / depth,
                )
                for layer in range(depth)
            )
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.norm(self.blocks(tokens))


class Residual(nn.Module):
    """`tokens + scale * branch`, the branch dropped for whole sequences while training."""

    def __init__(self, width: int, *, layer_scale: float, drop_path: float) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((width,), layer_scale))
        self.drop_path = drop_path

    def forward(self, tokens: Tensor, branch: Tensor) -> Tensor:
        branch = branch * self.scale
        if self.training and self.drop_path > 0:
            keep = 1 - self.drop_path
            kept = torch.rand(len(branch), 1, 1, device=branch.device) < keep
            branch = branch * kept / keep
        return tokens + branch


class FeedForward(nn.Module):
    """Norm, two linear layers with `ratio` times the width between them, residual."""

    def __init__(self, width: int, *, ratio: float, layer_scale: float, drop_path: float) -> None:
        super().__init__()
        hidden = round(ratio * width)
        self.layers = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width)
        )
        self.residual = Residual(width, layer_scale=layer_scale, drop_path=drop_path)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.residual(tokens, self.layers(tokens))


def _by_direction(x: Tensor, weight: Tensor) -> Tensor:
    """One matrix product per direction: (2, B, L, D) and (2, D, E) to (2, B, L, E)."""
    return torch.bmm(x.flatten(1, 2), weight).unflatten(1, x.shape[1:3])


def _uniform(shape: tuple[int, ...], fan_in: int) -> Tensor:
    bound = 1 / math.sqrt(fan_in)
    return torch.empty(shape).uniform_(-bound, bound)


def _initial_dt_bias(shape: tuple[int, ...]) -> Tensor:
    """The bias under which softplus gives steps spread evenly, in the logarithm, over DT_RANGE."""
    low, high = (math.log(bound) for bound in DT_RANGE)
    dt = torch.exp(torch.empty(shape).uniform_(low, high))
    return dt + torch.log(-torch.expm1(-dt))
