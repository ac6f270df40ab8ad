"""Exact motion of a face: where each point of the neutral face is in each frame.

The forward map of frame t is `phi_t(x) = P_t(x + d_t(x))`: the skin moves by a sum of smooth
bumps, d_t, and the head then by a similarity, P_t. Flow and landmarks follow without estimation:

    flow_ij(y) = phi_j(phi_i^-1(y)) - y        landmarks_t = phi_t(neutral landmarks)

In a blink the upper lids slide over the eyeballs before that (`Lids`).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hmrm_lab.records import Floats

SIZE_PX = 224
CENTRE_PX = 112.0
STRETCH = 1.2
"""A drawn face is a square crop; a head is higher than wide."""

JAW, BROW, NOSE_BASE = slice(0, 17), slice(17, 22), slice(31, 36)
EYE, MOUTH, INNER_LIP = slice(36, 42), slice(48, 68), slice(60, 68)

_LANDMARKS = np.loadtxt(Path(__file__).with_name("landmarks.csv"), delimiter=",", skiprows=1)
MIRROR = _LANDMARKS[:, 0].astype(int)
"""The landmark on the other side of the face, for each of the 68."""


def floats(values: ArrayLike) -> Floats:
    return np.asarray(values, dtype=np.float32)


def mirrored(landmarks_px: Floats) -> Floats:
    """The landmarks (68, 2) of the face seen in a mirror."""
    other: Floats = landmarks_px[MIRROR] * floats([-1, 1]) + floats([2 * CENTRE_PX, 0])
    return other


def template() -> Floats:
    """The neutral, symmetric face: (68, 2) float32, order (x, y), pixels in a 224 x 224 crop."""
    return floats(_LANDMARKS[:, 1:])


def subject_landmarks(rng: np.random.Generator) -> Floats:
    """The neutral landmarks of one subject, as of `template`."""
    face = template()
    left = (face[:, 0] <= CENTRE_PX)[:, None]
    face = np.where(left, _shaped(face, rng), face)
    face = np.where(left, face, mirrored(face))
    weights = rng.normal(0, 0.45, (6, 2))  # what differs between the two halves: half a pixel
    centres = rng.uniform(40, 184, (6, 2))
    distance = ((face[:, None] - centres) ** 2).sum(axis=-1)
    return floats(face + floats(np.exp(-distance / (2 * 35.0**2)) @ weights))


def _spread(rng: np.random.Generator, width: float) -> float:
    """A draw about zero that never leaves +-2 widths, so that no face falls apart."""
    return float(np.clip(rng.normal(0, width), -2 * width, 2 * width))


def _shaped(face: Floats, rng: np.random.Generator) -> Floats:
    """The face with other features on its left half."""
    face = face.copy()
    width, square, length = _spread(rng, 0.025), _spread(rng, 2.5), _spread(rng, 2.5)
    jaw = face[JAW]
    jaw[:, 0] = CENTRE_PX + (jaw[:, 0] - CENTRE_PX) * (1 + width)
    jaw[3:7, 0] -= square * floats([0.5, 1, 1, 0.6])
    jaw[:, 1] += length * np.linspace(0, 2, 17, dtype=np.float32).clip(0, 1)

    eye, brow = face[EYE], face[BROW]
    centre = eye.mean(axis=0)
    size, opening = 1 + _spread(rng, 0.05), 1 + _spread(rng, 0.09)
    eye[:] = centre + (eye - centre) * floats([size, size * opening])
    eye[:, 1] += _spread(rng, 1.0) * (eye[:, 0] - centre[0]) / 17  # the tilt of the lid axis
    apart = _spread(rng, 1.6)
    eye[:, 0] -= apart
    brow[:, 0] -= apart
    brow[:, 1] += _spread(rng, 2.0) - _spread(rng, 1.4) * floats([0, 0.7, 1, 0.5, 0])
    brow[:, 1] += _spread(rng, 1.3) * np.linspace(-1, 1, 5, dtype=np.float32)

    nose_width, nose_length = 1 + _spread(rng, 0.08), _spread(rng, 2.0)
    face[NOSE_BASE, 0] = CENTRE_PX + (face[NOSE_BASE, 0] - CENTRE_PX) * nose_width
    face[27:36, 1] += nose_length * np.linspace(0, 1.6, 9, dtype=np.float32).clip(0, 1)
    mouth_width, fullness, drop = 1 + _spread(rng, 0.06), 1 + _spread(rng, 0.13), _spread(rng, 1.8)
    mouth, seam_y = face[MOUTH], face[60, 1]
    mouth[:, 0] = CENTRE_PX + (mouth[:, 0] - CENTRE_PX) * mouth_width
    mouth[:12, 1] = seam_y + (mouth[:12, 1] - seam_y) * fullness
    mouth[:, 1] += drop + _spread(rng, 0.8) * np.abs(mouth[:, 0] - CENTRE_PX) / 30
    return face


TOLERANCE_PX = 1e-4
ITERATIONS = 100
LID_PX = 6.0  # of skin above the edge of an open eye that a blink stretches
LASH_PX = 1.0  # the edge of the lid lies this much below the landmarks
REACH_PX = 12.0  # no point moves farther, so that a bump's box widened by it holds its support


@dataclass(frozen=True, eq=False)
class Lids:
    """Upper lids that come down over the eyeballs: skin from the crease to the lid's edge stretches
    to the lower lid, and hides what lies there.
    """

    edges: Floats  # (2, 3, n), for each eye places across, and the upper and lower lid there
    closing: Floats  # (T,), 0 open to 1 closed

    def forward(self, points_px: Floats, frame: int, *, back: bool = False) -> Floats:
        """Where points (2, ...) of the open eyes are in this frame; `back` is the inverse."""
        x, y = points_px
        for across, upper, lower in self.edges:
            open_, shut = (np.interp(x, across, edge) for edge in (upper + LASH_PX, lower))
            length = LID_PX * np.clip((shut - open_) / LID_PX, 0, 1)
            edge = open_ + self.closing[frame] * (shut - open_).clip(0)
            seen, there = (edge, open_) if back else (open_, edge)
            crease = open_ - length
            stretch = (there - crease) / np.maximum(seen - crease, TOLERANCE_PX)
            lid = (x > across[0]) & (x < across[-1]) & (y > crease) & (y <= seen)
            y = np.where(lid, crease + (y - crease) * stretch, y)
        return floats([x, y])


@dataclass(frozen=True, eq=False)
class Motion:
    """All that moves in one clip.

    A bump pushes the skin about its centre along its vector, by `(1 - r^2)^3` where r is the
    distance from the centre in radii, and not at all beyond r = 1.
    """

    bumps: Floats  # (K, 6), columns (x, y, radius_x, radius_y, push_x, push_y) in pixels
    weights: Floats  # (T, K), how much of each bump is present in each frame
    pose: Floats  # (T, 4), columns (shift_x_px, shift_y_px, angle_rad, log_scale)
    lids: Lids | None = None

    def __len__(self) -> int:
        return len(self.weights)

    def displacement(self, points_px: Floats, frame: int) -> Floats:
        """d_t at any points of the neutral face: (n, 2) to (n, 2)."""
        moved = np.zeros_like(points_px)
        for bump, weight in zip(self.bumps, self.weights[frame], strict=True):
            if weight != 0:
                height = _bump(points_px[:, 0], points_px[:, 1], bump)
                moved += height[:, None] * (weight * bump[4:6])
        return moved

    def forward(self, points_px: Floats, frame: int) -> Floats:
        """phi_t: where points of the neutral face are in this frame, (n, 2) to (n, 2)."""
        matrix, offset = self._similarity(frame)
        if self.lids is not None:
            points_px = self.lids.forward(points_px.T, frame).T
        skin = points_px + self.displacement(points_px, frame)
        return (skin @ matrix.T + offset).astype(np.float32)

    def neutral_grid(self, frame: int) -> Floats:
        """phi_t^-1 at every pixel: the points of the neutral face, (2, 224, 224) float32, (x, y).

        The fixed point x = P_t^-1(y) - d_t(x), to `TOLERANCE_PX`.
        """
        matrix, offset = self._similarity(frame)
        skin = np.tensordot(np.linalg.inv(matrix), pixel_grid() - offset[:, None, None], axes=1)
        skin = skin.astype(np.float32)
        neutral = skin.copy()
        for _ in range(ITERATIONS):
            following = skin - self._displacement_on_grid(neutral, frame)
            change = float(np.abs(following - neutral).max())
            neutral = following
            if change < TOLERANCE_PX:
                lids = self.lids
                return neutral if lids is None else lids.forward(neutral, frame, back=True)
        raise ArithmeticError("the motion folds the face, so that it has no inverse")

    def flow(self, source: int, target: int) -> Floats:
        """Where every pixel of a frame goes in another: (2, 224, 224) float32, (u, v), pixels."""
        neutral = self.neutral_grid(source)
        if self.lids is not None:
            neutral = self.lids.forward(neutral, target)
        matrix, offset = self._similarity(target)
        skin = neutral + self._displacement_on_grid(neutral, target)
        there = np.tensordot(matrix, skin, axes=1) + offset[:, None, None]
        return (there - pixel_grid()).astype(np.float32)

    def _displacement_on_grid(self, points_px: Floats, frame: int) -> Floats:
        """d_t at a grid (2, H, W) that the motion has bent a little: each bump in its box only."""
        moved = np.zeros_like(points_px)
        for bump, weight in zip(self.bumps, self.weights[frame], strict=True):
            low = np.floor(bump[:2] - bump[2:4] - REACH_PX).astype(int).clip(0, SIZE_PX)
            high = np.ceil(bump[:2] + bump[2:4] + REACH_PX).astype(int).clip(0, SIZE_PX)
            box = slice(low[1], high[1]), slice(low[0], high[0])
            if weight != 0 and (high > low).all():
                height = _bump(points_px[0][box], points_px[1][box], bump) * weight
                moved[0][box] += height * bump[4]
                moved[1][box] += height * bump[5]
        return moved

    def _similarity(self, frame: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The head's pose about the centre of the crop: y = matrix @ x + offset."""
        shift_x, shift_y, angle, log_scale = map(float, self.pose[frame])
        cosine, sine = np.exp(log_scale) * np.cos(angle), np.exp(log_scale) * np.sin(angle)
        matrix = np.array([[cosine, -sine], [sine, cosine]])
        centre = np.full(2, CENTRE_PX)
        return matrix, centre - matrix @ centre + (shift_x, shift_y)


def _bump(x_px: Floats, y_px: Floats, bump: Floats) -> Floats:
    distance = ((x_px - bump[0]) / bump[2]) ** 2 + ((y_px - bump[1]) / bump[3]) ** 2
    rest = np.maximum(1 - distance, 0)
    return floats(rest * rest * rest)


def pixel_grid(height: int = SIZE_PX, width: int = SIZE_PX) -> Floats:
    """The coordinates of every pixel: (2, H, W) float32, order (x, y)."""
    return np.mgrid[:height, :width][::-1].astype(np.float32)
