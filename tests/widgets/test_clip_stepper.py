from dataclasses import replace

import cv2
import numpy as np
import pytest
from conftest import Pixels

from hmrm_lab.datasets.synthetic import synthetic
from hmrm_lab.errors import InputError
from hmrm_lab.faces.face import Face
from hmrm_lab.faces.landmarks import face_in_frame
from hmrm_lab.records import Clip
from hmrm_lab.registry import providers

pytest.importorskip("ipywidgets", reason="the extra 'jupyter' is not installed")

from hmrm_widgets import ClipStepper

CONTROLS = ("clip", "provider", "frame", "play", "landmarks", "parts", "core", "crop")


@pytest.fixture
def clips() -> list[Clip]:
    return synthetic(subjects=2, clips=4)


@pytest.fixture
def stepper(clips: list[Clip]) -> ClipStepper:
    return ClipStepper(clips, {"template": providers["template"].build()})


def pixels(content: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)


def test_it_opens_at_the_onset(stepper: ClipStepper, clips: list[Clip]) -> None:
    assert stepper.frame.value == stepper.timer.value == clips[0].onset
    assert pixels(stepper.face.value).shape == (448, 448, 3)
    assert f"annotated apex {clips[0].apex}" in stepper.curve.value
    assert "0 ms after the onset. Landmarks that came with the clip." in stepper.caption.value


@pytest.mark.parametrize(
    ("control", "value"),
    [
        ("frame", 6),
        ("provider", "template"),
        ("landmarks", False),
        ("parts", True),
        ("core", True),
        ("crop", True),
        ("clip", 2),
    ],
)
def test_each_control_changes_the_face(stepper: ClipStepper, control: str, value: object) -> None:
    before = stepper.face.value
    getattr(stepper, control).value = value
    assert stepper.face.value != before
    assert not stepper.problem.value


def test_playing_moves_frame_and_curve(stepper: ClipStepper) -> None:
    before = stepper.curve.value
    stepper.play.value = True
    assert stepper.timer.playing
    stepper.timer.value += 1
    assert stepper.frame.value == stepper.timer.value
    assert f"Frame {stepper.frame.value} " in stepper.caption.value
    assert stepper.curve.value != before


def test_frames_fit_every_clip(stepper: ClipStepper, clips: list[Clip]) -> None:
    stepper.frame.value = stepper.frame.max
    for number in (3, 1, 0, 2):
        clip = clips[number]
        stepper.clip.value = number
        for control in (stepper.frame, stepper.timer):
            assert (control.min, control.max, control.value) == (
                clip.onset,
                clip.offset,
                clip.onset,
            )
        assert not stepper.problem.value


def test_clips_that_share_no_frame_number(clips: list[Clip]) -> None:
    early, late = (replace(clips[0], onset=a, apex=a + 2, offset=a + 5) for a in (0, 9))
    stepper = ClipStepper([early, late, early])
    for number, first in ((1, 9), (2, 0)):
        stepper.clip.value = number
        for control in (stepper.frame, stepper.timer):
            assert (control.min, control.max, control.value) == (first, first + 5, first)
        assert not stepper.problem.value


def test_it_says_how_a_face_was_come_by(clips: list[Clip]) -> None:
    shown = [clips[0].onset]

    def only_the_first(frame: np.ndarray) -> Face | None:
        shown.append(0)
        found = face_in_frame(*frame.shape[:2])
        return Face(found.box, found.points, 1.0, "mine") if len(shown) == 2 else None

    recorded = replace(clips[0], frames=Pixels(clips[0].frames), apex=None)
    stepper = ClipStepper([recorded], {"mine": only_the_first})
    assert list(stepper.provider.options) == ["mine"]
    assert "Face by mine: detected." in stepper.caption.value
    stepper.frame.value += 2
    assert f"taken over from frame {recorded.onset}." in stepper.caption.value
    assert "annotated apex" not in stepper.curve.value


def test_parts_have_a_legend(stepper: ClipStepper) -> None:
    assert "mouth" not in stepper.caption.value
    stepper.parts.value = True
    assert "mouth" in stepper.caption.value


def test_an_input_error_is_told_and_gone_with_the_next_provider(clips: list[Clip]) -> None:
    def unreadable(frame: np.ndarray) -> Face | None:
        raise InputError("cut off", where="img_<1>.jpg", hint="copy it again")

    stepper = ClipStepper(clips, {"mine": unreadable})
    stepper.provider.value = "mine"
    assert "img_&lt;1&gt;.jpg: cut off; copy it again" in stepper.problem.value
    assert (stepper.face.value, stepper.curve.value) == (b"", "")
    stepper.provider.value = "exact"
    assert not stepper.problem.value
    assert stepper.face.value


def test_clips_may_have_names_and_no_known_rate(clips: list[Clip]) -> None:
    stepper = ClipStepper({"mine": replace(clips[0], fps=0.0)})
    assert stepper.clip.label == "mine"
    assert "0 frames after the onset" in stepper.caption.value


def test_it_needs_clips_and_faces(clips: list[Clip]) -> None:
    with pytest.raises(ValueError, match="needs a clip"):
        ClipStepper([])
    with pytest.raises(ValueError, match="face provider"):
        ClipStepper([replace(clips[0], frames=Pixels(clips[0].frames))])
