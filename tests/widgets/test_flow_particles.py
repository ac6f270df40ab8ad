"""The particles as the kernel sends them; what a browser makes of them is tested in a browser."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from hmrm_lab.datasets.synthetic import synthetic
from hmrm_lab.records import Clip

pytest.importorskip("anywidget", reason="the extra 'jupyter' is not installed")

from hmrm_widgets import FlowParticles
from hmrm_widgets.flow_particles import reduced_field, shown_frames


@pytest.fixture(scope="module")
def clip() -> Clip:
    return synthetic(subjects=2, clips=2)[0]


@pytest.fixture(scope="module")
def flow(clip: Clip) -> np.ndarray:
    return clip.frames.flow(clip.onset, clip.apex)


def test_field_and_frames_are_sent_and_small(clip: Clip, flow: np.ndarray) -> None:
    particles = FlowParticles(clip, flow, "exact")
    sent = np.frombuffer(particles.field, "<f4").reshape(2, 56, 56)
    assert sent == pytest.approx(reduced_field(flow))
    assert (particles.grid, particles.span) == ((56, 56), (224, 224))
    pictures = [cv2.imdecode(np.frombuffer(f, np.uint8), 1) for f in particles.frames]
    assert [picture.shape for picture in pictures] == [(160, 160, 3)] * len(particles.numbers)
    assert sum(map(len, particles.frames)) < 60_000
    assert particles.numbers[particles.shown] == clip.onset
    assert "Flow: exact." in particles.caption


def test_the_fastest_particle_goes_an_eighth_of_the_width(clip: Clip) -> None:
    flow = np.tile(np.float32([3, 4])[:, None, None], (1, 224, 224))
    particles = FlowParticles(clip, flow)
    assert particles.gain == pytest.approx(0.12 * 224 / 5)
    assert "about 5 times as far" in particles.caption


def test_no_motion_is_said(clip: Clip, flow: np.ndarray) -> None:
    particles = FlowParticles(clip, np.zeros_like(flow))
    assert particles.gain == 0
    assert "Nothing moves." in particles.caption


def test_cells_are_means_and_vectors_keep_their_length() -> None:
    flow = np.zeros((2, 112, 224), np.float32)
    flow[0] = np.arange(224, dtype=np.float32)
    flow[1] = 2.0
    field = reduced_field(flow)
    assert field.shape == (2, 28, 56)
    assert field[0, 0] == pytest.approx(1.5 + 4 * np.arange(56))
    assert field[1] == pytest.approx(np.full((28, 56), 2.0))


def test_what_is_not_known_does_not_move_and_a_small_field_stays() -> None:
    flow = np.full((2, 8, 8), np.nan, np.float32)
    assert (reduced_field(flow) == np.zeros((2, 8, 8))).all()


def test_frames_from_onset_to_offset(clip: Clip) -> None:
    assert shown_frames(clip, 50) == list(range(clip.onset, clip.offset + 1))
    assert len(shown_frames(clip)) == 10
    assert {clip.onset, clip.offset} < set(shown_frames(clip))
    assert shown_frames(replace(clip, onset=3, offset=103), 5) == [3, 28, 53, 78, 103]


def test_a_flow_of_another_size_is_refused(clip: Clip, flow: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"flow must be \(2, 224, 224\)"):
        FlowParticles(clip, flow[:, :100])
