"""dlib: a frontal face detector and 68 landmarks.

The file of the landmark predictor was trained on the iBUG 300-W data, whose licence excludes
commercial use; it comes with the package `face_recognition_models` and not with this project.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from hmrm_lab.errors import ConfigError
from hmrm_lab.faces.extras import file_of_package, not_installed
from hmrm_lab.faces.face import Face, FaceProvider, check_frame
from hmrm_lab.registry import providers

PREDICTOR = ("face_recognition_models", "models/shape_predictor_68_face_landmarks.dat")


@dataclass(frozen=True)
class DlibFaces:
    """The provider behind `dlib`."""

    detector: Any
    predictor: Any
    margin: float
    upsampling: int
    threshold: float

    def __call__(self, frame: NDArray[np.uint8], /) -> Face | None:
        check_frame(frame)
        pad = round(self.margin * min(frame.shape[:2]))
        wide = cv2.copyMakeBorder(frame, pad, pad, pad, pad, cv2.BORDER_REPLICATE)
        for times in range(self.upsampling + 1):
            boxes, scores, _ = self.detector.run(wide, times, self.threshold)
            if scores:
                best = int(np.argmax(scores))
                return self._face(wide, boxes[best], float(scores[best]), pad)
        return None

    def _face(self, wide: NDArray[np.uint8], box: Any, score: float, pad: int) -> Face:
        parts = self.predictor(wide, box).parts()
        points = np.array([(part.x, part.y) for part in parts], dtype=np.float32)
        edges = (box.left(), box.top(), box.right(), box.bottom())
        return Face(np.array(edges, dtype=np.float32) - pad, points - pad, score, "dlib")


@providers.register("dlib", source="King 2009; Kazemi and Sullivan 2014; Sagonas et al. 2013")
def dlib(*, margin: float = 0.25, upsampling: int = 1, threshold: float = 0.0) -> FaceProvider:
    """dlib's detector and its 68-point predictor.

    Parameters
    ----------
    margin
        Of the frame's smaller side, added on all sides by repeating the border, since the
        detector wants to see what is round a face, and cropped recordings show little of it.
    upsampling
        How often the frame may be doubled until a face is found. The detector's own smallest
        face is 80 pixels wide.
    threshold
        The least score of a face; smaller finds more, false ones too.

    Raises
    ------
    InputError
        If the packages of the extra `faces` are not installed.
    """
    if margin < 0 or upsampling < 0:
        raise ConfigError("margin and upsampling cannot be negative", mend="give 0 or more")
    return DlibFaces(*_models(), margin, upsampling, threshold)


@lru_cache(maxsize=1)
def _models() -> tuple[Any, Any]:
    """The detector and the predictor, which takes a second to read."""
    try:
        import dlib as library
    except ImportError:
        raise not_installed("dlib-bin") from None
    predictor = library.shape_predictor(str(file_of_package(*PREDICTOR)))
    return library.get_frontal_face_detector(), predictor
