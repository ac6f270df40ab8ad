"""Similarities of the plane: rotation, one scale and shift, and the best one between points."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hmrm_lab.errors import InputError
from hmrm_lab.records import Floats


@dataclass(frozen=True, slots=True, eq=False)
class Similarity:
    """The map y = linear @ x + shift.

    Shapes
    ------
    linear : (2, 2) float64, a rotation times a scale
    shift : (2,) float64, pixels
    """

    linear: NDArray[np.float64]
    shift: NDArray[np.float64]

    @property
    def scale(self) -> float:
        return float(np.sqrt(abs(np.linalg.det(self.linear))))

    @property
    def angle(self) -> float:
        """In radians, positive from the x axis to the y axis, which is clockwise on a screen."""
        return float(np.arctan2(self.linear[1, 0], self.linear[0, 0]))

    def points(self, points: Floats) -> Floats:
        """Where points go: (n, 2) to (n, 2)."""
        return (points @ self.linear.T + self.shift).astype(np.float32)

    def inverse(self) -> "Similarity":
        back = np.linalg.inv(self.linear)
        return Similarity(back.astype(np.float64), -back @ self.shift)

    def matrix(self) -> NDArray[np.float64]:
        """(2, 3), as OpenCV takes it."""
        return np.column_stack([self.linear, self.shift])


def fit_similarity(source: Floats, target: Floats) -> Similarity:
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
    return Similarity(linear.astype(np.float64), b_mean - linear @ a_mean)
