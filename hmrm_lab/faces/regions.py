"""Face regions from the 68 landmarks of iBUG 300-W."""

import cv2
import numpy as np
from numpy.typing import NDArray

from hmrm_lab.faces.face import EYE_OF_IMAGE_LEFT, EYE_OF_IMAGE_RIGHT, box_around
from hmrm_lab.records import Floats

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


def region_masks(landmarks: Floats, height: int, width: int) -> NDArray[np.bool_]:
    """Eyes with brows, and mouth: the convex hulls of their landmarks, widened by a margin.

    Shapes
    ------
    landmarks : (68, 2), (x, y) pixels
    returns : (2, height, width), bool, order (eyes, mouth)
    """
    margin = round(MARGIN * float(np.linalg.norm(landmarks[45] - landmarks[36])))
    eyes = np.concatenate([landmarks[BROWS], landmarks[EYES]])
    return np.stack([_hull(p, height, width, margin) for p in (eyes, landmarks[MOUTH])])


def part_masks(
    landmarks: Floats, height: int, width: int, margin: float = MARGIN
) -> dict[str, NDArray[np.bool_]]:
    """Each of `PARTS` alone: the convex hull of its landmarks, widened by the same margin.

    Parameters
    ----------
    margin
        In shares of the distance between the outer eye corners.

    Shapes
    ------
    landmarks : (68, 2), (x, y) pixels
    returns : (height, width) bool for each name
    """
    margin_px = round(margin * float(np.linalg.norm(landmarks[45] - landmarks[36])))
    return {name: _hull(landmarks[p], height, width, margin_px) for name, p in PARTS.items()}


def face_mask(landmarks: Floats, height: int, width: int) -> NDArray[np.bool_]:
    """The convex hull of all landmarks: (68, 2) to (height, width) bool."""
    return _hull(landmarks, height, width, 0)


def core_regions(landmarks: Floats) -> Floats:
    """The four core regions of paper 3.3: periocular and perioral, left and right of the nose.

    The boxes meet in the point that lies, across, in the middle of the nose's ridge and, down,
    halfway between the eyes and the mouth; outwards they reach as far as brows, eyes and mouth
    do, and by the margin of the masks beyond. The face is upright (see `align`).

    Shapes
    ------
    landmarks : (68, 2), (x, y) pixels
    returns : (4, 4), left, top, right, bottom in pixels; order top-left, top-right, bottom-left,
        bottom-right
    """
    margin = MARGIN * float(np.linalg.norm(landmarks[45] - landmarks[36]))
    features = np.concatenate([landmarks[part] for part in (BROWS, EYES, MOUTH)])
    left, top, right, bottom = box_around(features) + margin * np.array([-1, -1, 1, 1])
    x = float(landmarks[27:31, 0].mean())
    y = float(landmarks[EYES, 1].mean() + landmarks[MOUTH, 1].mean()) / 2
    return np.array(
        [(left, top, x, y), (x, top, right, y), (left, y, x, bottom), (x, y, right, bottom)],
        dtype=np.float32,
    )


def reduce_masks(masks: NDArray[np.bool_], size: int) -> NDArray[np.bool_]:
    """Masks at map size: a cell belongs to a region if half of it does. (M, H, W) to (M, s, s)."""
    shares = [
        cv2.resize(mask.astype(np.float32), (size, size), interpolation=cv2.INTER_AREA)
        for mask in masks
    ]
    return np.stack(shares) >= 0.5


def _hull(points: Floats, height: int, width: int, margin: int) -> NDArray[np.bool_]:
    mask = np.zeros((height, width), dtype=np.uint8)
    hull = cv2.convexHull(np.round(points).astype(np.int32))
    cv2.fillConvexPoly(mask, hull, 1)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * margin + 1, 2 * margin + 1))
    left, top, wide, high = cv2.boundingRect(hull)
    below, right = max(top + high + margin, 0), max(left + wide + margin, 0)
    near = mask[max(top - margin, 0) : below, max(left - margin, 0) : right]
    if near.size:  # the rest of a large frame cannot be reached
        near[:] = cv2.dilate(near, disc)
    return mask.astype(bool)
