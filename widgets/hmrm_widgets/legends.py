"""The legend of each way to show motion, as a small picture."""

from functools import cache

import numpy as np

from hmrm_lab.reporting.drawing import heat_picture, png_bytes, wheel_picture

WHEEL_PX = 96
BAR_PX = (220, 18)


@cache
def legend_bytes(display: str) -> bytes:
    """A PNG: the wheel for `colour`, a bar with the most on top for `strain` and `error`; none for
    arrows."""
    if display == "colour":
        return png_bytes(wheel_picture(WHEEL_PX))
    if display == "quiver":
        return b""
    height, width = BAR_PX
    levels = np.linspace(1, 0, height, dtype=np.float32)[:, None].repeat(width, axis=1)
    return png_bytes(heat_picture(levels, 1.0))
