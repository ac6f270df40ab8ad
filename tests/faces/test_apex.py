"""Apex, blinks and cuts, on clips made by hand and on procedural ones that chose no constant."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from hmrm_lab.datasets.synthetic import synthetic
from hmrm_lab.errors import InputError
from hmrm_lab.faces.apex import is_blink, same_scene, spot_apex, to_grey
from hmrm_lab.faces.landmarks import mean_face

SEED_NOT_TUNED_ON = 14  # the constants of `apex` were chosen on seed 11
LATE, FLASH = 13, 4  # frames; the apexes of the clips with cuts lie between

Frame = np.ndarray
Change = Callable[[int, Frame], Frame]


def skin() -> Frame:
    noise = np.random.default_rng(0).uniform(0, 255, (224, 224)).astype(np.float32)
    return cv2.GaussianBlur(noise, (0, 0), 5) * 4 - 380


def smiling(strengths: list[float], noise: float = 0.5, shift_px: float = 0.0) -> list[Frame]:
    """The mouth moves up by these many pixels; the head by `shift_px` a frame to the right."""
    rng = np.random.default_rng(1)
    rows, columns = np.mgrid[:224, :224].astype(np.float32)
    mouth = mean_face()[48:68].mean(axis=0)
    bump = np.exp(-((columns - mouth[0]) ** 2 + (rows - mouth[1]) ** 2) / (2 * 20**2))
    pictures = []
    for number, strength in enumerate(strengths):
        where = columns - shift_px * number, rows + strength * bump
        picture = cv2.remap(skin(), *where, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        picture = picture + rng.normal(0, noise, picture.shape)
        pictures.append(np.repeat(picture.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2))
    return pictures


@pytest.mark.parametrize(("apex", "shift_px"), [(1, 0.4), (4, 0.0), (4, 0.4), (7, 0.4)])
def test_the_peak_is_found_wherever_it_is(apex: int, shift_px: float) -> None:
    strengths = np.interp(range(9), [0, apex, 8], [0, 1.5, 0]).tolist()
    found = spot_apex(smiling(strengths, shift_px=shift_px), mean_face())
    assert (found.apex, found.spotted) == (apex, True)
    assert found.frames.tolist() == list(range(9))
    assert found.curve.shape == (9,)
    assert max(found.parts, key=lambda name: found.parts[name].max()) == "mouth"


def test_a_part_of_a_clip() -> None:
    inner = smiling([3, 3, 0, 0.5, 1.2, 0.5, 0, 3, 3])
    found = spot_apex(inner, mean_face(), onset=2, offset=6)
    assert (found.apex, found.frames.tolist()) == (4, [2, 3, 4, 5, 6])
    with pytest.raises(InputError, match="outside the frame"):
        spot_apex(smiling([0, 1, 0]), mean_face() + 500)
    for onset, offset in ((3, 2), (-1, 2), (0, 4)):
        with pytest.raises(InputError, match="4 frames"):
            spot_apex(smiling([0, 1, 1, 0]), mean_face(), onset, offset)


def test_a_still_or_short_clip_has_a_guessed_apex() -> None:
    for length, guess in ((1, 0), (2, 1), (9, 4)):
        found = spot_apex(smiling([0] * length, noise=0), mean_face())
        assert (found.apex, found.spotted) == (guess, False)
        assert (found.curve == 0).all()
    two = spot_apex(smiling([0, 2]), mean_face())
    assert (two.apex, two.spotted) == (1, False)
    black = [np.zeros((224, 224, 3), np.uint8), *[wall(np.zeros((224, 224, 3)))] * 4]
    found = spot_apex(black, mean_face())
    assert (found.spotted, found.cut) == (False, 1)


@pytest.mark.slow
@pytest.mark.parametrize(("every", "blinks"), [(0, 0.0), (1, 1.0)])
def test_the_apex_of_procedural_clips_is_found_within_one_frame(every: int, blinks: float) -> None:
    errors, middles, recognised = [], [], []
    for clip in synthetic(seed=SEED_NOT_TUNED_ON, blink_every=every)[::12]:
        onset = clip.frames.landmarks(clip.onset)
        found = spot_apex(clip.frames, onset, clip.onset, clip.offset)
        errors.append(abs(found.apex - clip.apex))
        middles.append(abs((clip.onset + clip.offset) // 2 - clip.apex))
        recognised.append(bool(found.blinks))
        assert found.cut is None
    assert np.mean(np.array(errors) <= 1) >= 0.9
    assert np.mean(errors) < 0.75 * np.mean(middles), "better than a guess at the middle"
    assert np.mean(recognised) == blinks


def test_closing_eyes_are_told_from_lids_that_move_with_the_brows() -> None:
    blinking = synthetic(seed=SEED_NOT_TUNED_ON, blink_every=1)
    strong = synthetic(seed=SEED_NOT_TUNED_ON, difficulty=0.0)
    lids = [clip for clip in strong if {"5", "6", "7"} & set(clip.frames.script.units)]
    shut = 0
    for clip in blinking[:5]:
        closing, at = clip.frames.script.motion.lids.closing, clip.frames.landmarks(clip.onset)
        closed = int(closing[clip.onset + 1 : clip.offset].argmax()) + clip.onset + 1
        if closing[clip.onset] < 0.1:
            shut += 1
            assert is_blink(clip.frames, at, clip.onset, closed)
            found = spot_apex(clip.frames, at, clip.onset, clip.offset)
            assert closed in found.blinks
            assert not any(name.startswith("eye") for name in found.parts)
        pair = [clip.frames[int(closing.argmin())], clip.frames[int(closing.argmax())]]
        assert same_scene([to_grey(frame) for frame in pair]).all(), "a blink is no cut"
    assert shut
    for clip in lids[:3]:
        at = clip.frames.landmarks(clip.onset)
        assert not is_blink(clip.frames, at, clip.onset, clip.apex)
        assert "eye_left" in spot_apex(clip.frames, at, clip.onset, clip.offset).parts
    at = blinking[0].frames.landmarks(0)
    top, bottom = int(at[36:48, 1].min()), int(at[36:48, 1].max()) + 1
    alone = [blinking[0].frames[n][top:bottom] for n in range(len(blinking[0].frames))]
    found = spot_apex(alone, at - np.float32([0, top]))
    assert found.spotted and found.blinks == (), "eyes alone are all that is looked at"


def after(number: int, change: Callable[[Frame], Frame]) -> Change:
    return lambda n, frame: change(frame) if n >= number else frame


def at(number: int, change: Callable[[Frame], Frame]) -> Change:
    return lambda n, frame: change(frame) if n == number else frame


def nearer(frame: Frame) -> Frame:
    """The same face as another camera shows it."""
    matrix = cv2.getRotationMatrix2D((112, 112), 3, 1.12) + np.float32([[0, 0, 9], [0, 0, -6]])
    return cv2.warpAffine(frame, matrix, (224, 224), borderMode=cv2.BORDER_REPLICATE)


def noisy(frame: Frame) -> Frame:
    grain = np.random.default_rng(int(frame.sum()) % 99).normal(0, 12, frame.shape)
    return (frame + grain).clip(0, 255).astype(np.uint8)


def wall(frame: Frame) -> Frame:
    return noisy(np.full_like(frame, 120))


def stranger(_: Frame) -> Frame:
    other = synthetic(subjects=2, clips=2, seed=SEED_NOT_TUNED_ON)[1]
    return other.frames[other.onset]


def faded(number: int, frame: Frame) -> Frame:
    return (frame * np.clip((15.1 - number) / 4, 0, 1)).astype(np.uint8)


CHANGES: dict[str, tuple[Change, int | None]] = {
    "another face": (after(LATE, stranger), LATE),
    "a wall at once": (after(1, wall), 1),
    "another camera": (after(LATE, nearer), LATE),
    "black frames": (after(LATE, np.zeros_like), LATE),
    "a dark frame": (at(FLASH, lambda frame: (frame * 0.05).astype(np.uint8)), FLASH),
    "a face for one frame": (at(FLASH, stranger), FLASH),
    "faded to black": (faded, 15),
    "a lamp": (after(8, lambda frame: cv2.convertScaleAbs(frame, alpha=1.25, beta=10)), None),
    "noise": (lambda _, frame: noisy(frame), None),
    "a jolt": (after(8, lambda frame: np.roll(frame, (-4, 6), axis=(0, 1))), None),
    "compression": (lambda n, f: cv2.GaussianBlur(f, (0, 0), 1.0 if n % 5 else 0.5), None),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_a_cut_is_and_what_is_none(name: str) -> None:
    clip = synthetic(subjects=2, clips=2, seed=SEED_NOT_TUNED_ON)[0]
    change, cut = CHANGES[name]
    frames = [change(n, clip.frames[n]) for n in range(16)]
    found = spot_apex(frames, clip.frames.landmarks(0), 0, 15)
    assert found.cut == cut
    if cut is not None:
        assert cut not in found.frames.tolist()
        assert found.apex < cut or cut in (1, FLASH)
    if cut == FLASH:
        assert set(range(FLASH + 1, 16)) < set(found.frames.tolist()), "the scene comes back"
