"""The dynamic image (Bilen et al., CVPR 2016): a clip ranked by time, in one picture.

Rank pooling seeks a picture d whose product with the mean of the first t frames grows with t. One
step of gradient descent from d = 0 has a closed form, approximate rank pooling: a weighted sum of
the frames.
"""

import numpy as np
from numpy.typing import NDArray

from hmrm_lab.records import Floats


def dynamic_image(frames: NDArray[np.generic]) -> Floats:
    """Approximate rank pooling over the running means of a clip's frames.

    Shapes
    ------
    frames : (T, H, W), gray, uint8 or float32; T >= 2
    returns : (H, W) float32, signed, RMS 1; zero for a still clip

    Raises
    ------
    ValueError
        For fewer than two frames, or another shape.
    """
    return pool(frames, rank_weights(len(frames)))


def rank_weights(length: int) -> NDArray[np.float64]:
    """The weight of each frame: 2 (T - t + 1) - (T + 1) (H_T - H_{t-1}), t = 1..T.

    H_t is the t-th harmonic number. It is the sum of (2 i - T - 1) / i over i = t..T: frame t is
    part of the running means from the t-th on. The weights add up to zero.

    Shapes
    ------
    returns : (T,)
    """
    time = np.arange(1, length + 1, dtype=np.float64)
    summands = (2 * time - length - 1) / time
    weights: NDArray[np.float64] = summands[::-1].cumsum()[::-1]
    return weights


def slope_weights(length: int) -> NDArray[np.float64]:
    """The weights without running means: 2 t - T - 1, the slope of a line through the frames.

    Shapes
    ------
    returns : (T,), odd in time
    """
    return 2 * np.arange(1, length + 1, dtype=np.float64) - length - 1


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


def mesti(frames: NDArray[np.generic]) -> Floats:
    """How far each pixel rises above its own drift in mid-clip, by least squares.

    Two frames hold no rise and fall: their picture is zero.

    Shapes
    ------
    frames : (T, H, W), gray, uint8 or float32, from onset to offset; T >= 2
    returns : (H, W) float32, signed, RMS 1; zero where nothing but an even drift is seen

    Raises
    ------
    ValueError
        For fewer than two frames, or another shape.
    """
    return pool(frames, hump_weights(len(frames)))


def hump_weights(length: int) -> NDArray[np.float64]:
    """The weight of each frame: 6 t (T - 1 - t) - (T - 1) (T - 2), t = 0..T-1.

    The orthogonal polynomial of degree two, turned so that mid-clip counts positive: whole
    numbers, orthogonal to a constant and to a line.

    Shapes
    ------
    returns : (T,), even in time
    """
    time = np.arange(length, dtype=np.float64)
    return 6 * time * (length - 1 - time) - (length - 1) * (length - 2)
