"""Optical strain: how much the skin deforms, whatever the head does as a whole."""

import cv2
import numpy as np

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


def motion_map(flow_px: Floats, size: int) -> Floats:
    """Flow and its strain as the (u, v, strain) maps that systems take.

    Strain is taken at full resolution; then all three are averaged over equal areas. The unit of
    u and v stays the pixel of the crop.

    Shapes
    ------
    flow_px : (B, 2, H, W), pixels
    returns : (B, 3, size, size), float32
    """
    maps = np.concatenate([flow_px, optical_strain(flow_px)[:, None]], axis=1)
    reduced = [
        cv2.resize(m.transpose(1, 2, 0), (size, size), interpolation=cv2.INTER_AREA) for m in maps
    ]
    return np.stack(reduced).transpose(0, 3, 1, 2).astype(np.float32)
