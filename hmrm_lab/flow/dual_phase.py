"""Dual-phase flow: onset to apex and apex to offset in one field, weighted by their magnitudes.

FMANet (arXiv 2510.07810) joins the flows of both phases into one descriptor, magnitude-modulated
combined optical flow. Its formula is not public; decision 0018 derives this one.
"""

import numpy as np

from hmrm_lab.flow.normalise import without_median
from hmrm_lab.records import Floats


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
