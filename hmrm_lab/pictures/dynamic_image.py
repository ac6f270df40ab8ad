"""The dynamic image (Bilen et al., CVPR 2016): a clip ranked by time, in one picture.

Rank pooling seeks a picture d whose product with the mean of the first t frames grows with t. One
step of gradient descent from d = 0 has a closed form, approximate rank pooling: a weighted sum of
the frames.
"""

import numpy as np
from numpy.typing import NDArray

from hmrm_lab.pictures.pooling import pool
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
