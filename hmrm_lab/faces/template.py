"""The mean face and the canonical crop; the mean face where no face was found.

The mean face is the symmetric template of the procedural faces, stretched downwards to the
proportions of a head that is not yet cropped: the mouth lies 1.1 distances between the eyes below
them. No photograph went into it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hmrm_lab.datasets.synthetic.geometry import template as drawn_face
from hmrm_lab.faces.face import Face, FaceProvider, box_around, check_frame, five_points
from hmrm_lab.faces.similarity import Similarity, fit_similarity
from hmrm_lab.records import Floats
from hmrm_lab.registry import providers

CROP_PX = 224
EYES_PX = ((70.0, 80.0), (154.0, 80.0))
"""Where the centres of the eyes lie in a crop of 224 x 224, so that chin and brows are in it."""
STRETCH = 1.2


def mean_face(size_px: int = CROP_PX) -> Floats:
    """The 68 landmarks of the mean face in the canonical crop.

    Shapes
    ------
    returns : (68, 2) float32, order (x, y), pixels
    """
    face = drawn_face() * np.array([1, STRETCH], dtype=np.float32)
    eyes = np.array(EYES_PX, dtype=np.float32)
    placed = fit_similarity(five_points(face)[:2], eyes).points(face)
    return scale_pixels(CROP_PX, size_px).points(placed)


def scale_pixels(from_px: int, to_px: int) -> Similarity:
    """From a square image of one size to another, a pixel's centre being a whole number."""
    ratio = to_px / from_px
    return Similarity(np.eye(2) * ratio, np.full(2, 0.5 * ratio - 0.5))


def dense_landmarks(face: Face) -> Floats:
    """68 landmarks of any face: its own, or the mean face laid over its five points."""
    if len(face.points) == 68:
        return face.points
    mean = mean_face()
    return fit_similarity(five_points(mean), face.points).points(mean)


def face_in_box(box: Floats) -> Face:
    """The mean face, upright, as large as the box has room for, and in its middle."""
    mean = mean_face()
    left, top, right, bottom = box_around(mean)
    scale = min((box[2] - box[0]) / (right - left), (box[3] - box[1]) / (bottom - top))
    middle = np.array([(left + right) / 2, (top + bottom) / 2])
    there = np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2])
    points = Similarity(np.eye(2) * scale, there - scale * middle).points(mean)
    return Face(box_around(points), points, 0.0, "template", fallback="template")


def face_in_frame(height: int, width: int) -> Face:
    """The mean face as the canonical crop has it, in the largest square in the frame's middle."""
    side = min(height, width)
    corner = np.array([(width - side) / 2, (height - side) / 2], dtype=np.float32)
    points = mean_face(side) + corner
    return Face(box_around(points), points, 0.0, "template", fallback="template")


@dataclass(frozen=True)
class TemplateFaces:
    """A provider that looks at nothing but the size of the frame."""

    def __call__(self, frame: NDArray[np.uint8], /) -> Face:
        check_frame(frame)
        return face_in_frame(*frame.shape[:2])


@providers.register("template", source="procedural")
def template() -> FaceProvider:
    """The mean face in the middle of every frame, for clips that are cropped to the face."""
    return TemplateFaces()
