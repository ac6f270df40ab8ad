"""Dynamic image and MESTI against their formulas and what they must see and not see."""

import numpy as np
import pytest

from hmrm_lab.preparation.clip_arrays import (
    dynamic_image,
    hump_weights,
    mesti,
    pool,
    rank_weights,
    slope_weights,
)

PICTURES = [dynamic_image, mesti]
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


def test_slope_and_hump_are_those_of_least_squares() -> None:
    for length in LENGTHS:
        course, t = np.random.default_rng(length).normal(size=length), np.arange(length)
        slope, hump = slope_weights(length), hump_weights(length)
        assert slope @ course / (slope @ t) == pytest.approx(np.polyfit(t, course, 1)[0])
        if length > 2:
            assert hump @ course / (hump @ t**2) == pytest.approx(np.polyfit(t, course, 2)[0])
        assert hump.sum() == hump @ t == 0
        assert (hump == hump[::-1]).all()


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
            picture(np.zeros(shape, np.uint8))


def test_a_rise_and_fall_is_the_change_itself() -> None:
    clip, change = moving(np.sin(np.pi * np.linspace(0, 1, 12)))
    expected = change / np.sqrt(np.mean(change**2))
    assert mesti(clip) == pytest.approx(expected, abs=1e-4)
    assert (pool(clip, slope_weights(12)) == 0).all(), "a slope loses it"

    drift, change = moving(np.linspace(0, 3, 12))
    assert (mesti(drift) == 0).all(), "an even drift is no movement"
    assert dynamic_image(drift) == pytest.approx(change / np.sqrt(np.mean(change**2)), abs=1e-4)
