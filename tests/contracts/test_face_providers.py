"""What every face provider must do; a new one is tested by being registered."""

import importlib.util

import numpy as np
import pytest

from hmrm_lab.datasets.synthetic import synthetic
from hmrm_lab.errors import InputError
from hmrm_lab.faces.face import FaceProvider
from hmrm_lab.faces.landmarks import dense_landmarks
from hmrm_lab.registry import providers

NEEDS = {"dlib": ("dlib", "face_recognition_models")}
OPTIONS = {"cached": {"inner": "template"}}
each = pytest.mark.parametrize("name", list(providers))


def provider(name: str) -> FaceProvider:
    for package in NEEDS.get(name, ()):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed (extra: faces)")
    return providers[name].build(**OPTIONS.get(name, {}))


@pytest.fixture(scope="module")
def frame() -> np.ndarray:
    clip = synthetic(subjects=2, clips=2, seed=21)[0]
    return clip.frames[clip.onset]


@each
def test_a_face_is_a_complete_record_and_the_same_each_time(name: str, frame: np.ndarray) -> None:
    before = frame.copy()
    face = provider(name)(frame)
    assert face.points.shape in {(68, 2), (5, 2)}
    assert face.points.dtype == face.box.dtype == np.float32
    assert np.isfinite(face.points).all()
    assert (face.box[2:] > face.box[:2]).all()
    assert dense_landmarks(face).shape == (68, 2)
    assert face.provider in providers
    left_eye, right_eye, nose, *corners = face.five()
    assert left_eye[0] < nose[0] < right_eye[0]
    assert corners[0][0] < corners[1][0]
    assert max(left_eye[1], right_eye[1]) < nose[1] < min(corners[0][1], corners[1][1])
    assert np.array_equal(frame, before)
    again = provider(name)(frame)
    assert np.array_equal(face.points, again.points) and face.score == again.score


@each
def test_no_face_is_none_and_no_frame_is_refused(name: str) -> None:
    find = provider(name)
    for size in () if name in ("template", "cached") else ((16, 16), (60, 200), (224, 224)):
        noise = np.random.default_rng(0).integers(0, 255, (*size, 3)).astype(np.uint8)
        assert find(noise) is None
        assert find(np.full((*size, 3), 90, np.uint8)) is None
    for bad, problem in (
        (np.zeros((64, 64), np.uint8), "shape"),
        (np.zeros((64, 64, 4), np.uint8), "shape"),
        (np.zeros((64, 64, 3), np.float32), "type"),
        (np.zeros((64, 8, 3), np.uint8), "pixels"),
    ):
        with pytest.raises(InputError, match=problem):
            find(bad)
