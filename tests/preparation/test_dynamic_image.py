"""Dynamic image and MESTI against their formulas and what they must see and not see."""

import numpy as np
import pytest

from hmrm_lab.preparation.clip_arrays import (
    apex_order,
    apex_weights,
    dynamic_image,
    mesti,
    pool,
    rank_weights,
    slope_weights,
    still_head,
    without_drift,
)

PICTURES = [dynamic_image, lambda frames: mesti(frames, 4 if len(frames) > 5 else 1)]
LENGTHS = [2, 3, 4, 7, 16, 61]


def random_clip(frames: int = 9, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (frames, 6, 5)).astype(np.uint8)


def moving(course: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A face of which one half changes along this course, and what changes."""
    face, change = np.random.default_rng(1).normal(100, 20, (2, 6, 8)).astype(np.float32)
    change[:, :4] = 0
    return face + course[:, None, None].astype(np.float32) * change, change


def test_rank_weights_are_one_step_of_rank_pooling() -> None:
    """The gradient at d = 0 asks each running mean to score above those before it."""
    for length in LENGTHS:
        means = np.stack([np.arange(length) < last for last in range(1, length + 1)])
        means = means / means.sum(1, keepdims=True)  # row t: the mean of the first t frames
        pairs = sum(means[late] - means[early] for late in range(length) for early in range(late))
        assert rank_weights(length) == pytest.approx(pairs)
        harmonic = np.concatenate([[0], np.cumsum(1 / np.arange(1, length + 1))])
        t = np.arange(1, length + 1)
        published = 2 * (length - t + 1) - (length + 1) * (harmonic[length] - harmonic[t - 1])
        assert rank_weights(length) == pytest.approx(published)
        assert rank_weights(length).sum() == pytest.approx(0, abs=1e-12)
    assert rank_weights(2) == pytest.approx([-0.5, 0.5])
    assert rank_weights(4) * 12 == pytest.approx([-29, 7, 13, 9])


def test_the_order_rises_to_the_apex_and_falls_and_no_drift_is_left() -> None:
    assert apex_order(7, 2) == pytest.approx([0, 0.5, 1, 0.75, 0.5, 0.25, 0])
    for length in LENGTHS[1:]:
        course, t = np.random.default_rng(length).normal(size=length), np.arange(length)
        slope = slope_weights(length)
        assert slope @ course / (slope @ t) == pytest.approx(np.polyfit(t, course, 1)[0])
        assert without_drift(course) @ t == pytest.approx(0, abs=1e-9)
        apex = 0.3 * (length - 1)
        columns = np.column_stack([apex_order(length, apex), t, np.ones(length)])
        fitted = np.linalg.lstsq(columns, course, rcond=None)[0][0]
        weights = apex_weights(length, apex)
        assert weights @ course / (weights @ columns[:, 0]) == pytest.approx(fitted)


def test_a_clip_without_an_offset_is_taken_to_the_apex_and_back() -> None:
    clip = random_clip()
    there_and_back = mesti(np.concatenate([clip, clip[-2::-1]]), 8)
    for apex in (8, 0):
        assert (mesti(clip, apex) == there_and_back).all()
    assert mesti(clip[:2], 1) == pytest.approx(pool(clip[:2], np.array([-1.0, 1.0])), abs=1e-6)


def test_the_head_is_held_still() -> None:
    rows, columns = np.mgrid[:112, :112].astype(np.float32)

    def frame(shift: float) -> np.ndarray:
        return 120 + 50 * np.sin((columns - shift) / 7) * np.cos((rows + shift / 2) / 9)

    moving = np.stack([frame(0.4 * time) for time in range(6)])
    left = np.abs(still_head(moving) - moving[0])[:, 8:-8, 8:-8].max((1, 2))
    assert left.max() < 0.15 * np.abs(moving[-1] - moving[0]).max()
    assert (still_head(moving[:1].repeat(3, axis=0)) == moving[0]).all()


@pytest.mark.parametrize("picture", PICTURES)
def test_scale_and_shape(picture) -> None:
    for kind in (np.uint8, np.float32):
        clip = random_clip().astype(kind)
        made = picture(clip)
        assert made.shape == (6, 5)
        assert made.dtype == np.float32
        assert np.sqrt(np.mean(made.astype(float) ** 2)) == pytest.approx(1, abs=1e-6)
        assert picture(40 + 0.5 * clip.astype(np.float32)) == pytest.approx(made, abs=1e-4)
    for length in (2, 9):
        still = np.repeat(np.random.default_rng(0).random((1, 6, 5), np.float32), length, axis=0)
        assert (picture(still) == 0).all()
    for shape in ((1, 6, 5), (0, 6, 5), (6, 5), (4, 6, 5, 3)):
        with pytest.raises(ValueError, match=r"two frames or more|must be"):
            dynamic_image(np.zeros(shape, np.uint8))


def test_a_rise_and_fall_is_the_change_itself() -> None:
    clip, change = moving(np.sin(np.pi * np.linspace(0, 1, 12)))
    expected = change / np.sqrt(np.mean(change**2))
    assert mesti(clip, 5.5) == pytest.approx(expected, abs=1e-4)
    assert (pool(clip, slope_weights(12)) == 0).all(), "a slope loses it"

    drift, change = moving(np.linspace(0, 3, 12))
    assert (mesti(drift, 4) == 0).all(), "an even drift is no movement"
    assert dynamic_image(drift) == pytest.approx(change / np.sqrt(np.mean(change**2)), abs=1e-4)
