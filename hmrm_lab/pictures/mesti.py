"""MESTI, the micro-expression spatio-temporal image (Nguyen et al. 2025), as derived here.

The published formula is not public. This one is the curvature of each pixel's course in time: of
the parabola that fits it best, the part that no line can take. What stays, or drifts evenly, is
gone; what rises and falls back within the clip is kept, with its sign. Decision 0018 derives it.
"""

import numpy as np
from numpy.typing import NDArray

from hmrm_lab.pictures.pooling import pool
from hmrm_lab.records import Floats


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
