from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from hmrm_lab.datasets.classes import MEGC3
from hmrm_lab.datasets.synthetic import synthetic
from hmrm_lab.errors import InputError
from hmrm_lab.flow.gru_attention import FrozenFlow
from hmrm_lab.flow.gru_attention.gru_flow import GRUFlow
from hmrm_lab.records import Clip, ClipKey
from hmrm_lab.registry import flows

pytest.importorskip("ipywidgets", reason="the extra 'jupyter' is not installed")

from hmrm_widgets import FlowExplorer

CONTROLS = ("clip", "method", "frame", "update", "magnification", "display", "steady")


@pytest.fixture
def explorer() -> FlowExplorer:
    return FlowExplorer(synthetic(subjects=2, clips=4), methods=("dis", "farneback"))


@pytest.fixture
def learnt() -> FlowExplorer:
    """With a network that has learnt nothing, so that no test rests on the shipped weights."""
    torch.manual_seed(0)
    network = FrozenFlow(GRUFlow(iterations=(1, 2)).eval(), 1, "cpu")
    clips = [plain_clip(), *synthetic(subjects=2, clips=2)]
    explorer = FlowExplorer(clips, {"gru": network, "dis": flows["dis"].build()})
    explorer.clip.value = 1
    return explorer


def plain_clip() -> Clip:
    """A clip that does not know its motion."""
    frames = list(np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3)).astype(np.uint8))
    return Clip(
        ClipKey("d", "s", "c"),
        0,
        frames,
        onset=0,
        apex=2,
        offset=2,
        fps=100.0,
        classes=MEGC3.classes,
    )


def pixels(content: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)


def test_it_opens_at_the_apex_with_both_views(explorer: FlowExplorer) -> None:
    assert explorer.frame.value == explorer.frame.max
    assert pixels(explorer.face.value).shape == (224, 224, 3)
    assert pixels(explorer.motion.value).shape == (224, 224, 3)
    assert "apex" in explorer.caption.value


def test_the_onset_does_not_move(explorer: FlowExplorer) -> None:
    explorer.method.value = "exact"
    explorer.frame.value = explorer.frame.min
    assert (pixels(explorer.motion.value) == 255).all()
    assert "longest vector 0.00 px" in explorer.caption.value


@pytest.mark.parametrize(
    ("control", "value"),
    [
        ("frame", 3),
        ("method", "farneback"),
        ("display", "quiver"),
        ("display", "strain"),
        ("display", "error"),
        ("steady", True),
        ("clip", 2),
    ],
)
def test_each_control_changes_the_motion(
    explorer: FlowExplorer, control: str, value: object
) -> None:
    before = explorer.motion.value
    getattr(explorer, control).value = value
    assert explorer.motion.value != before
    assert not explorer.problem.value


def test_magnification_moves_the_face_alone(explorer: FlowExplorer) -> None:
    face, motion = explorer.face.value, explorer.motion.value
    explorer.magnification.value = 12
    assert explorer.face.value != face
    assert explorer.motion.value == motion


def test_coming_back_shows_the_same_picture(explorer: FlowExplorer) -> None:
    before = explorer.motion.value
    explorer.frame.value = 4
    explorer.frame.value = explorer.frame.max
    assert explorer.motion.value == before


def test_exact_flow_is_offered_where_frames_know_it_and_has_no_error(
    explorer: FlowExplorer,
) -> None:
    assert list(explorer.method.options) == ["dis", "farneback", "exact"]
    assert "end-point error" in explorer.caption.value
    explorer.method.value = "exact"
    assert "end-point error" not in explorer.caption.value
    assert "exact" not in FlowExplorer([plain_clip()], methods=("dis",)).method.options


def test_errors_are_shown_where_the_motion_is_known(learnt: FlowExplorer) -> None:
    learnt.display.value = "error"
    assert "Yellow is an error of" in learnt.caption.value
    learnt.method.value = "exact"
    assert "no error" in learnt.caption.value
    assert (pixels(learnt.motion.value) == pixels(learnt.motion.value)[0, 0]).all()
    learnt.clip.value = 0
    assert "error" not in dict(learnt.display.options).values()
    assert (learnt.display.value, learnt.method.value) == ("colour", "gru")
    assert "error" not in learnt.caption.value
    assert learnt.motion.value


def test_the_error_is_shown_on_the_scale_of_the_apex(learnt: FlowExplorer) -> None:
    learnt.display.value = "error"
    scale = learnt.caption.value.partition("Yellow")[2]
    learnt.frame.value = learnt.frame.min + 1
    assert learnt.caption.value.partition("Yellow")[2] == scale


def test_iterations_can_be_chosen_where_there_are_any(learnt: FlowExplorer) -> None:
    assert not learnt.update.disabled
    assert [name for name, _ in learnt.update.options] == [
        "1/8, update 1",
        "1/4, update 1",
        "1/4, update 2",
    ]
    assert learnt.update.label == "1/4, update 2", "it opens with the result"
    assert "after 1/4, update 2" in learnt.caption.value
    last, face = learnt.motion.value, learnt.face.value
    learnt.update.value = 0
    assert learnt.motion.value != last
    assert "after 1/8, update 1" in learnt.caption.value
    learnt.magnification.value = 9
    assert learnt.face.value != face
    learnt.update.value = 2
    assert learnt.motion.value == last


@pytest.mark.parametrize("method", ["dis", "exact"])
def test_the_iteration_control_rests_for_other_methods(learnt: FlowExplorer, method: str) -> None:
    learnt.update.value = 0
    learnt.method.value = method
    assert learnt.update.disabled
    assert learnt.update.label == "none"
    assert "after" not in learnt.caption.value.partition("Flow by")[2]
    learnt.method.value = "gru"
    assert not learnt.update.disabled
    assert learnt.update.label == "1/4, update 2"


def test_an_iteration_stays_chosen_with_another_frame_or_clip(learnt: FlowExplorer) -> None:
    learnt.update.value = 1
    learnt.frame.value = learnt.frame.min + 1
    learnt.clip.value = 2
    assert learnt.update.value == 1


def test_the_legend_is_of_the_display(explorer: FlowExplorer) -> None:
    shapes = {}
    for display in ("colour", "strain", "error"):
        explorer.display.value = display
        shapes[display] = pixels(explorer.legend.value).shape
        assert explorer.legend.layout.display == ""
    assert shapes["strain"] == shapes["error"] != shapes["colour"]
    explorer.display.value = "quiver"
    assert explorer.legend.layout.display == "none"


def test_arrows_are_sharper_than_the_grid_that_is_pointed_into(explorer: FlowExplorer) -> None:
    assert explorer.motion.size == (224, 224)
    explorer.display.value = "quiver"
    assert explorer.motion.size == (224, 224)
    assert pixels(explorer.motion.value).shape == (448, 448, 3)


def test_a_point_of_the_flow_can_be_read(explorer: FlowExplorer) -> None:
    assert explorer.reading.value == ""
    face, motion = explorer.face.value, explorer.motion.value
    explorer.method.value = "exact"
    clip = synthetic(subjects=2, clips=4)[0]
    u, v = clip.frames.flow(clip.onset, clip.apex)[:, 150, 90]
    explorer.motion.point = (90, 150)
    assert "Column 90, row 150" in explorer.reading.value
    assert f"Flow by exact: u {u:+.2f} px, v {v:+.2f} px" in explorer.reading.value
    assert explorer.face.point == pytest.approx((90 + u, 150 + v))
    explorer.method.value = "dis"
    assert "Flow by dis" in explorer.reading.value
    assert f"Exact flow: u {u:+.2f} px, v {v:+.2f} px" in explorer.reading.value
    assert "px apart" in explorer.reading.value
    assert (explorer.face.value, explorer.motion.value) == (face, motion)


def test_pictures_are_small(explorer: FlowExplorer) -> None:
    for _, display in explorer.display.options:
        explorer.display.value = display
        assert explorer.motion.format == "jpeg"
        assert len(explorer.motion.value) < 160_000
    explorer.display.value = "colour"
    assert len(explorer.motion.value) < 40_000


def test_the_reading_follows_the_controls(explorer: FlowExplorer) -> None:
    explorer.motion.point = (90, 150)
    seen = [explorer.reading.value]
    for control, value in (("steady", True), ("frame", 3), ("clip", 2)):
        getattr(explorer, control).value = value
        assert explorer.reading.value not in seen
        seen.append(explorer.reading.value)
    explorer.motion.point = None
    assert (explorer.reading.value, explorer.face.point) == ("", None)


def test_the_cross_on_a_magnified_face_goes_as_far_as_the_face(explorer: FlowExplorer) -> None:
    explorer.motion.point = (90, 150)
    near = np.subtract(explorer.face.point, (90, 150))
    explorer.magnification.value = 10
    assert np.subtract(explorer.face.point, (90, 150)) == pytest.approx(10 * near, rel=1e-4)


def test_a_point_outside_the_next_clip_is_let_go(learnt: FlowExplorer) -> None:
    learnt.motion.point = (90, 150)
    learnt.clip.value = 0
    assert (learnt.motion.point, learnt.motion.size) == (None, (32, 32))
    assert not learnt.problem.value


def test_the_views_say_what_they_show(explorer: FlowExplorer) -> None:
    assert explorer.motion.label == "Colour wheel: flow by dis"
    explorer.display.value = "strain"
    assert explorer.motion.label == "Strain: flow by dis"
    assert explorer.face.label == f"Face, frame {explorer.frame.value}"


def test_the_frame_slider_fits_every_clip(explorer: FlowExplorer) -> None:
    for number, clip in enumerate(synthetic(subjects=2, clips=4)):
        explorer.clip.value = number
        assert (explorer.frame.min, explorer.frame.max) == (clip.onset, clip.apex)
        assert explorer.frame.value == clip.apex
        assert not explorer.problem.value


class Spoilt(list):
    """Frames of which one cannot be read."""

    def __init__(self, error: Exception) -> None:
        super().__init__([np.full((32, 32, 3), shade, np.uint8) for shade in (0, 40, 80)])
        self.error = error

    def __getitem__(self, index: int) -> np.ndarray:
        if index == 1:
            raise self.error
        return super().__getitem__(index)


def spoilt_clip(error: Exception) -> Clip:
    return Clip(
        ClipKey("d", "s", "c"),
        0,
        Spoilt(error),
        onset=0,
        apex=2,
        offset=2,
        fps=100.0,
        classes=MEGC3.classes,
    )


def test_an_input_error_is_told_and_gone_with_the_next_frame() -> None:
    error = InputError("cut off", where="img_<1>.jpg", hint="copy it again")
    explorer = FlowExplorer([spoilt_clip(error)], methods=("dis",))
    explorer.frame.value = 1
    assert "img_&lt;1&gt;.jpg: cut off; copy it again" in explorer.problem.value
    explorer.motion.point = (3, 3)
    assert (explorer.face.value, explorer.motion.value) == (b"", b"")
    assert (explorer.reading.value, explorer.face.point) == ("", None)
    explorer.frame.value = 2
    assert "Column 3, row 3" in explorer.reading.value
    assert not explorer.problem.value
    assert explorer.motion.value


def test_an_unknown_method_is_refused_at_once() -> None:
    with pytest.raises(InputError, match="did you mean 'dis'"):
        FlowExplorer(synthetic(subjects=2, clips=4), methods=("diss",))


def test_clips_may_have_names_and_no_known_rate() -> None:
    clip = replace(plain_clip(), fps=0.0)
    explorer = FlowExplorer({"mine": clip, "again": clip}, methods=("dis",))
    assert [name for name, _ in explorer.clip.options] == ["mine", "again"]
    assert "2 frames after the onset" in explorer.caption.value


def test_it_needs_a_clip() -> None:
    with pytest.raises(ValueError, match="at least one clip"):
        FlowExplorer([])
