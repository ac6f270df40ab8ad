"""Widgets that show clips: what they say, what they offer, and what stays chosen."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import Pixels
from reporting.shown import pixels

from hmrm_lab.datasets.classes import MEGC3
from hmrm_lab.datasets.synthetic import synthetic
from hmrm_lab.errors import InputError
from hmrm_lab.faces.face import Face
from hmrm_lab.faces.landmarks import face_in_frame
from hmrm_lab.flow.gru_attention import FrozenFlow
from hmrm_lab.flow.gru_attention.gru_flow import GRUFlow
from hmrm_lab.preparation.network_inputs import rising_clips
from hmrm_lab.records import Clip, ClipKey
from hmrm_lab.registry import flows, providers

pytest.importorskip("ipywidgets", reason="the extra 'jupyter' is not installed")

from hmrm_widgets import ClipStepper, FlowExplorer, FlowParticles, InputGallery, ScanPlayground
from hmrm_widgets.flow_particles import reduced_field, shown_frames


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    return synthetic(subjects=2, clips=4)


@pytest.fixture
def explorer(clips: list[Clip]) -> FlowExplorer:
    return FlowExplorer(clips, methods=("dis", "farneback"))


@pytest.fixture
def learnt(clips: list[Clip]) -> FlowExplorer:
    """With a network that has learnt nothing, so that no test rests on the shipped weights."""
    torch.manual_seed(0)
    network = FrozenFlow(GRUFlow(iterations=(1, 2)).eval(), 1, "cpu")
    explorer = FlowExplorer([plain_clip(), *clips], {"gru": network, "dis": flows["dis"].build()})
    explorer.clip.value = 1
    return explorer


class Spoilt(list):
    """Frames of which the second cannot be read."""

    def __getitem__(self, index: int) -> np.ndarray:
        if index == 1:
            raise InputError("cut off", where="img_<1>.jpg", hint="copy it again")
        return super().__getitem__(index)


def plain_clip(fps: float = 100.0) -> Clip:
    """A clip that does not know its motion."""
    frames = Spoilt(np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3)).astype(np.uint8))
    key, classes = ClipKey("d", "s", "c"), MEGC3.classes
    return Clip(key, 0, frames, onset=0, apex=2, offset=2, fps=fps, classes=classes)


def test_the_explorer_opens_at_the_apex_of_every_clip_and_the_onset_does_not_move(
    explorer: FlowExplorer, clips: list[Clip]
) -> None:
    assert pixels(explorer.face.value).shape == (224, 224, 3)
    assert (explorer.display.label, explorer.steady.value) == ("Arrows", True)
    for number, clip in enumerate(clips):
        explorer.clip.value = number
        assert (explorer.frame.min, explorer.frame.max) == (clip.onset, clip.apex)
        assert explorer.frame.value == clip.apex
        assert not explorer.problem.value
    explorer.method.value, explorer.display.value = "exact", "colour"
    explorer.frame.value = explorer.frame.min
    assert (pixels(explorer.motion.value) == 255).all()
    assert "longest vector 0.00 px" in explorer.caption.value


def test_what_needs_the_exact_motion_is_offered_where_frames_know_it(learnt: FlowExplorer) -> None:
    assert list(learnt.method.options) == ["gru", "dis", "exact"]
    assert "end-point error" in learnt.caption.value
    learnt.display.value = "error"
    assert "Yellow is an error of" in learnt.caption.value
    scale = learnt.caption.value.partition("Yellow")[2]
    learnt.frame.value -= 1
    assert learnt.caption.value.partition("Yellow")[2] == scale, "it is that of the apex"
    learnt.method.value = "exact"
    assert "no error" in learnt.caption.value
    assert "end-point error" not in learnt.caption.value
    assert (pixels(learnt.motion.value) == pixels(learnt.motion.value)[0, 0]).all()
    learnt.motion.point = (90, 150)
    learnt.clip.value = 0
    assert (learnt.motion.point, learnt.motion.size) == (None, (32, 32)), "the point lay outside"
    assert not learnt.problem.value
    assert "error" not in dict(learnt.display.options).values()
    assert (learnt.display.value, learnt.method.value) == ("colour", "gru")
    assert "error" not in learnt.caption.value


def test_iterations_can_be_chosen_where_there_are_any(learnt: FlowExplorer) -> None:
    updates = [name for name, _ in learnt.update.options]
    assert updates == ["1/8, update 1", "1/4, update 1", "1/4, update 2"]
    assert learnt.update.label == updates[-1], "it opens with the result"
    last, face = learnt.motion.value, learnt.face.value
    learnt.update.value = 0
    assert learnt.motion.value != last
    assert "after 1/8, update 1" in learnt.caption.value
    learnt.magnification.value = 9
    assert learnt.face.value != face
    learnt.frame.value = learnt.frame.min + 1
    learnt.clip.value = 2
    assert learnt.update.value == 0, "it stays chosen"
    for method in ("dis", "exact"):
        learnt.method.value = method
        assert (learnt.update.disabled, learnt.update.label) == (True, "none")
        assert "after" not in learnt.caption.value.partition("Flow by")[2]
        learnt.method.value = "gru"
        assert (learnt.update.disabled, learnt.update.label) == (False, updates[-1])


def test_legends_and_labels_are_of_the_display(explorer: FlowExplorer) -> None:
    legends = {}
    for name, display in explorer.display.options:
        explorer.display.value = display
        assert explorer.motion.label == f"{name}: flow by dis"
        assert explorer.motion.size == (224, 224)
        assert len(explorer.motion.value) < (40_000 if display == "colour" else 160_000)
        legends[display] = explorer.legend.value
    assert "Dark rim: longer" in legends["colour"]
    assert "% or more" in legends["strain"] and "px or more" in legends["error"]
    assert not legends["quiver"]
    explorer.display.value = "quiver"
    sharper = pixels(explorer.motion.value).shape
    assert sharper == (448, 448, 3), "sharper than the grid that is pointed into"
    assert explorer.face.label == f"Face, frame {explorer.frame.value}"


def test_a_point_of_the_flow_can_be_read(explorer: FlowExplorer, clips: list[Clip]) -> None:
    assert explorer.reading.value == ""
    explorer.steady.value = False
    shown = explorer.face.value, explorer.motion.value
    explorer.method.value = "exact"
    u, v = clips[0].frames.flow(clips[0].onset, clips[0].apex)[:, 150, 90]
    explorer.motion.point = (90, 150)
    assert "Column 90, row 150" in explorer.reading.value
    assert f"Flow by exact: u {u:+.2f} px, v {v:+.2f} px" in explorer.reading.value
    assert explorer.face.point == pytest.approx((90 + u, 150 + v))
    explorer.method.value = "dis"
    assert "Flow by dis" in explorer.reading.value
    assert f"Exact flow: u {u:+.2f} px, v {v:+.2f} px" in explorer.reading.value
    assert "px apart" in explorer.reading.value
    assert (explorer.face.value, explorer.motion.value) == shown


def test_the_reading_follows_the_controls(explorer: FlowExplorer) -> None:
    explorer.motion.point, explorer.steady.value = (90, 150), False
    near = np.subtract(explorer.face.point, (90, 150))
    explorer.magnification.value = 10
    assert np.subtract(explorer.face.point, (90, 150)) == pytest.approx(10 * near, rel=1e-4)
    seen = [explorer.reading.value]
    for control, value in (("steady", True), ("frame", 3), ("clip", 2)):
        getattr(explorer, control).value = value
        assert explorer.reading.value not in seen
        seen.append(explorer.reading.value)
    explorer.motion.point = None
    assert (explorer.reading.value, explorer.face.point) == ("", None)


def test_a_frame_that_cannot_be_read_is_told_and_gone_with_the_next() -> None:
    explorer = FlowExplorer({"mine": plain_clip(fps=0.0)}, methods=("dis",))
    assert explorer.clip.label == "mine"
    assert "2 frames after the onset" in explorer.caption.value
    explorer.frame.value = 1
    assert "img_&lt;1&gt;.jpg: cut off; copy it again" in explorer.problem.value
    explorer.motion.point = (3, 3)
    assert (explorer.motion.value, explorer.reading.value, explorer.face.point) == (b"", "", None)
    explorer.frame.value = 2
    assert "Column 3, row 3" in explorer.reading.value
    assert not explorer.problem.value
    assert explorer.motion.value


def test_the_stepper_opens_at_the_onset_and_playing_moves_frame_and_curve(
    clips: list[Clip],
) -> None:
    stepper = ClipStepper(clips, {"template": providers["template"].build()})
    assert pixels(stepper.face.value).shape == (448, 448, 3)
    assert f"annotated apex {clips[0].apex}" in stepper.curve.value
    assert "0 ms after the onset. Landmarks that came with the clip." in stepper.caption.value
    stepper.parts.value = True
    assert "mouth" in stepper.caption.value
    before = stepper.curve.value
    stepper.play.value = True
    assert stepper.timer.playing
    stepper.timer.value += 1
    assert stepper.frame.value == stepper.timer.value
    assert f"Frame {stepper.frame.value} " in stepper.caption.value
    assert stepper.curve.value != before


def test_frames_fit_every_clip_also_where_two_share_no_number(clips: list[Clip]) -> None:
    late = replace(clips[0], onset=9, apex=11, offset=14)
    shown = [*clips, late, clips[0]]
    stepper = ClipStepper(shown)
    stepper.frame.value = stepper.frame.max
    for number in (3, 4, 5, 1, 0):
        stepper.clip.value = number
        for slider in (stepper.frame, stepper.timer):
            ends = shown[number].onset, shown[number].offset
            assert (slider.min, slider.max, slider.value) == (*ends, ends[0])
        assert not stepper.problem.value


def test_it_says_how_a_face_was_come_by(clips: list[Clip]) -> None:
    shown = []

    def only_the_first(frame: np.ndarray) -> Face | None:
        shown.append(0)
        found = face_in_frame(*frame.shape[:2])
        return Face(found.box, found.points, 1.0, "mine") if len(shown) == 1 else None

    recorded = replace(clips[0], frames=Pixels(clips[0].frames), apex=None)
    stepper = ClipStepper([recorded], {"mine": only_the_first})
    assert list(stepper.provider.options) == ["mine"]
    assert "Face by mine: detected." in stepper.caption.value
    stepper.frame.value += 2
    assert f"taken over from frame {recorded.onset}." in stepper.caption.value
    assert "annotated apex" not in stepper.curve.value


def test_the_particles_send_little(clips: list[Clip]) -> None:
    clip = clips[0]
    flow = clip.frames.flow(clip.onset, clip.apex)
    particles = FlowParticles(clip, flow, "exact")
    sent = np.frombuffer(particles.field, "<f4").reshape(2, 56, 56)
    assert sent == pytest.approx(reduced_field(flow))
    assert (particles.grid, particles.span) == ((56, 56), (224, 224))
    shapes = [pixels(frame).shape for frame in particles.frames]
    assert shapes == [(160, 160, 3)] * len(particles.numbers)
    assert sum(map(len, particles.frames)) < 60_000
    assert particles.numbers[particles.shown] == clip.onset
    assert "Flow: exact." in particles.caption


def test_the_fastest_particle_goes_an_eighth_of_the_width(clips: list[Clip]) -> None:
    flow = np.tile(np.float32([3, 4])[:, None, None], (1, 224, 224))
    particles = FlowParticles(clips[0], flow)
    assert particles.gain == pytest.approx(0.12 * 224 / 5)
    assert "about 5 times as far" in particles.caption
    still = FlowParticles(clips[0], 0 * flow)
    assert (still.gain, "Nothing moves." in still.caption) == (0, True)


def test_cells_are_means_and_what_is_not_known_does_not_move() -> None:
    flow = np.full((2, 112, 224), 2.0, np.float32)
    flow[0] = np.arange(224, dtype=np.float32)
    field = reduced_field(flow)
    assert field.shape == (2, 28, 56)
    assert field[0, 0] == pytest.approx(1.5 + 4 * np.arange(56))
    assert field[1] == pytest.approx(np.full((28, 56), 2.0))
    assert (reduced_field(np.full((2, 8, 8), np.nan, np.float32)) == np.zeros((2, 8, 8))).all()


def test_frames_from_onset_to_offset(clips: list[Clip]) -> None:
    clip = clips[0]
    assert shown_frames(clip, 50) == list(range(clip.onset, clip.offset + 1))
    assert len(shown_frames(clip)) == 10
    assert shown_frames(replace(clip, onset=3, offset=103), 5) == [3, 28, 53, 78, 103]


def test_light_drifts_and_mesti_keeps_more_than_the_dynamic_image() -> None:
    gallery = InputGallery(rising_clips()[:1])
    kept = []
    for drift in (0.0, 3.0):
        gallery.drift.value = drift
        mesti, dynamic = (
            float(gallery.headings[name].value.split("<br>")[1].removesuffix(" times"))
            for name in ("mesti", "dynamic_image")
        )
        kept.append(dynamic / mesti)
    assert kept[0] == pytest.approx(1, rel=0.1)
    assert kept[1] < 0.5
    assert "noise of 0 levels and a drift of light by 3 %" in gallery.caption.value


def test_of_a_recording_nothing_is_counted(clips: list[Clip]) -> None:
    gallery = InputGallery({"<mine>": replace(clips[0], frames=Pixels(clips[0].frames))})
    assert "is not known" in gallery.caption.value
    assert "times" not in gallery.headings["mesti"].value


def test_a_large_step_is_a_column_of_the_matrix_and_only_an_impulse_has_a_place() -> None:
    playground = ScanPlayground()
    assert playground.matrix.value.count("title=") == 144
    assert "from 3 to 3: 0.300" in playground.matrix.value
    for words in ("writes 0.300 times its x", "keeps 86%", "halves in 4.6 tokens"):
        assert words in playground.caption.value
    playground.strength.value = 10.0
    assert "from 6 to 6: 3.000" in playground.matrix.value
    assert "from 6 to 5: 0.000" in playground.matrix.value
    assert "keeps 22%" in playground.caption.value
    assert not playground.impulse.disabled
    playground.input.value = "ones"
    assert playground.impulse.disabled
    assert ScanPlayground(tokens=5).matrix.value.count("title=") == 25
