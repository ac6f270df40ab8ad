"""Faces and apexes held against the truth."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import Pixels, face_of

from hmrm_lab.cli.notebooks import BENCHMARKS
from hmrm_lab.datasets.synthetic import synthetic
from hmrm_lab.errors import ConfigError, InputError
from hmrm_lab.faces import accuracy
from hmrm_lab.faces.align import AlignedFrames, FaceTrack, crop_map, find_faces, known_faces
from hmrm_lab.faces.detectors import installed_providers, not_installed
from hmrm_lab.faces.landmarks import mean_face
from hmrm_lab.records import Clip
from hmrm_lab.registry import providers


@pytest.fixture(scope="module")
def clip() -> Clip:
    return synthetic(subjects=2, clips=4)[0]


def recorded(clip: Clip) -> Clip:
    return replace(clip, frames=Pixels(clip.frames))


def test_known_landmarks_are_taken_and_others_need_a_provider(clip: Clip) -> None:
    track = accuracy.reference_track(clip)
    assert list(track.faces) == list(range(clip.onset, clip.offset + 1))
    np.testing.assert_array_equal(track[clip.apex].points, clip.frames.landmarks(clip.apex))
    assert set(track.report()["provider"]) == {"exact"}
    with pytest.raises(InputError, match="brings no landmarks; name a face provider"):
        accuracy.reference_track(recorded(clip))
    track = accuracy.reference_track(recorded(clip), providers["template"].build())
    assert track.counts()["template"] == clip.offset - clip.onset + 1


def test_distance_is_in_per_cent_of_the_distance_between_the_eyes() -> None:
    truth = face_of(mean_face())
    eyes_px = np.ptp(truth.five()[:2, 0])
    shifted = face_of(mean_face() + np.float32([0.1 * eyes_px, 0]))
    assert accuracy.distance_percent(shifted, truth) == pytest.approx((10, 10), abs=1e-3)
    five = face_of(truth.five() + np.float32([0, 0.05 * eyes_px]))
    assert accuracy.distance_percent(five, truth) == pytest.approx((5, 5), abs=0.01)


def test_a_table_of_tracks(clip: Clip) -> None:
    truth = accuracy.reference_track(clip)
    found = find_faces(clip.frames, providers["template"].build())
    table = accuracy.tracks_table({"exact": truth, "template": found}, truth)
    frames = len(truth.faces)
    assert table.loc["exact"].tolist() == [frames, 0, 0, 0, 0, 0]
    assert table.loc["template", ["detected", "template"]].tolist() == [0, frames]
    assert 0 < table.loc["template", "dense"] <= table.loc["template", "worst"]


def test_a_crop_of_each_frame_moves_as_the_points_do() -> None:
    shifts = np.float32([[0, 0], [3, 0], [3, 4]])
    track = FaceTrack({n: face_of(2 * mean_face() + shift) for n, shift in enumerate(shifts)})
    steps = accuracy.crop_steps_px(track)
    assert steps.tolist() == pytest.approx([1.5, 2.0], abs=1e-3), "in pixels of the crop"
    assert steps.index.tolist() == [1, 2]


def test_the_curve_of_a_recording_is_that_of_its_crop(clip: Clip) -> None:
    track = accuracy.reference_track(clip)
    frames = AlignedFrames(clip.frames, crop_map(track[clip.onset]), track)
    by_hand = accuracy.clip_curve(replace(clip, frames=frames), known_faces(frames, [clip.onset]))
    found = accuracy.clip_curve(recorded(clip), track)
    np.testing.assert_allclose(found.curve, by_hand.curve, rtol=1e-5)
    assert found.apex == by_hand.apex


def test_errors_are_frames_after_the_true_apex(clip: Clip) -> None:
    early = replace(clip, apex=clip.onset + 1)
    unknown = replace(clip, apex=None)
    table = accuracy.apex_table([clip, early, unknown])
    assert table["spotted"].nunique() == 1
    assert table["error"][1] == table["spotted"][1] - (clip.onset + 1)
    assert table["middle_error"][0] == (clip.onset + clip.offset) // 2 - clip.apex
    assert table[["apex", "error", "middle_error"]].iloc[2].isna().all()
    assert table["strength_px"].isna().tolist() == [False, False, True]
    flow = clip.frames.flow(clip.onset, clip.apex)
    alone = np.hypot(*(flow - np.median(flow, axis=(1, 2), keepdims=True)))
    assert table["strength_px"][0] == pytest.approx(alone.max()), "without the head"
    assert (table["peak"] > 0).all()
    unlandmarked = accuracy.apex_table([recorded(clip)], providers["template"].build())
    assert clip.onset < unlandmarked["spotted"][0] < clip.offset
    assert unlandmarked["strength_px"].isna().all()
    assert len(accuracy.apex_table([])) == 0


def test_what_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_: object) -> object:
        raise not_installed("dlib-bin")

    monkeypatch.setattr("hmrm_lab.faces.detectors._dlib_models", absent)
    built, lacking = installed_providers(["dlib", "template"])
    assert list(built) == ["template"]
    assert "pip install 'hmrm-lab[faces]'" in lacking["dlib"]
    with pytest.raises(InputError, match=r"dlib-bin.* not installed.*add 'template'"):
        installed_providers(["dlib"])
    with pytest.raises(ConfigError, match="did you mean 'dlib'"):
        installed_providers(["dlob"])


def test_tables_of_clips_add_counts_and_average_distances(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from face_accuracy import detection_table, spotted_within

    clips = synthetic(subjects=2, clips=4)
    by = {"template": providers["template"].build()}
    single = [detection_table([clip], by).loc["template"] for clip in clips]
    table = detection_table(clips, by).loc["template"]
    frames = sum(len({clip.onset, clip.known_apex, clip.offset}) for clip in clips)
    errors = pd.DataFrame({"error": [0, 1, -2, -1], "middle_error": [3, 0, 1, -5]})
    assert spotted_within(errors) == {"spotted": 0.75, "middle": 0.5}
    assert (table["detected"], table["template"]) == (0, frames)
    assert table["dense"] == pytest.approx(np.mean([row["dense"] for row in single]))
    assert table["worst"] == max(row["worst"] for row in single) > table["dense"] > 0
