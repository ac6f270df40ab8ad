"""Per-clip normalisation of motion maps. No statistic of one clip ever reaches another."""

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hmrm_lab.records import CHANNELS, PICTURES, RELATIVE, Floats

STILL = 1e-6  # a map whose RMS is below this shows no motion


def without_median(flow: Floats) -> Floats:
    """Flow less its median: what is left of it without the motion of the head.

    Shapes
    ------
    flow : (..., 2, H, W)
    returns : the same
    """
    left: Floats = flow - np.median(flow, axis=(-2, -1), keepdims=True)
    return left


def normalise_maps(
    maps: Floats,
    method: Literal["none", "median_rms"],
    unit: str,
    inside: NDArray[np.bool_] | None = None,
) -> Floats:
    """Put every map on a scale of its own.

    `median_rms` takes the median of u and of v away (head motion, or the unknown zero of 8-bit
    maps) and divides both by their common RMS (intensity); strain is divided by its own RMS. Of
    `RELATIVE` maps u and v have no common scale: each is divided by its own RMS.

    Shapes
    ------
    maps : (n, 3, H, W), order (u, v, strain)
    inside : (n, H, W), cells that count in an RMS; the others have the median and count in none
    """
    if method == "none":
        return maps
    flow = without_median(maps[:, :2])
    alike = [flow[:, :1], flow[:, 1:]] if unit == RELATIVE else [flow]  # of one scale
    scaled = [part / _rms(part, inside) for part in (*alike, maps[:, 2:])]
    return np.concatenate(scaled, axis=1).astype(np.float32)


def normalise_live(
    maps: Tensor, method: Literal["none", "median_rms"], inside: Tensor | None = None
) -> Tensor:
    """`normalise_maps` for maps of a flow that is still learning: a gradient passes through.

    Cells outside may have any motion here; there is none in what is returned.
    """
    seen = torch.ones_like(maps[:, :1], dtype=torch.bool) if inside is None else inside[:, None]
    if method == "none":
        return maps * seen
    known = maps[:, :2].masked_fill(~seen, torch.nan).flatten(2)
    median = known.nanquantile(0.5, dim=2).nan_to_num()  # (B, 2)
    flow, strain = (maps[:, :2] - median[..., None, None]) * seen, maps[:, 2:] * seen
    return torch.cat([flow / _live_rms(flow, seen), strain / _live_rms(strain, seen)], dim=1)


def root(values: Tensor) -> Tensor:
    """The square root. Its slope at 0 is taken to be 0, where that of torch is not finite."""
    zero = values == 0
    return values.masked_fill(zero, 1).sqrt().masked_fill(zero, 0)


def select_channels(maps: Tensor, channels: tuple[str, ...]) -> Tensor:
    """The channels that a system asked for; magnitude is that of the (u, v) given.

    Shapes
    ------
    maps : (B, 3, H, W), order (u, v, strain); or (B, 7, H, W) with `PICTURES` behind them
    returns : (B, C, H, W)
    """
    planes = dict(zip((*CHANNELS, *PICTURES), maps.unbind(1), strict=False))
    if "magnitude" in channels:
        planes["magnitude"] = root(planes["u"] ** 2 + planes["v"] ** 2)
    return torch.stack([planes[name] for name in channels], dim=1)


def _rms(values: Floats, inside: NDArray[np.bool_] | None) -> Floats:
    """Root mean square per map; a map without any motion is left as it is."""
    mean = np.mean(values**2, axis=(1, 2, 3), keepdims=True)
    if inside is not None:
        mean = mean / np.maximum(inside.mean(axis=(1, 2)), STILL)[:, None, None, None]
    rms = np.sqrt(mean)
    return np.where(rms > STILL, rms, 1.0).astype(np.float32)


def _live_rms(values: Tensor, seen: Tensor) -> Tensor:
    share = seen.to(values).mean((1, 2, 3), keepdim=True).clamp_min(STILL)
    rms = root((values**2).mean((1, 2, 3), keepdim=True) / share)
    return torch.where(rms > STILL, rms, 1.0)


def dual_phase(rise: Floats, fall: Floats) -> Floats:
    """The movement of a face that both phases agree on: `combine`, of flow less that of the head.

    A head that moves on would be a difference of the phases everywhere, and drown what they share.
    Its motion is taken for the median of each phase, which is gone from the result.

    Shapes
    ------
    rise, fall : (..., 2, H, W), onset to apex and apex to offset, pixels
    returns : (..., 2, H, W) float32, pixels
    """
    return combine(without_median(rise), without_median(fall))


def combine(rise: Floats, fall: Floats) -> Floats:
    """The movement that both phases of a clip agree on.

    A movement that falls back goes the way it came: with r the rise and b the fall turned round,
    both are looks at one movement. What they share is s = (r + b) / 2, what they differ in
    d = (r - b) / 2, and each pixel is s |s|^2 / (|s|^2 + |d|^2), which is r where b = r. The
    larger the common movement against the difference, the more of it is kept: all of a movement
    that goes back, a quarter of what one phase alone shows, nothing of what goes on the same way.

    Shapes
    ------
    rise : (..., 2, H, W), onset to apex, pixels
    fall : (..., 2, H, W), apex to offset, pixels
    returns : (..., 2, H, W) float32, pixels; zero where neither phase moves

    Raises
    ------
    ValueError
        If the shapes differ, or are not those of a flow.
    """
    if rise.shape != fall.shape or rise.ndim < 3 or rise.shape[-3] != 2:
        raise ValueError(f"two flows (..., 2, H, W) of one shape, not {rise.shape}, {fall.shape}")
    shared, apart = (rise - fall) / 2, (rise + fall) / 2
    common, difference = (np.square(part).sum(-3, keepdims=True) for part in (shared, apart))
    energy = common + difference
    share = np.divide(common, energy, out=np.zeros_like(energy), where=energy > 0)
    return (share * shared).astype(np.float32)
