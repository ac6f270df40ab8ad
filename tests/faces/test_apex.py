"""Apex spotting on clips made by hand, and on procedural ones that no constant was chosen on."""

from itertools import product

import cv2
import numpy as np
import pytest

from hmrm_lab.datasets.synthetic import synthetic
from hmrm_lab.errors import InputError
from hmrm_lab.faces.apex import is_blink, spot_apex
from hmrm_lab.faces.landmarks import mean_face

SEED_NOT_TUNED_ON = 14  # the constants of `apex` were chosen on seed 11


def skin() -> np.ndarray:
    noise = np.random.default_rng(0).uniform(0, 255, (224, 224)).astype(np.float32)
    return cv2.GaussianBlur(noise, (0, 0), 5) * 4 - 380


def smiling(strengths: list[float], noise: float = 0.5, shift_px: float = 0.0) -> list[np.ndarray]:
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


def test_the_peak_is_found_wherever_it_is() -> None:
    for apex, shift_px in product((1, 4, 7), (0.0, 0.4)):
        strengths = np.interp(range(9), [0, apex, 8], [0, 1.5, 0]).tolist()
        found = spot_apex(smiling(strengths, shift_px=shift_px), mean_face())
        assert (found.apex, found.spotted) == (apex, True)
        assert found.frames.tolist() == list(range(9))
        assert found.curve.shape == (9,)
        assert max(found.parts, key=lambda name: found.parts[name].max()) == "mouth"
    ending = spot_apex(smiling([0, 0, 0.2, 0.6, 1.1, 1.6]), mean_face(), to_offset=False)
    assert ending.apex == 5, "a clip may end at its apex"
    inner = smiling([3, 3, 0, 0.5, 1.2, 0.5, 0, 3, 3])
    found = spot_apex(inner, mean_face(), onset=2, offset=6)
    assert (found.apex, found.frames.tolist()) == (4, [2, 3, 4, 5, 6])


def test_a_still_or_short_clip_has_a_guessed_apex() -> None:
    for length, guess in ((1, 0), (2, 1), (9, 4)):
        found = spot_apex(smiling([0] * length, noise=0), mean_face())
        assert (found.apex, found.spotted) == (guess, False)
        assert (found.curve == 0).all()
    two = spot_apex(smiling([0, 2]), mean_face())
    assert (two.apex, two.spotted) == (1, False)


def test_frames_and_faces_outside_are_refused() -> None:
    with pytest.raises(InputError, match="outside the frame"):
        spot_apex(smiling([0, 1, 0]), mean_face() + 500)
    for onset, offset in ((3, 2), (-1, 2), (0, 4)):
        with pytest.raises(InputError, match="4 frames"):
            spot_apex(smiling([0, 1, 1, 0]), mean_face(), onset, offset)


def test_the_apex_of_procedural_clips_is_found_within_one_frame() -> None:
    for every, blinks in ((0, 0.0), (1, 1.0)):
        errors, middles, recognised = [], [], []
        for clip in synthetic(seed=SEED_NOT_TUNED_ON, blink_every=every)[::8]:
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
    lids = [clip for clip in strong if {"AU5", "AU6", "AU7"} & set(clip.frames.script.units)]
    shut = 0
    for clip in blinking[:5]:
        closing, at = clip.frames.script.motion.lids.closing, clip.frames.landmarks(clip.onset)
        closed = int(closing[clip.onset + 1 : clip.offset].argmax()) + clip.onset + 1
        if closing[clip.onset] < 0.1:
            shut += 1
            assert is_blink(clip.frames, at, clip.onset, closed)
            found = spot_apex(clip.frames, at, clip.onset, clip.offset)
            assert closed in found.blinks
            assert found.blink == (found.apex in found.blinks)
            assert not any(name.startswith("eye") for name in found.parts)
    assert shut
    for clip in lids[:3]:
        at = clip.frames.landmarks(clip.onset)
        assert not is_blink(clip.frames, at, clip.onset, clip.apex)
        assert "eye_left" in spot_apex(clip.frames, at, clip.onset, clip.offset).parts


def test_eyes_alone_in_the_frame_are_all_that_is_looked_at() -> None:
    clip = synthetic(subjects=2, clips=2, seed=SEED_NOT_TUNED_ON, blink_every=1)[0]
    at = clip.frames.landmarks(0)
    top, bottom = int(at[36:48, 1].min()), int(at[36:48, 1].max()) + 1
    seen = [clip.frames[n][top:bottom] for n in range(len(clip.frames))]
    found = spot_apex(seen, at - np.float32([0, top]))
    assert found.spotted
    assert found.blinks == ()
