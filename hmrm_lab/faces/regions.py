"""Face regions from the 68 landmarks of iBUG 300-W."""

import cv2
import numpy as np
from numpy.typing import NDArray

from hmrm_lab.records import Floats

BROWS, EYES, MOUTH = slice(17, 27), slice(36, 48), slice(48, 68)
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
    return cv2.dilate(mask, disc).astype(bool)
