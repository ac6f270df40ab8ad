"""The Middlebury colour code of optical flow (Baker et al. 2011): hue is direction, saturation
is strength, white is rest."""

import numpy as np
from numpy.typing import NDArray

from hmrm_lab.records import Floats

Image = NDArray[np.uint8]

# Baker et al. 2011: the number of steps from each pure colour to the next; the eye tells some
# hues apart better than others.
STEPS = {"red": 15, "yellow": 6, "green": 4, "cyan": 11, "blue": 13, "magenta": 6}
PURE = {
    "red": (255, 0, 0),
    "yellow": (255, 255, 0),
    "green": (0, 255, 0),
    "cyan": (0, 255, 255),
    "blue": (0, 0, 255),
    "magenta": (255, 0, 255),
}
BEYOND = 0.75  # flow longer than the scale is darkened by this factor
UNKNOWN = 128  # grey of a pixel whose flow is not known


def flow_to_rgb(flow_px: Floats, *, max_px: float | None = None) -> Image:
    """Colour a flow field.

    Parameters
    ----------
    flow_px
        The flow; a pixel that is not finite becomes grey.
    max_px
        The length that gets full saturation; the longest vector of the field if not given.
        Longer vectors are darkened, so that they can be told from it.

    Shapes
    ------
    flow_px : (2, H, W), pixels, order (u, v); u to the right, v downwards
    returns : (H, W, 3), uint8, RGB
    """
    known = np.isfinite(flow_px).all(0)
    u, v = np.where(known, flow_px, 0.0).astype(np.float64)
    length = np.hypot(u, v)
    largest = float(length.max(initial=0.0)) if max_px is None else max_px
    strength = length / largest if largest > 0 else np.zeros_like(length)
    hue = _hue(u, v)
    within = (strength <= 1 + 1e-9)[..., None]
    shade = strength[..., None].clip(max=1)
    colour = np.where(within, 1 - shade * (1 - hue), BEYOND * hue)
    image: Image = np.round(255 * colour).astype(np.uint8)
    image[~known] = UNKNOWN
    return image


def colour_wheel(size: int) -> Image:
    """The legend: each point of a disc in the colour of the flow from the centre to that point.

    Shapes
    ------
    returns : (size, size, 3), uint8, RGB; white around the disc
    """
    span = np.linspace(-1, 1, size, dtype=np.float32)
    flow = np.stack(np.meshgrid(span, span))  # (2, size, size)
    flow[:, np.hypot(*flow) > 1] = 0
    return flow_to_rgb(flow, max_px=1.0)


def wheel_picture(size: int) -> Image:
    """The legend for paper of any colour: (size, size, 4), uint8, RGBA, clear around the disc."""
    wheel = colour_wheel(size)
    outside = np.hypot(*(np.indices(wheel.shape[:2]) - (size - 1) / 2)) > size / 2
    return np.dstack([wheel, np.where(outside, 0, 255).astype(np.uint8)])


def _hue(u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.float64]:
    """The fully saturated colour of each direction. (H, W) twice to (H, W, 3), 0..1."""
    wheel = _wheel()
    position = (np.arctan2(-v, -u) / np.pi + 1) / 2 * (len(wheel) - 1)
    below = np.floor(position).astype(np.int64)
    above = (below + 1) % len(wheel)
    share = (position - below)[..., None]
    return (1 - share) * wheel[below] + share * wheel[above]


def _wheel() -> NDArray[np.float64]:
    """The colours around the circle. (55, 3), 0..1."""
    pure = np.array(list(PURE.values()), dtype=np.float64) / 255
    arcs = []
    for start, end, steps in zip(pure, np.roll(pure, -1, axis=0), STEPS.values(), strict=True):
        share = np.arange(steps)[:, None] / steps
        arcs.append((1 - share) * start + share * end)
    return np.concatenate(arcs)
