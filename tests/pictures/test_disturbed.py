"""Noise and drift upon a clip, and what its inputs keep then."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import Pixels, make_flowset, with_pictures

from hmrm_lab.datasets.classes import MEGC3
from hmrm_lab.datasets.synthetic import synthetic
from hmrm_lab.preparation.disturbed import (
    Condition,
    disturbed,
    measure,
    remembering,
    rise_and_fall,
    rising_clips,
)
from hmrm_lab.preparation.network_inputs import INPUTS, given, kept_of, likeness, look_at
from hmrm_lab.preparation.network_inputs import measure as measure_inputs
from hmrm_lab.records import Clip, ClipKey
from hmrm_lab.registry import flows


def even_clip(level: int = 100, frames: int = 11) -> Clip:
    pixels = Pixels(np.full((frames, 40, 40, 3), level, np.uint8))
    return Clip(ClipKey("toy", "s", "c"), 0, pixels, 0, 5, frames - 1, 100.0, classes=MEGC3.classes)


def test_light_drifts_evenly() -> None:
    frames = disturbed(even_clip(), drift=0.1).frames
    assert [int(frames[n].mean()) for n in (0, 5, 10)] == [100, 105, 110]
    assert (frames[-1] == frames[10]).all()


def test_noise_is_as_strong_as_said_and_the_same_again() -> None:
    frames = disturbed(even_clip(), noise=4).frames
    first = frames[3].astype(float)
    assert first.std() == pytest.approx(4, rel=0.05)
    assert first.mean() == pytest.approx(100, abs=0.5)
    assert (frames[3] == first).all()
    assert not (frames[4] == first).all()


def test_nothing_laid_upon_it_changes_nothing_and_levels_end_at_255() -> None:
    clip = rising_clips()[0]
    assert (disturbed(clip).frames[4] == clip.frames[4]).all()
    assert (disturbed(even_clip(250), drift=1.0).frames[10] == 255).all()


def test_frames_are_read_once() -> None:
    read: list[int] = []

    class Counted(Pixels):
        def __getitem__(self, index: int, /) -> np.ndarray:
            read.append(index)
            return super().__getitem__(index)

    clip = even_clip()
    frames = remembering(replace(clip, frames=Counted(clip.frames)))
    assert (frames.frames[2] == frames.frames[2]).all()
    assert read == [2]


def test_there_is_one_rising_clip_of_each_class() -> None:
    clips = rising_clips()
    assert [clip.label for clip in clips] == list(range(len(MEGC3.classes)))
    assert (clips[1].frames[7] == rise_and_fall(1, Condition())[7]).all()


def test_the_gallery_keeps_what_the_measurement_says() -> None:
    """The same disturbance, drawn anew: the figures of decision 0018 come out again."""
    clip = rising_clips()[1]
    measured = measure([rise_and_fall(1, Condition(noise=2, drift=0.03))])
    seen = look_at(disturbed(clip, noise=2, drift=0.03), flows["dis"].build())
    found = kept_of(seen, clip)
    assert list(found) == list(INPUTS)
    assert found["mesti"] == pytest.approx(measured["MESTI"], rel=0.1)
    assert found["dynamic_image"] == pytest.approx(measured["dynamic image"], rel=0.1)
    assert found["apex"] < 1.5, "a face looks the same where it moves"


def test_flow_is_counted_where_the_face_moves() -> None:
    clip = rising_clips()[2]
    truth = clip.frames.flow(clip.onset, clip.known_apex)  # type: ignore[attr-defined]
    assert kept_of({"flow": truth}, clip)["flow"] > 6
    assert kept_of({"flow": np.ones_like(truth)}, clip)["flow"] == pytest.approx(1)
    assert kept_of({"flow": truth}, even_clip()) == {}


def test_both_flows_of_a_face_on_a_still_head_are_like_the_exact_one() -> None:
    likely = likeness([rising_clips()[2], even_clip()], flows["dis"].build())
    assert list(likely) == ["flow", "dual_phase"]
    assert all(0.9 < cosine <= 1 for cosine in likely.values())


def test_what_networks_are_given_of_a_clip() -> None:
    maps = make_flowset(2, 3)
    assert list(given(maps, 1)) == ["flow"], "of data without frames"
    pictured = with_pictures(maps)
    found = given(pictured, 1, both=maps)
    assert list(found) == list(INPUTS)
    assert (found["mesti"] == pictured.pictures[1, 3]).all()
    assert np.abs(np.median(found["flow"], axis=(1, 2))).max() == pytest.approx(0, abs=1e-6)
    assert np.ptp(found["flow"][0] - maps.maps[1, 0]) == pytest.approx(0, abs=1e-6)


def test_flow_leads_where_the_head_moves_and_mesti_where_it_is_still() -> None:
    dis = flows["dis"].build()
    still = measure_inputs(rising_clips(Condition(noise=2, drift=0.03)), dis)
    assert still["mesti"] > still["dual_phase"] > still["flow"] > still["dynamic_image"]
    moving = measure_inputs(synthetic(subjects=3, clips=6), dis)
    assert min(moving["flow"], moving["dual_phase"]) > 1.3 * moving["mesti"]
