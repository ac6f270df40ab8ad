"""Detectors on a photograph and on procedural faces, against each other and against the truth.

The photograph is that of Eileen Collins (NASA, public domain), which scikit-image ships.
"""

import importlib.util
from functools import lru_cache

import cv2
import numpy as np
import pytest

from hmrm_lab.datasets.synthetic import synthetic
from hmrm_lab.faces.face import Face, FaceProvider, five_points
from hmrm_lab.registry import providers

for package in ("dlib", "face_recognition_models"):
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed (extra: faces)", allow_module_level=True)

data = pytest.importorskip("skimage.data", reason="scikit-image is not installed (extra: dev)")


@lru_cache(maxsize=2)
def detector(name: str) -> FaceProvider:
    return providers[name].build()


def found(name: str, frame: np.ndarray) -> Face:
    face = detector(name)(frame)
    assert face is not None, f"{name} finds no face"
    return face


def apart(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Distances in shares of the distance between the eyes, for each of the five points."""
    return np.linalg.norm(one - other, axis=1) / np.linalg.norm(other[1] - other[0])


def turned(photograph: np.ndarray, degrees: float, scale: float) -> np.ndarray:
    side = round(512 * scale)
    matrix = cv2.getRotationMatrix2D((255.5, 255.5), degrees, scale)
    matrix[:, 2] += (side - 512) / 2
    flags = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    if scale < 1:
        photograph = cv2.GaussianBlur(photograph, (0, 0), 0.5 / scale)
    return cv2.warpAffine(photograph, matrix, (side, side), flags=flags, borderValue=(90, 90, 90))


def lit(photograph: np.ndarray, gain: float, level: float) -> np.ndarray:
    return np.clip(photograph * gain + level, 0, 255).astype(np.uint8)


VARIANTS = {
    "as it is": lambda p: p,
    "turned left": lambda p: turned(p, 15, 1),
    "turned right": lambda p: turned(p, -15, 1),
    "half as large": lambda p: turned(p, 0, 0.5),
    "twice as large": lambda p: turned(p, 0, 2),
    "darker": lambda p: lit(p, 0.6, 0),
    "brighter": lambda p: lit(p, 1.0, 40),
    "flatter": lambda p: lit(p, 0.5, 60),
}


def test_two_detectors_agree_on_a_photograph() -> None:
    for name, change in VARIANTS.items():
        photograph = change(data.astronaut())
        dlib, mtcnn = found("dlib", photograph), found("mtcnn", photograph)
        assert apart(mtcnn.five(), dlib.five()).max() < 0.15, name


@pytest.fixture(scope="module")
def drawn() -> list[tuple[np.ndarray, np.ndarray]]:
    """Onset and apex of one clip of each of 24 people, with the exact landmarks."""
    clips = {clip.key.subject: clip for clip in synthetic(seed=21)}
    return [
        (clip.frames[frame], clip.frames.landmarks(frame))
        for clip in clips.values()
        for frame in (clip.onset, clip.apex)
    ]


@pytest.mark.parametrize("name", ["dlib", "mtcnn"])
def test_procedural_faces_are_found(name: str, drawn: list[tuple[np.ndarray, np.ndarray]]) -> None:
    faces = [(detector(name)(frame), five_points(truth)) for frame, truth in drawn]
    known = [(face, truth) for face, truth in faces if face is not None]
    assert len(known) >= 0.95 * len(faces)
    assert np.mean([apart(face.five(), truth).mean() for face, truth in known]) < 0.10
    if name == "dlib":
        errors = []
        for (_, landmarks), (face, five) in zip(drawn, faces, strict=True):
            distances = np.linalg.norm(face.points - landmarks, axis=1)
            errors.append(distances.mean() / np.linalg.norm(five[1] - five[0]))
        assert np.mean(errors) < 0.10
