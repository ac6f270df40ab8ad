"""The mean face and the canonical crop; the mean face where no face was found.

The mean face is the symmetric template of the procedural faces, stretched downwards to the
proportions of a head that is not yet cropped: the mouth lies 1.1 distances between the eyes below
them. No photograph went into it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hmrm_lab.datasets.synthetic.motion import STRETCH
from hmrm_lab.datasets.synthetic.motion import template as drawn_face
from hmrm_lab.faces.affine import Affine, fit_upright
from hmrm_lab.faces.face import Face, FaceProvider, box_around, check_frame, five_points
from hmrm_lab.records import Floats
from hmrm_lab.registry import providers

CROP_PX = 224
SIDE, ABOVE, BELOW = 0.84, 0.42, 1.55
"""How far the crop reaches from the middle between the eyes, in distances between the eyes.

Sidewards to the ends of the brows, upwards to just above them, downwards to the chin (which lies at
1.63): the crop needs no more of a picture than a face cut out tightly shows (decision 0010).
"""

SHAPES = (0.8, 1.0)  # width by height of pictures that are cut out about a face


def upright_face() -> Floats:
    """The 68 landmarks of the mean face in its own proportions, 1 between the eyes' centres.

    Shapes
    ------
    returns : (68, 2) float32, order (x, y), the origin between the eyes
    """
    face = drawn_face() * np.array([1, STRETCH], dtype=np.float32)
    left, right = five_points(face)[:2]
    upright: Floats = (face - (left + right) / 2) / (right[0] - left[0])
    return upright


def mean_face(size_px: int = CROP_PX) -> Floats:
    """The 68 landmarks of the mean face in the canonical crop.

    Shapes
    ------
    returns : (68, 2) float32, order (x, y), pixels
    """
    return _filling(size_px, size_px)


def _filling(height: float, width: float) -> Floats:
    """The mean face whose canonical crop is a picture of this size."""
    scale = np.array([width / (2 * SIDE), height / (ABOVE + BELOW)])
    return Affine(np.diag(scale), np.array([SIDE, ABOVE]) * scale - 0.5).points(upright_face())


def dense_landmarks(face: Face) -> Floats:
    """68 landmarks of any face: its own, or the mean face laid over its five points."""
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
