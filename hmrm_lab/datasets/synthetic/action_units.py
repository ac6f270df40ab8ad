"""Action units as displacement fields, and the units that each class may show.

A unit is a handful of smooth bumps anchored at the subject's landmarks (facial action coding
system; the units of micro-expressions after Davison et al., "Objective classes for micro-facial
expression recognition", 2018). Units are written for the half of the face on the left of the
image; x grows towards the nose there.
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from hmrm_lab.datasets.synthetic.motion import MIRROR, Floats


class Push(NamedTuple):
    """One bump: the mean of these landmarks plus an offset, its radii and its direction."""

    landmarks: tuple[int, ...]
    offset_px: tuple[float, float]
    radii_px: tuple[float, float]
    direction: tuple[float, float]


UNITS: Mapping[str, tuple[Push, ...]] = {
    # brows
    "AU1": (Push((20, 21), (0, 0), (30, 32), (0.05, -1.0)),),
    "AU2": (Push((17, 18, 19), (0, 0), (34, 32), (0.0, -1.0)),),
    "AU4": (
        Push((20, 21), (0, 0), (30, 30), (0.45, 0.85)),
        Push((18, 19), (0, 0), (30, 26), (0.15, 0.45)),
    ),
    # lids and cheeks
    "AU5": (Push((37, 38), (0, 0), (24, 13), (0.0, -1.0)),),
    "AU6": (
        Push((41, 40), (-4, 22), (42, 30), (0.08, -1.0)),
        Push((36,), (-6, 6), (22, 18), (0.35, -0.35)),
    ),
    "AU7": (
        Push((40, 41), (0, 1), (26, 13), (0.1, -1.0)),
        Push((37, 38), (0, 0), (24, 12), (0.0, 0.5)),
    ),
    # nose
    "AU9": (
        Push((31,), (-3, -8), (26, 28), (0.1, -1.0)),
        Push((50,), (0, -3), (20, 14), (0.0, -0.5)),
    ),
    # mouth and chin
    "AU12": (
        Push((48,), (0, 0), (36, 30), (-0.75, -0.70)),
        Push((48, 31), (-8, 0), (34, 28), (-0.15, -0.30)),
    ),
    "AU14": (Push((48,), (-2, 0), (26, 22), (-0.85, 0.10)),),
    "AU15": (Push((48,), (0, 3), (30, 30), (-0.15, 1.0)),),
    "AU17": (
        Push((8, 57), (0, -2), (44, 28), (0.0, -1.0)),
        Push((57,), (0, 0), (32, 14), (0.0, -0.35)),
    ),
    "AU26": (
        Push((8,), (0, -6), (76, 46), (0.0, 1.0)),
        Push((57,), (0, 2), (44, 22), (0.0, 0.35)),
    ),
    # what moves without an expression
    "blink": (
        Push((37, 38), (0, 0), (25, 14), (0.0, 1.0)),
        Push((40, 41), (0, 0), (24, 12), (0.0, -0.2)),
    ),
    "swallow": (Push((8,), (0, 12), (64, 34), (0.0, -1.0)),),
    "lip press": (
        Push((51,), (0, 0), (36, 14), (0.0, 0.8)),
        Push((57,), (0, 0), (36, 14), (0.0, -0.8)),
    ),
    "nostrils": (Push((31,), (-1, 0), (15, 15), (-1.0, -0.1)),),
}

CORE: dict[str, tuple[tuple[str, ...], ...]] = {
    "negative": (
        *(("AU4",), ("AU4", "AU7"), ("AU15",), ("AU4", "AU15")),
        *(("AU9", "AU4"), ("AU14",), ("AU15", "AU17")),
    ),
    "positive": (("AU12",), ("AU6", "AU12"), ("AU6", "AU12")),
    "surprise": (
        *(("AU1", "AU2"), ("AU1", "AU2", "AU5")),
        *(("AU1", "AU2", "AU26"), ("AU1", "AU2", "AU5", "AU26")),
    ),
}
"""What may fire together, for each class."""

STRAY: tuple[str, ...] = ("AU1", "AU2", "AU4", "AU5", "AU7", "AU12", "AU14", "AU15", "AU17", "AU26")
"""Units that may fire weakly whatever the class is."""

DISTRACTORS = ("blink", "swallow", "lip press", "nostrils")


def unit_bumps(name: str, landmarks: Floats, left: float = 1.0, right: float = 1.0) -> Floats:
    """The bumps of a unit on this face, for a strongest push of about one pixel.

    `left` and `right` scale the two halves of the image. A push at the middle of the face is one
    bump and takes their mean.

    Shapes
    ------
    landmarks : (68, 2) float32
    returns : (K, 6) float32, as in `motion.Motion`
    """
    rows = []
    for push in UNITS[name]:
        indices = np.array(push.landmarks)
        if (MIRROR[indices] == indices).all():
            rows.append(_row(landmarks[indices], push, 1.0, (left + right) / 2))
        else:
            rows.append(_row(landmarks[indices], push, 1.0, left))
            rows.append(_row(landmarks[MIRROR[indices]], push, -1.0, right))
    return np.array(rows, dtype=np.float32)


def _row(points: Floats, push: Push, mirror: float, strength: float) -> list[float]:
    x, y = points.mean(axis=0)
    across, down = push.direction
    return [
        float(x) + mirror * push.offset_px[0],
        float(y) + push.offset_px[1],
        *push.radii_px,
        strength * mirror * across,
        strength * down,
    ]


class Stream(IntEnum):
    """What the numbers are for."""

    GEOMETRY = 1
    LOOKS = 2
    CAST = 3
    SENSOR = 4
    HABIT = 5
    SCRIPT = 6
    BLINK = 7
    GUISE = 8


def key(seed: int, stream: Stream, *numbers: int) -> np.random.SeedSequence:
    """The seed of this stream for one subject, clip or frame."""
    return np.random.SeedSequence([seed, int(stream), *numbers])


def generator(seed: int, stream: Stream, *numbers: int) -> np.random.Generator:
    """The stream for one subject, clip or frame, at its start."""
    return np.random.default_rng(key(seed, stream, *numbers))
