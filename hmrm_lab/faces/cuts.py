"""Cuts, fades and dark frames: which frames of a clip show the scene of its first.

Small pictures without slow shades are compared block by block, after the shift that fits best. Of
the blocks those count that change least: a smile or a blink leaves many as they were, a cut none.
"""

from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from hmrm_lab.records import Floats

SIDE, SLACK, BLOCK = 64, 8, 12  # pixels of a small picture, of the largest shift, of a block
SHADE = 6.0  # slower changes of brightness, in pixels of the small picture, are light
FAINT = 0.03  # contrast that may be noise
LEAST_CHANGED = 0.35  # of the blocks: what changes the others too is a cut
UNLIKE = 0.10  # 0 alike, 1 nothing in common; a blink reaches .06, another face begins at .12
ABOVE_STEPS = 8.0  # and this many times the median of the other steps
STRANGE = 0.2  # from the first frame: what a dissolve reaches in small steps
BLACK = 24  # grey level that 95 % of the pixels of a black frame stay below


def same_scene(pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.bool_]:
    """Whether each picture, (H, W), shows the scene of the first: none after a cut, unless it
    comes back."""
    details = [_detail(picture) for picture in pictures]
    steps = [_unlikeness(a, b) for a, b in pairwise(details)]
    usual = max(sorted(steps)[: len(steps) // 2], default=0.0)
    most = max(UNLIKE, min(STRANGE, ABOVE_STEPS * usual))
    seen, last = np.zeros(len(pictures), dtype=bool), 0
    for number, picture in enumerate(pictures):
        step = (
            steps[number - 1] if last == number - 1 else _unlikeness(details[last], details[number])
        )
        strange = _unlikeness(details[0], details[number]) > STRANGE
        seen[number] = number == 0 or not (step > most or strange or is_black(picture))
        last = number if seen[number] else last
    return seen


def unlikeness(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """How unlike two pictures, (H, W), are: 0 alike, 1 nothing in common."""
    return _unlikeness(_detail(one), _detail(other))


def is_black(frame: NDArray[np.uint8]) -> bool:
    """Whether next to nothing is bright in a frame, (H, W, 3) or (H, W)."""
    brightest = np.atleast_3d(frame[::4, ::4]).max(axis=2)
    return float(np.percentile(brightest, 95)) < BLACK


def to_grey(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def _detail(picture: NDArray[np.uint8]) -> Floats:
    small = cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    level = np.log(small + 16)
    return np.asarray(level - cv2.GaussianBlur(level, (0, 0), SHADE), dtype=np.float32)


def _unlikeness(one: Floats, other: Floats) -> float:
    middle = one[SLACK:-SLACK, SLACK:-SLACK]
    fit = cv2.matchTemplate(other, middle, cv2.TM_CCOEFF_NORMED)
    places = [(SLACK, SLACK), np.unravel_index(fit.argmax(), fit.shape)]  # eyes alone may pull it
    there = [other[y : y + len(middle), x : x + len(middle)] for y, x in places]
    return min(_changed(middle, part) for part in there)


def _changed(one: Floats, other: Floats) -> float:
    changes = _blocks((one - other) ** 2) / (_blocks(one**2 + other**2) + FAINT**2)
    return float(np.quantile(changes, LEAST_CHANGED))


def _blocks(values: Floats) -> Floats:
    return cv2.resize(values, None, fx=1 / BLOCK, fy=1 / BLOCK, interpolation=cv2.INTER_AREA)
