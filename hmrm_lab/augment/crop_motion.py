"""The motion of a clip before it is averaged down: what MotionMix would mix at crop resolution."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hmrm_lab.augment.motionmix import template_masks
from hmrm_lab.faces.regions import region_masks
from hmrm_lab.flow.estimator import FlowEstimator
from hmrm_lab.flow.normalise import without_median
from hmrm_lab.flow.strain import optical_strain
from hmrm_lab.records import Clip, Floats, LandmarkedFrames


class CropMotion(NamedTuple):
    """A clip as MotionMix needs it.

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
    """Flow, strain and masks of a square crop at full resolution.

    The masks are from the landmarks of the onset, or the template's where there are none. Raises
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
    """A motion map (3, H, W) without the median of u and of v, which is the head's motion."""
    return np.concatenate([without_median(motion[:2]), motion[2:]])
