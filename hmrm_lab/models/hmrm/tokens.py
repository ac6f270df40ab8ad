"""Positions of HMRM's tokens on the face, computed by `split_regions` itself."""

from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from hmrm_lab.errors import InputError, unknown_name
from hmrm_lab.models.hmrm.region_fusion import CORE_REGIONS, MAP_SIDE, SUB_REGIONS, split_regions
from hmrm_lab.records import Floats

GRAINS = {"core": CORE_REGIONS, "sub": CORE_REGIONS * SUB_REGIONS}
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
    if grain not in GRAINS:
        raise unknown_name("grain", grain, GRAINS)
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
        raise InputError(
            f"there is no {grain} region {region}", hint=f"take one of 0 to {count - 1}"
        )
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
