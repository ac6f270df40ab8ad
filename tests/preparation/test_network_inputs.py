"""Inputs beside each other: what noise and drifting light leave of a movement that is known."""

from functools import partial

import numpy as np
import pytest
from conftest import Pixels, make_flowset, with_pictures

from hmrm_lab.cli.notebooks import BENCHMARKS
from hmrm_lab.datasets.classes import MEGC3
from hmrm_lab.preparation.network_inputs import (
    FRAMES,
    INPUTS,
    PEAK_PX,
    disturbed,
    given,
    kept,
    kept_of,
    look_at,
    moving_pixels,
    rising_clips,
)
from hmrm_lab.records import Clip, ClipKey
from hmrm_lab.registry import flows

look = partial(look_at, estimator=flows["dis"].build())


def even_clip(level: int = 100, frames: int = 11) -> Clip:
    pixels = Pixels(np.full((frames, 40, 40, 3), level, np.uint8))
    return Clip(ClipKey("toy", "s", "c"), 0, pixels, 0, 5, frames - 1, 100.0, classes=MEGC3.classes)


def test_noise_and_drift_are_as_strong_as_named_and_the_same_again() -> None:
    frames = disturbed(even_clip(), drift=0.1).frames
    assert [int(frames[n].mean()) for n in (0, 5, 10)] == [100, 105, 110]
    assert (frames[-1] == frames[10]).all()
    assert (disturbed(even_clip(250), drift=1.0).frames[10] == 255).all()
    frames = disturbed(even_clip(), noise=4).frames
    first = frames[3].astype(float)
    assert (first.mean(), first.std()) == pytest.approx((100, 4), rel=0.05)
    assert (frames[3] == first).all() and not (frames[4] == first).all()


def test_the_movement_of_drawn_clips_returns_to_where_it_began() -> None:
    clips = rising_clips()
    assert [clip.label for clip in clips] == [0, 1, 2]
    frames, apex = clips[1].frames, clips[1].apex
    assert np.abs(frames.flow(0, FRAMES - 1)).max() < 0.01
    assert np.hypot(*frames.flow(0, apex)).max() == pytest.approx(PEAK_PX, rel=0.05)
    left = rising_clips(left=0.5)[1].frames.flow(0, FRAMES - 1)
    assert np.hypot(*left).max() == pytest.approx(PEAK_PX / 2, rel=0.05)


def test_the_ratio_by_hand() -> None:
    moving = np.array([[True, False], [False, False]])
    assert kept(np.array([[-6, 1], [2, 2]], np.float32), moving) == pytest.approx(6 / 3**0.5)
    flow = np.zeros((2, 224, 224), np.float32)
    flow[:, 100:120, 40:80] = 1
    still = moving_pixels(flow)
    assert still.sum() == 10 * 20
    assert (moving_pixels(flow + 3) == still).all(), "a moving head moves nothing of the face"
    clip = rising_clips()[2]
    truth = clip.frames.flow(clip.onset, clip.known_apex)
    assert kept_of({"flow": truth}, clip)["flow"] > 6
    assert kept_of({"flow": np.ones_like(truth)}, clip)["flow"] == pytest.approx(1)
    assert kept_of({"flow": truth}, even_clip()) == {}


def test_mesti_keeps_what_the_dynamic_image_loses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from network_inputs import likeness, measure, pooled

    calm = measure(rising_clips(), pooled)
    assert calm["MESTI"] == pytest.approx(calm["dynamic image"], rel=0.1)
    assert calm["MESTI"] > 4
    drifting = measure(rising_clips(noise=2, drift=0.03), pooled)
    assert drifting["MESTI"] > 2 * drifting["dynamic image"]
    assert drifting["MESTI"] > 1.5 * drifting["apex less onset"]
    assert drifting["slope"] < 1.5
    again = kept_of(look(disturbed(rising_clips()[1], noise=2, drift=0.03)), rising_clips()[1])
    once = measure(rising_clips(noise=2, drift=0.03)[1:2], pooled)
    assert again["mesti"] == pytest.approx(once["MESTI"], rel=0.1)
    assert again["dynamic_image"] == pytest.approx(once["dynamic image"], rel=0.1)
    likely = likeness([rising_clips()[2], even_clip()], flows["dis"].build())
    assert list(likely) == ["flow", "dual_phase", "mm_cof"]
    assert all(0.8 < cosine <= 1 for cosine in likely.values())


def test_what_networks_are_given_of_a_clip() -> None:
    maps = make_flowset(2, 3)
    assert list(given(maps, 1)) == ["flow"], "of data without frames"
    pictured = with_pictures(maps)
    found = given(pictured, 1, dual_phase=maps, mm_cof=maps)
    assert list(found) == list(INPUTS)
    assert (found["mesti"] == pictured.pictures[1, 3]).all()
    assert np.abs(np.median(found["flow"], axis=(1, 2))).max() == pytest.approx(0, abs=1e-6)
    assert np.ptp(found["flow"][0] - maps.maps[1, 0]) == pytest.approx(0, abs=1e-6)
