"""Regions Feature Fusion Strategy (paper 3.3, Algorithm 1): 4 core regions, 16 sub-regions.

And where regions and their tokens lie on the face, computed by `split_regions` itself.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from hmrm_lab.errors import ConfigError, InputError, unknown_name
from hmrm_lab.models.layers import Attention
from hmrm_lab.records import Floats

CORE_REGIONS = 4  # top-left, top-right, bottom-left, bottom-right
SUB_REGIONS = 4  # per core region, in the same order
WINDOW = 7  # 4.2: a 7x7 window; a 28x28 map has 4x4 of them
MAP_SIDE = 4 * WINDOW
REGIONS = {"core": CORE_REGIONS, "sub": CORE_REGIONS * SUB_REGIONS}
REGIONS["both"] = sum(REGIONS.values())


def split_regions(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Split a motion map into 7x7 windows of both granularities.

    A sub-region is a window of the map itself; a core region, twice as wide, is a window of the
    map at half resolution. Of larger maps a pixel is a patch of P = (H / 28)^2 pixels.

    Maps (B, C, H, H), H a multiple of 28, to coarse (B, 4, 49, P C) and fine (B, 16, 49, P C); the
    sub-regions of core region r are rows 4r to 4r + 3 of `fine`; the 49 pixels run row by row.
    """
    if maps.shape[-1] != maps.shape[-2] or maps.shape[-1] % MAP_SIDE:
        raise ValueError(f"maps must be square with a multiple of {MAP_SIDE}: {tuple(maps.shape)}")
    patch = maps.shape[-1] // MAP_SIDE
    fine = _windows(F.pixel_unshuffle(maps, patch), 4)  # (B, 16, 49, P C), row by row
    coarse = _windows(F.pixel_unshuffle(F.avg_pool2d(maps, 2), patch), 2)  # (B, 4, 49, P C)
    bits = fine.unflatten(1, (2, 2, 2, 2))  # of row and column; the first of each: core region
    return coarse, bits.transpose(2, 3).flatten(1, 4)


def _windows(planes: Tensor, side: int) -> Tensor:
    """(B, C, 7 side, 7 side) to (B, side^2, 49, C)."""
    batch, channels = planes.shape[:2]
    grid = planes.reshape(batch, channels, side, WINDOW, side, WINDOW)
    return grid.permute(0, 2, 4, 3, 5, 1).reshape(batch, side**2, WINDOW**2, channels)


class RegionFusion(nn.Module):
    """Self-attention across granularities: (B, 20, D), 4 core regions, then 16 sub-regions.

    `equal` norms every vector in the end.
    """

    def __init__(self, width: int, *, heads: int, dropout: float, equal: bool = False) -> None:
        super().__init__()
        if width % heads:
            problem = f"a width of {width} cannot be shared out among {heads} heads"
            raise ConfigError(problem, hint="set model.width to a multiple of model.heads")
        self.place = nn.Parameter(0.02 * torch.randn(REGIONS["both"], width))
        self.norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads=heads, dropout=dropout, drop_output=False)
        nn.init.xavier_uniform_(self.attention.project_in.weight)  # as in torch's own module
        nn.init.zeros_(self.attention.project_in.bias)
        nn.init.zeros_(self.attention.project_out.bias)
        self.norm_out = nn.LayerNorm(width) if equal else nn.Identity()

    def forward(self, regions: Tensor) -> Tensor:
        vectors = regions + self.place
        return self.norm_out(vectors + self.attention(self.norm(vectors)))


CELLS = {"core": 2, "sub": 1}  # of a 28x28 map, along one side of a token
QUARTERS = ("top left", "top right", "bottom left", "bottom right")
COMPASS = ("right", "down right", "down", "down left", "left", "up left", "up", "up right")


class RegionMotion(NamedTuple):
    """The motion in a region: the mean vector, its length and direction, and the mean length.

    `direction` is in degrees, clockwise from the right, as v points downwards; `words` names it.
    """

    u: float
    v: float
    length: float
    direction: float
    words: str
    mean_length: float


def region_names(grain: str) -> list[str]:
    """Name the regions of a grain in the order of their tokens."""
    if grain not in CELLS:
        raise unknown_name("grain", grain, CELLS)
    if grain == "core":
        return list(QUARTERS)
    return [f"{core}, its {sub}" for core in QUARTERS for sub in QUARTERS]


@cache
def token_centres(grain: str) -> Floats:
    """Compute the centres (x, y) of pixel tokens, in cells of a 28x28 map: (R, 49, 2)."""
    region_names(grain)  # refuses an unknown grain
    rows, columns = np.indices((MAP_SIDE, MAP_SIDE), dtype=np.float32) + 0.5
    coarse, fine = split_regions(torch.from_numpy(np.stack([columns, rows])[None]))
    return np.asarray((coarse if grain == "core" else fine)[0].numpy(), dtype=np.float32)


def region_boxes(grain: str) -> Floats:
    """Compute left, top, right, bottom of every region, in cells of a 28x28 map: (R, 4)."""
    centres, half = token_centres(grain), CELLS[grain] / 2
    low, high = centres.min(axis=1) - half, centres.max(axis=1) + half
    return np.concatenate([low, high], axis=1)


def region_mask(grain: str, region: int, size: int = MAP_SIDE) -> NDArray[np.bool_]:
    """Mark the cells of a region on a map of `size`: (size, size), bool."""
    count = len(region_names(grain))
    if not 0 <= region < count:
        hint = f"take one of 0 to {count - 1}"
        raise InputError(f"there is no {grain} region {region}", hint=hint)
    left, top, right, bottom = region_boxes(grain)[region] / MAP_SIDE
    centres = (np.arange(size) + 0.5) / size
    rows, columns = (top < centres) & (centres < bottom), (left < centres) & (centres < right)
    return rows[:, None] & columns[None, :]


def region_motion(motion: Floats, grain: str, region: int) -> RegionMotion:
    """Compute the motion of a map (C, H, W), order (u, v, ...), inside a region."""
    u, v = motion[:2, region_mask(grain, region, motion.shape[-1])].astype(np.float64)
    mean_u, mean_v = float(u.mean()), float(v.mean())
    direction = float(np.degrees(np.arctan2(mean_v, mean_u)) % 360)
    return RegionMotion(
        mean_u,
        mean_v,
        float(np.hypot(mean_u, mean_v)),
        direction,
        COMPASS[round(direction / 45) % len(COMPASS)],
        float(np.hypot(u, v).mean()),
    )
