import time

import cv2
import numpy as np
import pytest

from hmrm_lab.datasets.synthetic import synthetic
from hmrm_lab.errors import InputError
from hmrm_lab.records import Clip, ClipKey

pytest.importorskip("ipywidgets", reason="the extra 'jupyter' is not installed")

from hmrm_widgets import FlowExplorer

CONTROLS = ("clip", "method", "frame", "magnification", "display", "steady")


@pytest.fixture
def explorer() -> FlowExplorer:
    return FlowExplorer(synthetic(subjects=2, clips=4), methods=("dis", "farneback"))


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
    plain = [np.zeros((32, 32, 3), np.uint8)] * 3
    recorded = Clip(ClipKey("d", "s", "c"), 0, plain, onset=0, apex=2, offset=2, fps=100.0)
    assert "exact" not in FlowExplorer([recorded], methods=("dis",)).method.options


def test_the_frame_slider_fits_every_clip(explorer: FlowExplorer) -> None:
    for number, clip in enumerate(synthetic(subjects=2, clips=4)):
        explorer.clip.value = number
        assert (explorer.frame.min, explorer.frame.max) == (clip.onset, clip.apex)
        assert explorer.frame.value == clip.apex
        assert not explorer.problem.value


def test_every_control_is_labelled(explorer: FlowExplorer) -> None:
    assert all(getattr(explorer, name).description for name in CONTROLS)


def test_cached_frames_are_quick(explorer: FlowExplorer) -> None:
    frames = range(explorer.frame.min, explorer.frame.max + 1)
    for frame in frames:
        explorer.frame.value = frame
    assert explorer.frame.value == explorer.frame.max
    seconds = []
    for frame in frames:
        started = time.perf_counter()
        explorer.frame.value = frame
        seconds.append(time.perf_counter() - started)
    assert np.median(seconds) < 0.1


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
    return Clip(ClipKey("d", "s", "c"), 0, Spoilt(error), onset=0, apex=2, offset=2, fps=100.0)


def test_an_input_error_is_told_and_gone_with_the_next_frame() -> None:
    error = InputError("cut off", where="img_<1>.jpg", mend="copy it again")
    explorer = FlowExplorer([spoilt_clip(error)], methods=("dis",))
    explorer.frame.value = 1
    assert "img_&lt;1&gt;.jpg: cut off; copy it again" in explorer.problem.value
    assert (explorer.face.value, explorer.motion.value) == (b"", b"")
    explorer.frame.value = 2
    assert not explorer.problem.value
    assert explorer.motion.value


def test_an_error_of_the_program_is_not_swallowed() -> None:
    explorer = FlowExplorer([spoilt_clip(ZeroDivisionError("a bug"))], methods=("dis",))
    with pytest.raises(ZeroDivisionError, match="a bug"):
        explorer.frame.value = 1
    assert explorer.motion.value == b""


def test_an_unknown_method_is_refused_at_once() -> None:
    with pytest.raises(InputError, match="did you mean 'dis'"):
        FlowExplorer(synthetic(subjects=2, clips=4), methods=("diss",))


def test_it_needs_a_clip() -> None:
    with pytest.raises(ValueError, match="at least one clip"):
        FlowExplorer([])
