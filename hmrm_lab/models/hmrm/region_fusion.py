"""Regions Feature Fusion Strategy (paper 3.3, Algorithm 1): 4 core regions, 16 sub-regions."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hmrm_lab.errors import ConfigError
from hmrm_lab.models.transformer import Attention

CORE_REGIONS = 4  # top-left, top-right, bottom-left, bottom-right
SUB_REGIONS = 4  # per core region, in the same order
WINDOW = 7  # 4.2: a 7x7 window; a 28x28 map has 4x4 of them
MAP_SIDE = 4 * WINDOW


def split_regions(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Split a motion map into 7x7 windows of both granularities.

    A sub-region is a window of the map itself; a core region, twice as wide, is a window of the
    map at half resolution. Larger maps give windows with patches of (H / 28)^2 pixels flattened
    into channels.

    Shapes
    ------
    maps : (B, C, H, H), H a multiple of 28; P = (H / 28)^2
    returns : coarse (B, 4, 49, P C) and fine (B, 16, 49, P C); the sub-regions of core region r
        are rows 4r to 4r + 3 of `fine`; the 49 pixels run row by row
    """
    if maps.shape[-1] != maps.shape[-2] or maps.shape[-1] % MAP_SIDE:
        raise ValueError(f"maps must be square with a multiple of {MAP_SIDE}: {tuple(maps.shape)}")
    patch = maps.shape[-1] // MAP_SIDE
    fine = _windows(F.pixel_unshuffle(maps, patch), 4)  # (B, 16, 49, P C), row by row
    coarse = _windows(F.pixel_unshuffle(F.avg_pool2d(maps, 2), patch), 2)  # (B, 4, 49, P C)
    return coarse, _by_core_region(fine)


def _by_core_region(fine: Tensor) -> Tensor:
    """Order 16 windows, row by row, as four of each core region."""
    bits = fine.unflatten(1, (2, 2, 2, 2))  # of row and column; the first of each: core region
    return bits.transpose(2, 3).flatten(1, 4)


def _windows(planes: Tensor, side: int) -> Tensor:
    """(B, C, 7 side, 7 side) to (B, side^2, 49, C)."""
    batch, channels = planes.shape[:2]
    grid = planes.reshape(batch, channels, side, WINDOW, side, WINDOW)
    return grid.permute(0, 2, 4, 3, 5, 1).reshape(batch, side**2, WINDOW**2, channels)


class RegionFusion(nn.Module):
    """Self-attention across granularities, concatenated. (B, 4, D), (B, 16, D) to (B, 20 D)."""

    def __init__(self, width: int, *, heads: int, dropout: float) -> None:
        super().__init__()
        if width % heads:
            raise ConfigError(
                f"a width of {width} cannot be shared out among {heads} heads",
                hint="set model.width to a multiple of model.heads",
            )
        regions = CORE_REGIONS * (1 + SUB_REGIONS)
        self.place = nn.Parameter(0.02 * torch.randn(regions, width))
        self.norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads=heads, dropout=dropout, drop_output=False)
        nn.init.xavier_uniform_(self.attention.project_in.weight)  # as in torch's own module
        nn.init.zeros_(self.attention.project_in.bias)
        nn.init.zeros_(self.attention.project_out.bias)
        self.norm_out = nn.LayerNorm(width)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        vectors = torch.cat([coarse, fine], dim=1) + self.place  # (B, 20, D)
        fused = self.attention(self.norm(vectors))
        return self.norm_out(vectors + fused).flatten(1)


class RegionConcatenation(nn.Module):
    """Concatenation alone: ablation M3 (4.4.3)."""

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        return torch.cat([coarse, fine], dim=1).flatten(1)
