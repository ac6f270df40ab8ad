"""A recording of one's own, up to the point where a system would see it."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from hmrm_lab.datasets.synthetic import synthetic
from hmrm_lab.errors import InputError
from hmrm_lab.faces.face import Face
from hmrm_lab.faces.landmarks import face_in_frame, part_masks
from hmrm_lab.registry import flows, providers
from hmrm_lab.reporting.plots.faces import motion_table
from hmrm_lab.studies.prepare import (
    chosen_recording,
    find_own_clip,
    recording_clip,
    remembering,
    write_drawn_recording,
)

OPEN = {"onset": 0, "apex": -1, "offset": -1}


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_drawn_recording(tmp_path_factory.mktemp("films") / "sub" / "face.avi", seed=3)


def found(frame: np.ndarray) -> Face | None:
    face = face_in_frame(*frame.shape[:2])
    return Face(face.box, face.points, 1.0, "mine")


def nobody(frame: np.ndarray) -> Face | None:
    return None


def test_a_drawn_face_is_filmed_in_a_larger_picture(video: Path) -> None:
    clip, drawn = recording_clip(video), synthetic(subjects=2, clips=2, seed=3)[0]
    assert (len(clip.frames), clip.fps) == (len(drawn.frames), drawn.fps)
    assert clip.frames[0].shape == (420, 420, 3)
    assert (clip.onset, clip.apex, clip.offset) == (0, None, len(drawn.frames) - 1)
    assert tuple(clip.key) == ("recording", "unknown", "face")


def test_another_seed_films_another_face(video: Path, tmp_path: Path) -> None:
    other = recording_clip(write_drawn_recording(tmp_path / "other.avi", seed=4)).frames[0]
    assert np.abs(other.astype(int) - recording_clip(video).frames[0]).mean() > 5


def test_its_apex_is_spotted_or_given(video: Path) -> None:
    own = find_own_clip(recording_clip(video), found)
    true = synthetic(subjects=2, clips=2, seed=3)[0].apex
    assert own.apex_is == "spotted"
    assert own.recorded.apex == own.upright.apex == own.curve.apex
    assert abs(own.recorded.apex - true) <= 2
    assert own.upright.frames[0].shape == (224, 224, 3)
    assert own.track.counts()["none"] == len(own.recorded.frames)
    given = find_own_clip(recording_clip(video, apex=3), found)
    assert (given.apex_is, given.recorded.apex) == ("given", 3)


def test_the_default_recording_moves_more_than_its_noise(tmp_path: Path) -> None:
    pytest.importorskip("dlib", reason="the extra 'faces' is not installed")
    _, clip = chosen_recording("", tmp_path, 1000, **OPEN)  # that of notebook 10
    own = find_own_clip(clip, providers["dlib"].build())
    first, second, apex = (own.upright.frames[n][None] for n in (0, 1, own.recorded.apex))
    fields = {name: flows["dis"].build()(first, to)[0] for name, to in (("a", apex), ("n", second))}
    parts = part_masks(own.upright.frames.landmarks(0), *first.shape[1:3])
    moved = motion_table(fields, np.any(list(parts.values()), axis=0))["99 % stay below (px)"]
    assert moved["a"] > 3 * moved["n"]


def test_where_nothing_moves_the_apex_is_a_guess(tmp_path: Path) -> None:
    for number in range(6):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((64, 64, 3), 90, np.uint8))
    assert find_own_clip(recording_clip(tmp_path), found).apex_is == "guessed"


def test_only_the_marked_part_is_looked_at(video: Path) -> None:
    own = find_own_clip(recording_clip(video, onset=2, offset=9), found)
    assert list(own.track.faces) == list(range(2, 10))
    assert 2 < own.recorded.apex <= 9


def test_no_face_is_a_sentence_unless_the_mean_face_will_do(video: Path) -> None:
    with pytest.raises(InputError, match=r"face: no face found in any of .* film the face"):
        find_own_clip(recording_clip(video), nobody)
    assert find_own_clip(recording_clip(video), nobody, trust=True).track.counts()["none"] == 0


def test_a_frame_is_looked_at_once() -> None:
    seen = []

    def counting(frame: np.ndarray) -> Face | None:
        seen.append(frame.mean())
        return nobody(frame)

    finder = remembering(counting)
    frames = [np.full((8, 8, 3), shade, np.uint8) for shade in (1, 2, 1)]
    assert [finder(frame) for frame in frames] == [None] * 3
    assert seen == [1, 2]


def test_the_parameters_of_a_notebook(video: Path, tmp_path: Path) -> None:
    path, clip = chosen_recording("", tmp_path / "runs", 3, **OPEN)
    assert path.read_bytes() == video.read_bytes()
    assert (clip.apex, clip.offset) == (None, len(clip.frames) - 1)
    marked = {"onset": 1, "apex": 5, "offset": 8}
    path, clip = chosen_recording(str(video), tmp_path / "unused", 3, **marked)
    assert (path, clip.onset, clip.apex, clip.offset) == (video, 1, 5, 8)
    assert not (tmp_path / "unused").exists()


def test_what_cannot_be_used_is_refused(video: Path, tmp_path: Path) -> None:
    for marks, words in (
        ({"onset": 900}, "onset 900 and offset .* do not fit"),
        ({"apex": 0}, "apex 0 and offset"),
        ({"offset": 0}, "do not fit"),
        ({"onset": "one"}, "onset 'one' is no frame number"),
        ({"apex": 2.5}, "apex '2.5' is no frame number"),
    ):
        with pytest.raises(InputError, match=words):
            chosen_recording(str(video), video.parent, 0, **{**OPEN, **marks})
    cv2.imwrite(str(tmp_path / "1.png"), np.full((64, 64, 3), 90, np.uint8))
    with pytest.raises(InputError, match="motion takes two"):
        recording_clip(tmp_path)
    (tmp_path / "face.avi").mkdir()
    with pytest.raises(InputError, match="a folder, not a file"):
        write_drawn_recording(tmp_path / "face.avi")
