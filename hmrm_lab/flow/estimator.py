"""What every optical flow method looks like from outside."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hmrm_lab.errors import InputError
from hmrm_lab.records import Floats

SMALLEST_SIDE = 16


class FlowEstimator(Protocol):
    """Motion from onset to apex.

    Shapes
    ------
    onset, apex : (B, H, W, 3), uint8, RGB
    returns : (B, 2, H, W), float32, pixels, order (u, v); u to the right, v downwards
    """

    def __call__(self, onset: NDArray[np.uint8], apex: NDArray[np.uint8]) -> Floats: ...


def check_pairs(onset: NDArray[np.uint8], apex: NDArray[np.uint8]) -> None:
    """Refuse what no estimator can take, with an `InputError` that says why."""
    if onset.shape != apex.shape:
        raise InputError(
            f"onset {onset.shape[1:3]} and apex {apex.shape[1:3]} differ in size",
            mend="crop both frames alike",
        )
    if onset.ndim != 4 or onset.shape[-1] != 3:
        raise InputError(f"frames of shape {onset.shape}", mend="give (B, H, W, 3) RGB images")
    for frames in (onset, apex):
        if frames.dtype != np.uint8:
            raise InputError(f"frames of type {frames.dtype}", mend="convert them to 8 bit (uint8)")
    if min(onset.shape[1:3]) < SMALLEST_SIDE:
        raise InputError(
            f"frames of {onset.shape[2]}x{onset.shape[1]} pixels",
            mend=f"give at least {SMALLEST_SIDE}x{SMALLEST_SIDE}",
        )
