"""Clips that no system should be asked about, told by what their frames show."""

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pytest

from hmrm_lab.config.sections import FacesConfig
from hmrm_lab.datasets.synthetic import synthetic
from hmrm_lab.errors import InputError
from hmrm_lab.preparation.crops import Crop, crop_clip
from hmrm_lab.preparation.quality import count_warnings
from hmrm_lab.records import Clip

pytest.importorskip("dlib", reason="the extra 'faces' is not installed")

Frame = np.ndarray
ACROSS, DOWN = 88, 60  # round the drawn frame
GRIN_PX = 17


@pytest.fixture(scope="module")
def people() -> list[Clip]:
    """A clip of each of two people, from onset to offset, in a wider frame."""
    drawn = {clip.key.subject: clip for clip in synthetic(subjects=2, clips=4, seed=6)}
    return [filmed(clip) for clip in drawn.values()]


def filmed(clip: Clip) -> Clip:
    frames = [
        cv2.copyMakeBorder(clip.frames[n], DOWN, DOWN, ACROSS, ACROSS, cv2.BORDER_REPLICATE)
        for n in range(clip.onset, clip.offset + 1)
    ]
    apex, offset = clip.known_apex - clip.onset, len(frames) - 1
    return replace(clip, frames=frames, onset=0, apex=apex, offset=offset)


def edited(clip: Clip, **changes: Callable[[Frame], Frame]) -> Clip:
    """The clip with other frames for its onset, apex or offset."""
    frames = list(clip.frames)
    for name, change in changes.items():
        number = getattr(clip, name)
        frames[number] = change(frames[number])
    return replace(clip, frames=frames)


def wall(frame: Frame) -> Frame:
    noise = np.random.default_rng(0).normal(150, 6, frame.shape)
    return noise.clip(0, 255).astype(np.uint8)


def lit(share: float) -> Callable[[Frame], Frame]:
    return lambda frame: (frame * share).astype(np.uint8)


def blurred(sigma_px: float) -> Callable[[Frame], Frame]:
    return lambda frame: cv2.GaussianBlur(frame, (0, 0), sigma_px)


def grin(frame: Frame, corners: Frame) -> Frame:
    """The corners of the mouth pulled apart and up."""
    rows, columns = np.mgrid[: frame.shape[0], : frame.shape[1]].astype(np.float32)
    pull = np.zeros((2, *rows.shape), dtype=np.float32)
    for (x, y), side in zip(corners, (-0.73, 0.73), strict=True):
        near = np.maximum(1 - ((columns - x) / 70) ** 2 - ((rows - y) / 55) ** 2, 0) ** 3
        pull += GRIN_PX * np.stack([side * near, -0.68 * near])
    x, y = columns, rows
    for _ in range(60):
        x, y = (g - cv2.remap(p, x, y, 1) for g, p in zip((columns, rows), pull, strict=True))
    return cv2.remap(frame, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def grinning(clip: Clip) -> Clip:
    known = synthetic(subjects=2, clips=4, seed=6)[0]
    corners = known.frames.landmarks(known.onset)[[48, 54]] + np.float32([ACROSS, DOWN])
    return edited(clip, apex=lambda _: grin(clip.frames[0], corners))


def beside(one: Clip, other: Clip) -> Clip:
    """Two people in one picture."""
    pairs = zip(one.frames, other.frames, strict=False)
    frames = [np.hstack([a[:, 60:340], b[:, 60:340]]) for a, b in pairs]
    return replace(one, frames=frames, offset=len(frames) - 1)


def cut(clip: Clip, faces: str = "dlib", number: int = 0) -> Crop:
    return crop_clip(clip, FacesConfig(name=faces, face=number))


def codes(crop: Crop) -> list[str]:
    return [f"{warning.code} {warning.frame}".strip() for warning in crop.warnings]


def test_each_doubt_is_named_and_what_makes_an_answer_meaningless(people: list[Clip]) -> None:
    one, other = people
    everywhere = replace(one, frames=[blurred(6)(frame) for frame in one.frames])
    for clip, expected, meaningless in (
        (one, [], False),
        (edited(one, onset=lit(0)), ["dark onset", "no_face onset"], True),
        (edited(one, onset=lit(0.2)), ["dark onset"], True),
        (edited(one, apex=lit(0.7)), ["dim apex", "dim offset"], False),
        (edited(one, onset=wall), ["no_face onset"], True),
        (edited(one, apex=wall), ["no_face apex"], True),
        (edited(one, offset=wall), ["no_face offset"], True),
        (
            edited(one, apex=lambda _: other.frames[other.known_apex]),
            ["cut apex", "cut offset"],
            True,
        ),
        (edited(one, apex=blurred(2)), ["blurred apex", "blurred offset"], False),
        (everywhere, ["blurred onset", "blurred offset"], False),
        (grinning(one), ["large_motion apex", "large_motion offset"], False),
        (replace(one, fps=16), ["long"], False),
        (replace(one, fps=0), [], False),
    ):
        crop = cut(clip)
        assert codes(crop) == expected
        assert any(warning.meaningless for warning in crop.warnings) == meaningless
        left = [code for code in expected if not code.endswith(" offset")]
        assert codes(crop.without_offset()) == left


def test_an_apex_is_spotted_among_other_frames(people: list[Clip]) -> None:
    third = edited(replace(people[0], apex=3), apex=wall)
    crop = cut(replace(third, apex=None))  # the wall is no apex
    assert codes(crop) == ["interrupted"] and crop.apex_frame != 3


def test_an_apex_on_a_blink_is_named() -> None:
    """Closed eyes in the apex that is marked; the same clip with open eyes has no doubt."""
    open_eyed = synthetic(subjects=4, clips=12, seed=12)
    blinking = synthetic(subjects=4, clips=12, seed=12, blink_every=1)
    checked = 0
    for clip, plain in zip(blinking, open_eyed, strict=True):
        closing = clip.frames.script.motion.lids.closing
        if closing[clip.known_apex] - closing[clip.onset] > 0.8:
            assert "blink apex" in codes(cut(filmed(clip)))
            assert "blink apex" not in codes(cut(filmed(plain)))
            checked += 1
    assert checked


def test_a_missing_face_is_borrowed_and_counted(people: list[Clip]) -> None:
    crop = cut(edited(people[0], onset=wall))
    assert crop.face == "neighbour"
    nobody = replace(people[0], frames=[wall(frame) for frame in people[0].frames])
    assert cut(nobody).face == "template"
    counts = count_warnings([crop.warnings, cut(nobody).warnings, cut(people[0]).warnings])
    assert counts["no_face"] == 2


def test_of_several_faces_one_is_taken_and_it_is_said(people: list[Clip]) -> None:
    pair = beside(*people)
    places = {}
    for number in (0, 1, 2):
        for name in ("dlib", "mtcnn"):
            crop = cut(pair, name, number)
            assert codes(crop)[0] == "several_faces onset"
            taken = crop.warnings[0].sentence
            assert "shows 2 faces" in taken
            places[number, name] = taken.partition("number ")[2][0]
    for number in (0, 1, 2):
        assert places[number, "dlib"] == places[number, "mtcnn"]
        assert number == 0 or places[number, "dlib"] == str(number)
    with pytest.raises(InputError, match="face 3 is asked for, and the frame shows 2; count"):
        cut(pair, "dlib", 3)
