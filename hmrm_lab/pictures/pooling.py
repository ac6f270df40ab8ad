"""What pictures of clips share: a weighted sum over time, on a scale of its own."""

import numpy as np
from numpy.typing import NDArray

from hmrm_lab.records import Floats

MIN_FRAMES = 2
ROUNDING = 1e-6  # of the largest sum that could have come out; what is below is float32's


def pool(frames: NDArray[np.generic], weights: NDArray[np.float64]) -> Floats:
    """Sum of weight times frame over time, divided by its root mean square.

    The first frame is taken away before, which changes nothing for weights that add up to zero,
    and makes the picture of a still clip zero without rounding.

    Shapes
    ------
    frames : (T, H, W), gray, uint8 or float32, T >= 2
    weights : (T,), their sum zero
    returns : (H, W) float32, RMS 1, or all zero

    Raises
    ------
    ValueError
        For fewer than two frames, or another shape.
    """
    if frames.ndim != 3:
        raise ValueError(f"frames must be (T, H, W), gray, not {frames.shape}")
    if len(frames) < MIN_FRAMES:
        raise ValueError(f"a picture of a clip needs two frames or more, not {len(frames)}")
    moved = frames.astype(np.float64) - frames[0].astype(np.float64)
    picture = np.tensordot(weights, moved, axes=1)
    largest = np.abs(picture).max()
    if largest <= ROUNDING * np.abs(weights).sum() * np.abs(moved).max():
        return np.zeros(picture.shape, np.float32)
    scaled = picture / largest
    return (scaled / np.sqrt(np.mean(scaled**2))).astype(np.float32)
