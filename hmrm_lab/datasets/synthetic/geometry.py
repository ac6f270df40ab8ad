"""Face geometry: 68 landmarks of a neutral face, one arrangement for each subject.

Points follow the iBUG order. A face is drawn from a symmetric template by moving its parts
(jaw, eyes, brows, nose, mouth) within the range that an aligned crop leaves between people.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float32]

SIZE_PX = 224
CENTRE_PX = 112.0
STRETCH = 1.2
"""A drawn face is a square crop; a head is higher than wide."""

JAW, BROW, NOSE_BRIDGE, NOSE_BASE = slice(0, 17), slice(17, 22), slice(27, 31), slice(31, 36)
EYE, MOUTH, OUTER_LIP, INNER_LIP = slice(36, 42), slice(48, 68), slice(48, 60), slice(60, 68)

# The half of the face on the left of the image; the other half is its mirror.
_HALF = {
    **dict(enumerate([(23, 92), (24, 112), (28, 132), (35, 151), (47, 170)])),
    **dict(enumerate([(61, 187), (77, 201), (94, 209.5), (112, 212)], start=5)),
    **dict(enumerate([(34, 72), (46, 64), (62, 61.5), (79, 64), (95, 70)], start=17)),
    **dict(enumerate([(112, 88), (112, 102), (112, 116), (112, 130)], start=27)),
    **dict(enumerate([(96, 138), (104, 141.5), (112, 143.5)], start=31)),
    **dict(enumerate([(50, 91), (60, 83.5), (74, 83), (86, 92), (74, 96.5), (60, 96)], start=36)),
    **dict(enumerate([(82, 171), (93, 165.5), (104, 162), (112, 164)], start=48)),
    **dict(enumerate([(112, 183), (102, 182), (91, 178)], start=57)),
    **dict(enumerate([(86, 171), (103, 169.5), (112, 170.5)], start=60)),
    **dict(enumerate([(112, 172), (103, 172)], start=66)),
}

MIRROR = np.array(
    [*range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1)]
    + [45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40]
    + [*range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), 67, 66, 65]
)
"""The landmark on the other side of the face, for each of the 68."""


def floats(values: ArrayLike) -> Floats:
    """The values as an array of float32."""
    return np.asarray(values, dtype=np.float32)


def mirrored(landmarks_px: Floats) -> Floats:
    """The landmarks of the face seen in a mirror: (68, 2) to (68, 2)."""
    other: Floats = landmarks_px[MIRROR] * floats([-1, 1]) + floats([2 * CENTRE_PX, 0])
    return other


def template() -> Floats:
    """The neutral, symmetric face.

    Shapes
    ------
    returns : (68, 2) float32, order (x, y), pixels in a 224 x 224 crop
    """
    points = np.full((68, 2), np.nan, dtype=np.float32)
    for index, point in _HALF.items():
        points[index] = point
    return np.where(np.isnan(points), mirrored(points), points)


def subject_landmarks(rng: np.random.Generator) -> Floats:
    """The neutral landmarks of one person.

    Shapes
    ------
    returns : (68, 2) float32, order (x, y), pixels in a 224 x 224 crop
    """
    face = template()
    left = np.arange(68)[template()[:, 0] <= CENTRE_PX]
    half = face.copy()
    _shape_jaw(half, rng)
    _shape_eyes_and_brows(half, rng)
    _shape_nose_and_mouth(half, rng)
    face[left] = half[left]
    face = np.where(np.isin(np.arange(68), left)[:, None], face, mirrored(face))
    return (face + _asymmetry(face, rng)).astype(np.float32)


def _spread(rng: np.random.Generator, width: float) -> float:
    """A draw about zero that never leaves +-2 widths, so that no face falls apart."""
    return float(np.clip(rng.normal(0, width), -2 * width, 2 * width))


def _shape_jaw(face: Floats, rng: np.random.Generator) -> None:
    width, square, length = _spread(rng, 0.025), _spread(rng, 2.5), _spread(rng, 2.5)
    jaw = face[JAW]
    jaw[:, 0] = CENTRE_PX + (jaw[:, 0] - CENTRE_PX) * (1 + width)
    jaw[3:7, 0] -= square * floats([0.5, 1, 1, 0.6])
    jaw[:, 1] += length * np.linspace(0, 2, 17, dtype=np.float32).clip(0, 1)


def _shape_eyes_and_brows(face: Floats, rng: np.random.Generator) -> None:
    eye, brow = face[EYE], face[BROW]
    centre = eye.mean(axis=0)
    size, opening = 1 + _spread(rng, 0.05), 1 + _spread(rng, 0.09)
    eye[:] = centre + (eye - centre) * floats([size, size * opening])
    eye[:, 1] += _spread(rng, 1.0) * (eye[:, 0] - centre[0]) / 17  # the tilt of the lid axis
    apart = _spread(rng, 1.6)
    eye[:, 0] -= apart
    brow[:, 0] -= apart
    arch = floats([0, 0.7, 1, 0.5, 0])
    brow[:, 1] += _spread(rng, 2.0) - _spread(rng, 1.4) * arch
    brow[:, 1] += _spread(rng, 1.3) * np.linspace(-1, 1, 5, dtype=np.float32)


def _shape_nose_and_mouth(face: Floats, rng: np.random.Generator) -> None:
    nose_width, nose_length = 1 + _spread(rng, 0.08), _spread(rng, 2.0)
    face[NOSE_BASE, 0] = CENTRE_PX + (face[NOSE_BASE, 0] - CENTRE_PX) * nose_width
    face[27:36, 1] += nose_length * np.linspace(0, 1.6, 9, dtype=np.float32).clip(0, 1)
    mouth_width, fullness, drop = 1 + _spread(rng, 0.06), 1 + _spread(rng, 0.13), _spread(rng, 1.8)
    mouth = face[MOUTH]
    seam_y = face[60, 1]
    mouth[:, 0] = CENTRE_PX + (mouth[:, 0] - CENTRE_PX) * mouth_width
    mouth[:12, 1] = seam_y + (mouth[:12, 1] - seam_y) * fullness
    mouth[:, 1] += drop + _spread(rng, 0.8) * np.abs(mouth[:, 0] - CENTRE_PX) / 30


def _asymmetry(face: Floats, rng: np.random.Generator) -> Floats:
    """What differs between the two halves: a smooth field of about half a pixel."""
    weights = rng.normal(0, 0.45, (6, 2))
    centres = rng.uniform(40, 184, (6, 2))
    distance = ((face[:, None] - centres) ** 2).sum(axis=-1)
    field: Floats = (np.exp(-distance / (2 * 35.0**2)) @ weights).astype(np.float32)
    return field
