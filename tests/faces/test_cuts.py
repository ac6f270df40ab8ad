"""Cuts in clips of drawn faces, and what only looks like one."""

from collections.abc import Callable

import cv2
import numpy as np

from hmrm_lab.datasets.synthetic import synthetic
from hmrm_lab.faces.apex import same_scene, spot_apex, to_grey
from hmrm_lab.faces.landmarks import mean_face

LATE, FLASH = 13, 4  # frames; the apexes of these clips lie between

Frame = np.ndarray
Change = Callable[[int, Frame], Frame]


def find_cut(frames: list[Frame], onset: int, offset: int) -> int | None:
    """The first frame that is of another scene, or dark."""
    seen = same_scene([to_grey(frames[n]) for n in range(onset, offset + 1)])
    return None if seen.all() else onset + int(seen.argmin())


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


def brighter(frame: Frame) -> Frame:
    return cv2.convertScaleAbs(frame, alpha=1.25, beta=10)


def grey(frame: Frame) -> Frame:
    return (frame * 0.05).astype(np.uint8)


def moved(frame: Frame) -> Frame:
    return np.roll(frame, (-4, 6), axis=(0, 1))


def test_what_a_cut_is_and_what_is_none() -> None:
    clip, other = synthetic(subjects=2, clips=2, seed=14)
    stranger = other.frames[other.onset]
    changes: dict[str, tuple[Change, int | None]] = {
        "nothing": (lambda _, frame: frame, None),
        "another face": (after(LATE, lambda _: stranger), LATE),
        "a wall": (after(LATE, wall), LATE),
        "a wall at once": (after(1, wall), 1),
        "another camera": (after(LATE, nearer), LATE),
        "black frames": (after(LATE, np.zeros_like), LATE),
        "a dark frame": (at(FLASH, grey), FLASH),
        "a face for one frame": (at(FLASH, lambda _: stranger), FLASH),
        "faded to black": (lambda n, f: (f * np.clip((15.1 - n) / 4, 0, 1)).astype(np.uint8), 15),
        "a lamp": (after(8, brighter), None),
        "noise": (lambda _, frame: noisy(frame), None),
        "a jolt": (after(8, moved), None),
        "compression": (lambda n, f: cv2.GaussianBlur(f, (0, 0), 1.0 if n % 5 else 0.5), None),
    }
    for name, (change, cut) in changes.items():
        frames = [change(n, clip.frames[n]) for n in range(16)]
        assert find_cut(frames, 0, 15) == cut, name
        found = spot_apex(frames, clip.frames.landmarks(0), 0, 15)
        assert found.cut == cut, name
        if cut is not None:
            assert cut not in found.frames.tolist(), name
            assert found.apex < cut or cut in (1, FLASH), name
        if cut == FLASH:
            assert set(range(FLASH + 1, 16)) < set(found.frames.tolist()), "the scene comes back"


def test_a_blink_within_one_frame_is_no_cut() -> None:
    for clip in synthetic(subjects=4, clips=6, seed=14, blink_every=1):
        closing = clip.frames.script.motion.lids.closing
        pair = [clip.frames[int(closing.argmin())], clip.frames[int(closing.argmax())]]
        assert find_cut(pair, 0, 1) is None


def test_a_clip_whose_scene_ends_with_the_onset_is_a_guess() -> None:
    frames = [np.zeros((224, 224, 3), np.uint8), *[wall(np.zeros((224, 224, 3)))] * 4]
    found = spot_apex(frames, mean_face())
    assert (found.spotted, found.cut) == (False, 1)
