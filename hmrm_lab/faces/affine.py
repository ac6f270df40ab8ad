"""Affine maps of the plane, and the two that faces are laid over each other with."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hmrm_lab.errors import InputError
from hmrm_lab.records import Floats

MOST_STRETCH = 1.6
"""A face whose mouth seems to lie farther off than that is not stretched any more to fit."""


@dataclass(frozen=True, slots=True, eq=False)
class Affine:
    """The map y = linear @ x + shift.

    Shapes
    ------
    linear : (2, 2) float64
    shift : (2,) float64, pixels
    """

    linear: NDArray[np.float64]
    shift: NDArray[np.float64]

    @property
    def scale(self) -> float:
        """How much longer things become, on average over directions."""
        return float(np.sqrt(abs(np.linalg.det(self.linear))))

    @property
    def angle(self) -> float:
        """In radians, positive from the x axis to the y axis, which is clockwise on a screen."""
        return float(np.arctan2(self.linear[1, 0], self.linear[0, 0]))

    def points(self, points: NDArray[np.floating]) -> Floats:
        """Where points go: (n, 2) to (n, 2)."""
        return (points @ self.linear.T + self.shift).astype(np.float32)

    def inverse(self) -> "Affine":
        back = np.linalg.inv(self.linear)
        return Affine(back.astype(np.float64), -back @ self.shift)

    def matrix(self) -> NDArray[np.float64]:
        """(2, 3), as OpenCV takes it."""
        return np.column_stack([self.linear, self.shift])


def fit_similarity(source: Floats, target: Floats) -> Affine:
    """The similarity without reflection that brings points closest to others, in least squares.

    Shapes
    ------
    source, target : (n, 2), n of at least 2 points that are not all the same

    Raises
    ------
    InputError
        If the source points are all in one place, or a point is not finite.

    Source: Umeyama, 1991, equations 40 to 42.
    """
    if not (np.isfinite(source).all() and np.isfinite(target).all()):
        raise InputError("landmarks that are not finite", mend="detect this face again")
    a, b = source.astype(np.float64), target.astype(np.float64)
    a_mean, b_mean = a.mean(axis=0), b.mean(axis=0)
    variance = ((a - a_mean) ** 2).sum() / len(a)
    if variance < 1e-12:
        raise InputError("landmarks that are all in one place", mend="detect this face again")
    covariance = (b - b_mean).T @ (a - a_mean) / len(a)
    left, singular, right = np.linalg.svd(covariance)
    proper = np.array([1.0, np.sign(np.linalg.det(left) * np.linalg.det(right))])  # no reflection
    linear = (left * proper) @ right * (singular @ proper) / variance
    return Affine(linear.astype(np.float64), b_mean - linear @ a_mean)


def fit_upright(face: Floats, target: Floats) -> Affine:
    """The map that turns a face upright and scales it to another one's eyes and mouth.

    The eyes become level and lie on the target's; the scale downwards is that of the distance from
    the eyes to the mouth, which faces and stretched pictures differ in. It differs from that of a
    similarity by a factor of `MOST_STRETCH` at most, either way.

    Shapes
    ------
    face, target : (5, 2), eye centres, nose tip, mouth corners; the target's eyes level

    Raises
    ------
    InputError
        If the eyes are in one place, or a point is not finite.
    """
    level = fit_similarity(face[:2], target[:2])
    eyes_y = float(target[:2, 1].mean())
    wanted, found = (float(p[3:, 1].mean()) - eyes_y for p in (target, level.points(face)))
    stretch = float(np.clip(wanted / max(found, 1e-6), 1 / MOST_STRETCH, MOST_STRETCH))
    down = Affine(np.diag([1.0, stretch]), np.array([0.0, eyes_y * (1 - stretch)]))
    return Affine(down.linear @ level.linear, down.points(level.shift[None])[0].astype(np.float64))
