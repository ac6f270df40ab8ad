"""Optical strain: how much the skin deforms, whatever the head does as a whole."""

import cv2
import numpy as np
from numpy.typing import NDArray

from hmrm_lab.records import Floats


def optical_strain(flow_px: Floats) -> Floats:
    """Magnitude of the infinitesimal strain tensor (Shreve et al. 2011).

    `e = sqrt(u_x^2 + v_y^2 + (u_y + v_x)^2 / 2)` with central differences, so that a translation
    has none and a stretch by 1 % along one axis has .01.

    Shapes
    ------
    flow_px : (B, 2, H, W), pixels
    returns : (B, H, W), float32, without unit
    """
    u_y, u_x = np.gradient(flow_px[:, 0], axis=(1, 2))
    v_y, v_x = np.gradient(flow_px[:, 1], axis=(1, 2))
    return np.sqrt(u_x**2 + v_y**2 + 0.5 * (u_y + v_x) ** 2).astype(np.float32)


def motion_map(flow_px: Floats, size: int, inside: NDArray[np.bool_] | None = None) -> Floats:
    """Flow and its strain as the (u, v, strain) maps that systems take.

    Strain is taken at full resolution; then all three are averaged over equal areas. The unit of
    u and v stays the pixel of the crop. What lies outside a recording has no part in an average;
    a cell that lies there by more than half has the median flow of the others and no strain.

    Shapes
    ------
    flow_px : (B, 2, H, W), pixels
    inside : (H, W), what the recording shows; all, if not given
    returns : (B, 3, size, size), float32
    """
    maps = np.concatenate([flow_px, optical_strain(flow_px)[:, None]], axis=1)
    if inside is None or inside.all():
        return np.stack([area_means(m, size) for m in maps])
    share = area_means(inside[None].astype(np.float32), size)
    seen = share[0] >= 0.5
    reduced = np.stack([area_means(m * inside, size) for m in maps]) / np.maximum(share, 0.5)
    return np.stack([still_outside(m, seen) for m in reduced])


def head_motion(flow: Floats, inside: NDArray[np.bool_]) -> Floats:
    """The median of a flow within its recording: (2, H, W) to (2, 1, 1); 0 if it shows nothing."""
    if not inside.any():
        return np.zeros((2, 1, 1), dtype=np.float32)
    return np.median(flow[:, inside], axis=1).astype(np.float32)[:, None, None]


def still_outside(motion: Floats, inside: NDArray[np.bool_]) -> Floats:
    """A flow or a map, (2 or 3, H, W), that moves outside as the head does, and has no strain."""
    still = np.zeros((len(motion), 1, 1), dtype=np.float32)
    still[:2] = head_motion(motion[:2], inside)
    return np.where(inside, motion, still).astype(np.float32)


def area_means(maps: Floats, size: int) -> Floats:
    """Averages over equal areas: (C, H, W) to (C, size, size)."""
    reduced = cv2.resize(maps.transpose(1, 2, 0), (size, size), interpolation=cv2.INTER_AREA)
    return reduced.reshape(size, size, -1).transpose(2, 0, 1).astype(np.float32)
