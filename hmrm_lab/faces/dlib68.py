"""dlib: a frontal face detector and 68 landmarks; which providers are installed.

The file of the landmark predictor was trained on the iBUG 300-W data, whose licence excludes
commercial use; it comes with the package `face_recognition_models` and not with this project.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from hmrm_lab.errors import ConfigError, InputError
from hmrm_lab.faces.face import Face, FaceProvider, check_frame, choose_face
from hmrm_lab.registry import providers

SMALLEST_SEARCH_PX = 80  # the detector's smallest face
PREDICTOR = ("face_recognition_models", "models/shape_predictor_68_face_landmarks.dat")


@dataclass(frozen=True)
class DlibFaces:
    """The provider `dlib`."""

    detector: Any
    predictor: Any
    margin: float
    upsampling: int
    threshold: float
    search_px: int

    def __call__(self, frame: NDArray[np.uint8], /) -> Face | None:
        check_frame(frame)
        scale = min(1.0, self.search_px / min(frame.shape[:2]))
        small = frame
        if scale < 1:
            small = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        pad = round(self.margin * min(small.shape[:2]))
        wide = _widened(small, pad)
        boxes: Any = ()
        for times in range(self.upsampling + 1):
            if not boxes and (not times or min(small.shape[:2]) << times <= 1.5 * self.search_px):
                boxes, scores, _ = self.detector.run(wide, times, self.threshold)
        if not boxes:
            return None
        full_pad = round(pad / scale)
        full = wide if scale == 1 else _widened(frame, full_pad)
        found = []
        for box, score in zip(boxes, scores, strict=True):
            edges = np.array((box.left(), box.top(), box.right(), box.bottom()), dtype=np.float32)
            edges = (edges - pad) / np.float32(scale)
            there = type(box)(*np.round(edges + full_pad).astype(int).tolist())
            parts = self.predictor(full, there).parts()
            points = np.array([(part.x, part.y) for part in parts], dtype=np.float32)
            found.append(Face(edges, points - full_pad, float(score), "dlib"))
        return choose_face(found, *frame.shape[:2])


def _widened(frame: NDArray[np.uint8], pad: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.copyMakeBorder(frame, pad, pad, pad, pad, cv2.BORDER_REPLICATE))


@providers.register("dlib", source="King 2009; Kazemi and Sullivan 2014; Sagonas et al. 2013")
def dlib(
    *, margin: float = 0.25, upsampling: int = 1, threshold: float = 0.0, search_px: int = 720
) -> FaceProvider:
    """dlib's detector and its 68-point predictor.

    Parameters
    ----------
    margin
        Border added on all sides by repetition, in shares of the frame's smaller side: the
        detector needs the surroundings of a face, of which cropped recordings show little.
    upsampling
        Number of times that a frame may be doubled until a face is found, up to 1.5 times
        `search_px`. The detector's smallest face is 80 pixels wide.
    threshold
        The least score of a face; a lower one finds more faces, false ones among them.
    search_px
        Larger frames are reduced to this smaller side for detection, the slowest step; landmarks
        are placed in the frame at full size.

    Raises
    ------
    InputError
        If the packages of the extra `faces` are not installed.
    """
    if margin < 0 or upsampling < 0:
        raise ConfigError("margin and upsampling cannot be negative", hint="give 0 or more")
    if search_px < SMALLEST_SEARCH_PX:
        raise ConfigError(
            f"search_px={search_px}", hint=f"give at least {SMALLEST_SEARCH_PX}, a face's width"
        )
    return DlibFaces(*_models(), margin, upsampling, threshold, search_px)


@lru_cache(maxsize=1)
def _models() -> tuple[Any, Any]:
    """The detector and the predictor, whose file takes a second to read."""
    try:
        import dlib as library
    except ImportError:
        raise not_installed("dlib-bin") from None
    predictor = library.shape_predictor(str(file_of_package(*PREDICTOR)))
    return library.get_frontal_face_detector(), predictor


def file_of_package(package: str, file: str) -> Path:
    """A data file of an installed package, found without importing it.

    `face_recognition_models` would import pkg_resources.

    Raises
    ------
    InputError
        If the package is not installed, or has no such file.
    """
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise not_installed(package)
    path = Path(next(iter(spec.submodule_search_locations))) / file
    if not path.is_file():
        raise InputError(
            f"the installed package '{package}' has no such file",
            where=path,
            hint="install the version that constraints.txt names",
        )
    return path


def not_installed(package: str) -> InputError:
    """The error for a missing package of the extra `faces`."""
    return InputError(
        f"the package '{package}' is not installed", hint="pip install 'hmrm-lab[faces]'"
    )


def installed_providers(names: Iterable[str]) -> tuple[dict[str, FaceProvider], dict[str, str]]:
    """Providers whose packages are installed, by name, and why the others cannot be built.

    Raises
    ------
    ConfigError
        If a name is not that of a provider, or a provider cannot be built without options.
    InputError
        If none of them can be built.
    """
    built: dict[str, FaceProvider] = {}
    lacking: dict[str, str] = {}
    for name in names:
        try:
            built[name] = providers[name].build()
        except ConfigError:
            raise
        except InputError as error:
            lacking[name] = str(error)
    if not built:
        raise InputError(
            " and ".join(["no face provider", *lacking.values()]), hint="or add 'template'"
        )
    return built, lacking
