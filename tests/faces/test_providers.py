"""Providers beyond what all have in common: absent packages, stored faces, foreign weights."""

import io
import pickle
import sys
from pathlib import Path

import joblib
import numpy as np
import pytest

from hmrm_lab.errors import ConfigError, InputError
from hmrm_lab.faces import dlib68, extras, mtcnn_networks
from hmrm_lab.faces.face import Face
from hmrm_lab.faces.joblib_arrays import read_arrays
from hmrm_lab.faces.landmarks import CachedFaces, face_file, store_face
from hmrm_lab.faces.template import face_in_frame
from hmrm_lab.registry import providers
from hmrm_lab.runtime.store import cache_folder


@pytest.mark.parametrize("name", ["dlib", "mtcnn"])
def test_absent_packages_name_the_extra(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda package: None)
    dlib68._models.cache_clear()
    with pytest.raises(InputError, match=r"not installed; pip install 'hmrm-lab\[faces\]'"):
        providers[name].build()


@pytest.mark.parametrize(("name", "module"), [("dlib", "dlib"), ("mtcnn", "lz4.frame")])
def test_absent_modules_name_the_extra(
    name: str, module: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "data"
    file.write_bytes(b"")
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr(dlib68, "file_of_package", lambda *names: file)
    monkeypatch.setattr(mtcnn_networks, "file_of_package", lambda *names: file)
    dlib68._models.cache_clear()
    with pytest.raises(InputError, match=r"pip install 'hmrm-lab\[faces\]'"):
        providers[name].build()


def test_a_package_without_its_file_is_an_error() -> None:
    with pytest.raises(InputError, match="no such file"):
        extras.file_of_package("numpy", "assets/none.dat")


@pytest.mark.parametrize(
    ("name", "options"),
    [("dlib", {"margin": -1.0}), ("mtcnn", {"smallest_face": 0.0}), ("cached", {})],
)
def test_impossible_options_are_refused(name: str, options: dict[str, float]) -> None:
    with pytest.raises(InputError):
        providers[name].build(**options)


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


def test_the_cache_has_a_folder_for_each_provider() -> None:
    providers["cached"].build(inner="template")(frame_of(3))
    assert face_file(cache_folder() / "faces" / "template-2", frame_of(3)).is_file()


@pytest.mark.parametrize("content", ["{}", "[1]", '{"box": [1], "points": [], "score": 1}', "{"])
def test_a_spoilt_file_is_named(tmp_path: Path, content: str) -> None:
    file = store_face(tmp_path, frame_of(7), None)
    file.write_text(content)
    with pytest.raises(InputError, match=file.name):
        CachedFaces(tmp_path, None)(frame_of(7))


def test_a_folder_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        providers["cached"].build(folder=str(tmp_path / "none"))
    with pytest.raises(ConfigError, match="unknown face provider"):
        providers["cached"].build(inner="nobody")


def written_by_joblib(value: object) -> io.BytesIO:
    stream = io.BytesIO()
    joblib.dump(value, stream)
    stream.seek(0)
    return stream


def test_arrays_are_read_as_joblib_reads_them() -> None:
    rng = np.random.default_rng(0)
    shapes = [(3, 3, 3, 10), (10,), (1, 1, 10), (576, 128), (1,), (300, 2)]
    arrays = [rng.normal(size=shape).astype(np.float32) for shape in shapes]
    found = read_arrays(written_by_joblib(arrays), Path("weights"))
    assert len(found) == len(arrays)
    for one, other in zip(found, arrays, strict=True):
        assert np.array_equal(one, other)


class Trap:
    """Calls back when it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return exec, ("raise RuntimeError('it was called')",)

    def __repr__(self) -> str:  # names tests alike in every process
        return "Trap()"


@pytest.mark.parametrize(
    "value",
    [
        Trap(),
        [np.zeros(3, np.float32), Trap()],
        [np.array([Trap()], dtype=object)],
        [np.zeros(3, np.float64)],
        [np.zeros(3, ">f4")],
        [np.zeros((4, 3), np.float32).T],
        {"a": np.zeros(3, np.float32)},
        ["text"],
        7,
    ],
    ids=str,
)
def test_anything_else_is_refused_and_nothing_is_called(value: object) -> None:
    with pytest.raises(InputError, match="not a joblib file of plain arrays"):
        read_arrays(written_by_joblib(value), Path("weights"))


def test_a_cut_file_is_refused() -> None:
    whole = written_by_joblib([np.ones((8, 8), np.float32), np.ones(5, np.float32)]).getvalue()
    for length in range(0, len(whole) - 1, 7):
        with pytest.raises(InputError, match="plain arrays"):
            read_arrays(io.BytesIO(whole[:length]), Path("weights"))


def test_plain_pickles_are_refused() -> None:
    with pytest.raises(InputError, match="plain arrays"):
        read_arrays(io.BytesIO(pickle.dumps(Trap())), Path("weights"))
