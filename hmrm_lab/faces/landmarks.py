"""68 landmarks (iBUG 300-W): the mean face, affine maps that align faces, face regions.

The mean face is the symmetric template of the procedural faces, stretched downwards to the
proportions of a head that is not yet cropped. It was made without photographs.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from hmrm_lab.datasets.synthetic.motion import STRETCH
from hmrm_lab.datasets.synthetic.motion import template as drawn_face
from hmrm_lab.errors import InputError
from hmrm_lab.faces.face import (
    EYE_OF_IMAGE_LEFT,
    EYE_OF_IMAGE_RIGHT,
    Face,
    FaceProvider,
    box_around,
    check_frame,
    five_points,
)
from hmrm_lab.records import Floats
from hmrm_lab.registry import providers

Mask = NDArray[np.bool_]
MOST_STRETCH = 1.6  # of the distance from eyes to mouth, either way, to fit another face
CROP_PX = 224
SIDE, ABOVE, BELOW = 0.84, 0.42, 1.55
"""Reach of the crop from the middle between the eyes, in distances between the eyes.

It needs no more of a picture than a face cut out tightly shows: from above the brows to the chin.
"""
SHAPES = (0.8, 1.0)  # width by height of pictures that are cropped to a face
BROWS, NOSE, EYES, MOUTH = slice(17, 27), slice(27, 36), slice(36, 48), slice(48, 68)
PARTS = {
    "brow_left": slice(17, 22),
    "brow_right": slice(22, 27),
    "eye_left": EYE_OF_IMAGE_LEFT,
    "eye_right": EYE_OF_IMAGE_RIGHT,
    "nose": NOSE,
    "mouth": MOUTH,
}
"""The landmarks of each part of the face; left and right are those of the image."""
MARGIN = 0.10  # of the distance between the outer eye corners


@dataclass(frozen=True, slots=True, eq=False)
class Affine:
    """The map y = linear @ x + shift: (2, 2) and (2,) float64, pixels."""

    linear: NDArray[np.float64]
    shift: NDArray[np.float64]

    @property
    def scale(self) -> float:
        """Factor on lengths, averaged over directions."""
        return float(np.sqrt(abs(np.linalg.det(self.linear))))

    def points(self, points: NDArray[np.floating]) -> Floats:
        """(n, 2) to (n, 2)."""
        return (points @ self.linear.T + self.shift).astype(np.float32)

    def inverse(self) -> "Affine":
        back = np.linalg.inv(self.linear)
        return Affine(back.astype(np.float64), -back @ self.shift)

    def matrix(self) -> NDArray[np.float64]:
        """(2, 3), as OpenCV takes it."""
        return np.column_stack([self.linear, self.shift])


def fit_similarity(source: Floats, target: Floats) -> Affine:
    """The least-squares similarity without reflection (Umeyama 1991, equations 40 to 42).

    Source and target are (n, 2), n of 2 or more. Raises an `InputError` if the source points are
    all in one place, or a point is not finite.
    """
    if not (np.isfinite(source).all() and np.isfinite(target).all()):
        raise InputError("landmarks that are not finite", hint="detect this face again")
    a, b = source.astype(np.float64), target.astype(np.float64)
    a_mean, b_mean = a.mean(axis=0), b.mean(axis=0)
    variance = ((a - a_mean) ** 2).sum() / len(a)
    if variance < 1e-12:
        raise InputError("landmarks that are all in one place", hint="detect this face again")
    covariance = (b - b_mean).T @ (a - a_mean) / len(a)
    left, singular, right = np.linalg.svd(covariance)
    proper = np.array([1.0, np.sign(np.linalg.det(left) * np.linalg.det(right))])  # no reflection
    linear = (left * proper) @ right * (singular @ proper) / variance
    return Affine(linear.astype(np.float64), b_mean - linear @ a_mean)


def fit_upright(face: Floats, target: Floats) -> Affine:
    """The map that turns a face upright and scales it to another one's eyes and mouth.

    The eyes become level and lie on the target's; the scale downwards is that of the distance from
    the eyes to the mouth, within `MOST_STRETCH` of a similarity's. Both are (5, 2).
    """
    level = fit_similarity(face[:2], target[:2])
    eyes_y = float(target[:2, 1].mean())
    wanted, found = (float(p[3:, 1].mean()) - eyes_y for p in (target, level.points(face)))
    stretch = float(np.clip(wanted / max(found, 1e-6), 1 / MOST_STRETCH, MOST_STRETCH))
    down = Affine(np.diag([1.0, stretch]), np.array([0.0, eyes_y * (1 - stretch)]))
    return Affine(down.linear @ level.linear, down.points(level.shift[None])[0].astype(np.float64))


def mean_face(size_px: int = CROP_PX) -> Floats:
    """The mean face in the canonical crop: (68, 2) float32, (x, y) pixels."""
    return _filling(size_px, size_px)


def _filling(height: float, width: float) -> Floats:
    """The mean face whose canonical crop is a picture of this size."""
    face = drawn_face() * np.array([1, STRETCH], dtype=np.float32)
    left, right = five_points(face)[:2]
    upright: Floats = (face - (left + right) / 2) / (right[0] - left[0])
    scale = np.array([width / (2 * SIDE), height / (ABOVE + BELOW)])
    return Affine(np.diag(scale), np.array([SIDE, ABOVE]) * scale - 0.5).points(upright)


def dense_landmarks(face: Face) -> Floats:
    """68 landmarks of any face: its own, or the mean face fitted to its five points."""
    if len(face.points) == 68:
        return face.points
    mean = mean_face()
    return fit_upright(face.points, five_points(mean)).inverse().points(mean)


def face_in_frame(height: int, width: int) -> Face:
    """The mean face whose canonical crop is as large as the frame and lies in its middle.

    The crop is of the frame's shape if that is a face's, a square or a little higher.
    """
    shape = float(np.clip(width / height, *SHAPES))
    high = min(height, width / shape)
    wide = shape * high
    corner = np.array([(width - wide) / 2, (height - high) / 2], dtype=np.float32)
    points = _filling(high, wide) + corner
    return Face(box_around(points), points, 0.0, "template", fallback="template")


def _template_face(frame: NDArray[np.uint8], /) -> Face:
    check_frame(frame)
    return face_in_frame(*frame.shape[:2])


@providers.register("template", source="procedural")
def template() -> FaceProvider:
    """The mean face in the middle of every frame, for clips that are cropped to the face."""
    return _template_face


def region_masks(landmarks: Floats, height: int, width: int) -> Mask:
    """Widened convex hulls of eyes with brows, and mouth: (68, 2) to (2, height, width) bool."""
    margin_px = round(MARGIN * eye_corners_px(landmarks))
    eyes = np.concatenate([landmarks[BROWS], landmarks[EYES]])
    return np.stack([_hull(p, height, width, margin_px) for p in (eyes, landmarks[MOUTH])])


def part_masks(
    landmarks: Floats, height: int, width: int, margin: float = MARGIN
) -> dict[str, Mask]:
    """The widened convex hull of each of `PARTS`: (68, 2) pixels to (height, width) bool.

    `margin` is in shares of the distance between the outer eye corners.
    """
    margin_px = round(margin * eye_corners_px(landmarks))
    return {name: _hull(landmarks[p], height, width, margin_px) for name, p in PARTS.items()}


def face_mask(landmarks: Floats, height: int, width: int) -> Mask:
    return _hull(landmarks, height, width, 0)


def eye_corners_px(landmarks: Floats) -> float:
    """The distance between the outer eye corners."""
    return float(np.linalg.norm(landmarks[45] - landmarks[36]))


def core_regions(landmarks: Floats) -> Floats:
    """The four core regions of paper 3.3: periocular and perioral, left and right of the nose.

    The boxes of an upright face meet across in the middle of the nose's ridge and down halfway
    between eyes and mouth; outwards they reach beyond brows, eyes and mouth by the margin of the
    masks. (68, 2) to (4, 4): left, top, right, bottom of top-left, top-right, bottom-left, right.
    """
    margin = MARGIN * eye_corners_px(landmarks)
    features = np.concatenate([landmarks[part] for part in (BROWS, EYES, MOUTH)])
    left, top, right, bottom = box_around(features) + margin * np.array([-1, -1, 1, 1])
    x = float(landmarks[27:31, 0].mean())
    y = float(landmarks[EYES, 1].mean() + landmarks[MOUTH, 1].mean()) / 2
    boxes = [(left, top, x, y), (x, top, right, y), (left, y, x, bottom), (x, y, right, bottom)]
    return np.array(boxes, dtype=np.float32)


def reduce_masks(masks: Mask, size: int) -> Mask:
    """Masks at map size: a cell belongs to a region if half of it does. (M, H, W) to (M, s, s)."""
    shares = masks.astype(np.float32)
    reduced = [cv2.resize(s, (size, size), interpolation=cv2.INTER_AREA) for s in shares]
    return np.stack(reduced) >= 0.5


def _hull(points: Floats, height: int, width: int, margin: int) -> Mask:
    mask = np.zeros((height, width), dtype=np.uint8)
    hull = cv2.convexHull(np.round(points).astype(np.int32))
    cv2.fillConvexPoly(mask, hull, 1)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * margin + 1, 2 * margin + 1))
    left, top, wide, high = cv2.boundingRect(hull)
    below, right = max(top + high + margin, 0), max(left + wide + margin, 0)
    near = mask[max(top - margin, 0) : below, max(left - margin, 0) : right]
    if near.size:  # dilating all of a large frame would be slow
        near[:] = cv2.dilate(near, disc)
    return mask.astype(bool)
