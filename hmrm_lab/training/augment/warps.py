"""Flip, shift, zoom and turn of motion maps, and of their vectors.

Channels after u and v, strain and pictures, have no direction: they are only moved.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from hmrm_lab.faces.landmarks import region_masks
from hmrm_lab.flow.estimator import FlowEstimator
from hmrm_lab.flow.motion_maps import optical_strain, without_median
from hmrm_lab.records import Clip, Floats, LandmarkedFrames
from hmrm_lab.training.augment.motionmix import template_masks

U, V = 0, 1


def flip(maps: Tensor) -> Tensor:
    """Mirror the face: reverse columns and the sign of u. (B, C, H, W), u and v first."""
    mirrored = maps.flip(-1)
    mirrored[:, U] *= -1
    return mirrored


def shift(maps: Tensor, right_px: int, down_px: int) -> Tensor:
    """Move all maps by whole pixels; the border is repeated. (B, C, H, W)."""
    height, width = maps.shape[-2:]
    reach = max(abs(right_px), abs(down_px))
    padded = F.pad(maps, (reach,) * 4, mode="replicate")
    top, left = reach - down_px, reach - right_px
    return padded[..., top : top + height, left : left + width]


def jitter(maps: Tensor, *, flips: bool, shift_px: int, scale: float, rotate_deg: float) -> Tensor:
    """Flip, shift, zoom and turn each map at random. (B, C, H, W), u and v first.

    Turning turns the vectors with the map; zooming leaves them as they are.
    """
    if flips:
        mirrored = torch.rand(len(maps), device=maps.device) < 0.5
        maps = torch.where(mirrored[:, None, None, None], flip(maps), maps)
    if shift_px == 0 and scale == 0 and rotate_deg == 0:
        return maps
    zoom = 1 + scale * _symmetric(maps)
    angle = math.radians(rotate_deg) * _symmetric(maps)
    cos, sin = angle.cos(), angle.sin()
    size = maps.shape[-1]
    offset = [(2 * shift_px / size * _symmetric(maps)) for _ in range(2)]
    rows = [
        torch.stack([cos / zoom, sin / zoom, offset[0]], dim=1),
        torch.stack([-sin / zoom, cos / zoom, offset[1]], dim=1),
    ]
    grid = F.affine_grid(torch.stack(rows, dim=1), list(maps.shape), align_corners=False)
    moved = F.grid_sample(maps, grid, padding_mode="border", align_corners=False)
    if rotate_deg == 0:
        return moved
    c, s = cos[:, None, None], sin[:, None, None]
    u, v = moved[:, U], moved[:, V]
    turned = torch.stack([c * u - s * v, s * u + c * v], dim=1)
    return torch.cat([turned, moved[:, V + 1 :]], dim=1)


def _symmetric(maps: Tensor) -> Tensor:
    """Draw uniform numbers in -1..1, one per map."""
    return 2 * torch.rand(len(maps), device=maps.device, dtype=maps.dtype) - 1


class CropMotion(NamedTuple):
    """Motion, masks and onset frame of a clip at full resolution.

    Shapes
    ------
    map : (3, H, W) float32, order (u, v, strain), pixels
    masks : (2, H, W) bool, order (eyes, mouth)
    onset : (H, W, 3), uint8, RGB
    """

    map: Floats
    masks: NDArray[np.bool_]
    onset: NDArray[np.uint8]


def crop_motion(clip: Clip, estimator: FlowEstimator) -> CropMotion:
    """Compute flow, strain and masks of a square crop at full resolution.

    The masks are from the landmarks of the onset, or the template's without landmarks. Raises
    `InputError` for a clip without an apex.
    """
    onset, apex = clip.frames[clip.onset], clip.frames[clip.known_apex]
    flow_px = estimator(onset[None], apex[None])
    motion = np.concatenate([flow_px[0], optical_strain(flow_px)])
    if isinstance(clip.frames, LandmarkedFrames):
        masks = region_masks(clip.frames.landmarks(clip.onset), *onset.shape[:2])
    else:
        masks = template_masks(onset.shape[0])
    return CropMotion(motion.astype(np.float32), masks, onset)


def steadied(motion: Floats) -> Floats:
    """Subtract the median of u and v, the head's motion, from a motion map (3, H, W)."""
    return np.concatenate([without_median(motion[:2]), motion[2:]])
