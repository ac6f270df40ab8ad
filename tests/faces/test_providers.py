"""Providers beyond what all have in common: absent packages, stored faces."""

import sys
from pathlib import Path

import numpy as np
import pytest

from hmrm_lab.errors import InputError
from hmrm_lab.faces import detectors
from hmrm_lab.faces.face import CachedFaces, Face, face_file, store_face
from hmrm_lab.faces.landmarks import face_in_frame
from hmrm_lab.registry import providers
from hmrm_lab.runtime.store import cache_folder


def test_what_is_not_installed_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for absent in ("dlib", "face_recognition_models"):
        detectors._dlib_models.cache_clear()
        with monkeypatch.context() as patched, pytest.raises(InputError, match=r"'hmrm-lab\[faces"):
            patched.setitem(sys.modules, absent, None)
            providers["dlib"].build()
    pytest.importorskip("dlib", reason="the extra 'faces' is not installed")
    monkeypatch.setattr(detectors, "PREDICTOR", ("numpy", "assets/none.dat"))
    with pytest.raises(InputError, match="no such file"):
        providers["dlib"].build()


class Counting:
    """Finds the mean face where the frame is bright, and counts how often it looks."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, frame: np.ndarray, /) -> Face | None:
        self.calls += 1
        return face_in_frame(*frame.shape[:2]) if frame.mean() > 100 else None


def frame_of(level: int) -> np.ndarray:
    return np.full((40, 50, 3), level, np.uint8)


def test_every_frame_is_looked_at_once(tmp_path: Path) -> None:
    inner = Counting()
    find = CachedFaces(tmp_path, inner)
    for _ in range(3):
        bright, dark = find(frame_of(200)), find(frame_of(20))
    assert inner.calls == 2
    assert dark is None
    assert bright is not None
    assert np.array_equal(bright.points, face_in_frame(40, 50).points)
    assert bright.provider == "template"
    assert face_file(tmp_path, frame_of(200)) != face_file(tmp_path, frame_of(201))
    assert face_file(tmp_path, frame_of(9)) != face_file(tmp_path, frame_of(9).reshape(50, 40, 3))


def test_landmarks_beside_the_data(tmp_path: Path) -> None:
    exact = np.random.default_rng(0).uniform(0, 40, (68, 2)).astype(np.float32)
    stored = Face(np.float32([0, 0, 40, 40]), exact, 1.0, "annotators", "neighbour", 3)
    store_face(tmp_path, frame_of(7), stored)
    find = providers["cached"].build(folder=str(tmp_path))
    found = find(frame_of(7))
    assert np.array_equal(found.points, exact)
    assert (found.provider, found.fallback, found.from_frame) == ("annotators", "neighbour", 3)
    assert find(frame_of(8)) is None, "nothing is detected without an inner provider"
    providers["cached"].build(inner="template")(frame_of(3))
    assert face_file(cache_folder() / "faces" / "template-2", frame_of(3)).is_file()


def test_a_spoilt_file_and_an_absent_folder_are_named(tmp_path: Path) -> None:
    file = store_face(tmp_path, frame_of(7), None)
    for content in ("{}", "[1]", '{"box": [1], "points": [], "score": 1}', "{"):
        file.write_text(content)
        with pytest.raises(InputError, match=file.name):
            CachedFaces(tmp_path, None)(frame_of(7))
    for name, options, words in (
        ("cached", {"folder": str(tmp_path / "none")}, "no such folder"),
        ("cached", {"inner": "nobody"}, "unknown face provider"),
        ("cached", {}, "no stored faces and no face provider"),
        ("dlib", {"margin": -1.0}, "cannot be negative"),
        ("dlib", {"search_px": 40}, "at least 80"),
        ("mtcnn", {"smallest_face": 0}, "give a share"),
        ("mtcnn", {"border": -1}, "border=-1"),
    ):
        with pytest.raises(InputError, match=words):
            providers[name].build(**options)
