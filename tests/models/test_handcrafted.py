"""Descriptors against patterns made by hand, and the support vector machine against its library."""

from functools import partial
from itertools import product
from unittest.mock import Mock

import numpy as np
import pytest
from conftest import make_flowset
from sklearn.svm import SVC

from hmrm_lab.errors import ConfigError
from hmrm_lab.models.handcrafted import svm as svm_module
from hmrm_lab.models.handcrafted.binary_patterns import (
    PLANES,
    UNIFORM,
    block_histograms,
    completed_planes,
    line_codes,
    pattern_codes,
    projected_patterns,
    three_planes,
    uniform_labels,
)
from hmrm_lab.models.handcrafted.flow_blocks import main_directions, weighted_orientations
from hmrm_lab.models.handcrafted.svm import NestedSVM, couple, standardise_by
from hmrm_lab.models.interface import cached_descriptor


def test_codes_agree_with_a_naive_loop_on_every_plane() -> None:
    rng = np.random.default_rng(2)
    clip = rng.integers(0, 256, (7, 8, 8)).astype(np.float32)
    places = [(2, 2, 2), (3, 4, 5), (4, 5, 2)]
    for radii, (up, right), place in product([(1, 1, 1), (1, 2, 2), (2, 1, 1)], PLANES, places):
        expected = 0
        for point in range(8):
            at = np.array(place, float)
            at[up] -= radii[up] * np.sin(np.pi * point / 4)
            at[right] += radii[right] * np.cos(np.pi * point / 4)
            low = np.floor(at + 1e-9).astype(int)
            value = 0.0
            for corner in np.ndindex(2, 2, 2):
                weight = np.prod(1 - np.abs(at - (low + corner)))
                if weight > 1e-6:
                    value += weight * clip[tuple(low + corner)]
            expected |= (value >= clip[place] - 1e-3) << point
        codes = pattern_codes(clip, (up, right), radii)
        assert codes[tuple(np.subtract(place, radii))] == expected
        flat = np.full(clip.shape, 123, np.float32)
        assert (pattern_codes(flat, (up, right), radii) == 255).all()


def test_uniform_patterns_are_58_and_one_label_for_the_rest() -> None:
    labels = uniform_labels()
    assert labels.max() == UNIFORM - 1 == 58
    assert np.bincount(labels)[:58].tolist() == [1] * 58
    assert labels[0b10000001] != 58  # once round: the first and the last place are neighbours
    assert labels[0b00001010] == 58


def test_histograms_are_shares_of_each_block() -> None:
    labels = np.zeros((2, 4, 4), np.int64)
    labels[:, :2, 2:] = 1
    labels[1, 2:, :2] = 2
    found = block_histograms(labels, 3, 2)
    assert found.tolist() == [[[1, 0, 0], [0, 1, 0]], [[0.5, 0, 0.5], [1, 0, 0]]]


def test_clip_descriptions_have_their_lengths_and_see_motion() -> None:
    rng = np.random.default_rng(0)
    still = np.repeat(rng.integers(0, 256, (1, 50, 50)), 8, axis=0).astype(np.uint8)
    moving = np.stack([np.roll(frame, t, axis=1) for t, frame in enumerate(still)])
    for describe, length in (
        (partial(three_planes, blocks=5, radius=1, radius_t=2), 3 * 25 * 59),
        (partial(completed_planes, blocks=5, radius=1, radius_t=2), 25 * (6 * 59 + 2)),
        (partial(projected_patterns, blocks=5, radius_t=1), 25 * 4 * 59),
    ):
        ours = describe(still)
        assert ours.shape == (length,)
        assert not np.allclose(ours, describe(moving))
        for _ in range(2):  # computed, and read again
            assert (cached_descriptor(describe)(still) == ours).all()
    found = projected_patterns(still, blocks=5, radius_t=1).reshape(-1, 59)
    assert (found[:, uniform_labels()[255]] == 1).all()  # differences from the first frame are 0


def test_patterns_of_lines() -> None:
    line = np.zeros((1, 9), np.float32)
    line[0, 4] = 5
    assert line_codes(line).item() == 0
    line[0, 5] = 5  # the first step to the right
    assert line_codes(line).item() == 1
    line[0, 3] = 5  # the first step to the left comes last
    assert line_codes(line).item() == 0b10000001


def test_blocks_that_do_not_fit_are_refused_in_one_sentence() -> None:
    clip, motion = np.zeros((8, 50, 50), np.uint8), np.zeros((3, 28, 28), np.float32)
    with pytest.raises(ConfigError, match="6 blocks of at least 9 pixels a side do not fit 50 x"):
        projected_patterns(clip, blocks=6, radius_t=1)
    with pytest.raises(ConfigError, match=r"40 blocks a side .* 28 x 28 .* smaller model\.blocks"):
        weighted_orientations(motion, blocks=40, bins=8)
    with pytest.raises(ConfigError, match=r"29 blocks a side .* smaller model\.grid"):
        main_directions(motion[:2], grid=29, bins=8)


def test_strain_weighs_blocks_and_length_weighs_pixels_of_a_bin() -> None:
    motion = np.zeros((3, 28, 28), np.float32)
    motion[0], motion[1], motion[2] = 3.0, 4.0, 0.5
    found = weighted_orientations(motion, blocks=4, bins=8).reshape(16, 8)
    expected = np.zeros(8)
    expected[1] = 49 * 5 * 0.5  # 53 degrees: the second bin; 49 pixels of length 5, strain .5
    np.testing.assert_allclose(found, np.tile(expected, (16, 1)), rtol=1e-6)
    motion[:2] *= -1  # the opposite direction, and strain on the left alone
    motion[2, :, 14:] = 0
    left, right = weighted_orientations(motion, blocks=2, bins=4).reshape(2, 2, 4)[0]
    assert left.tolist() == [0, 0, 196 * 5 * 0.5, 0]
    assert not right.any()


def test_the_main_direction_outvotes_a_longer_flow() -> None:
    motion = np.zeros((2, 12, 12), np.float32)
    motion[0] = 1.0  # everywhere to the right
    motion[:, ::3, ::3] = np.array([0, -9.0])[:, None, None]  # one pixel in nine far upwards
    motion[:, 6:, 6:] = np.array([0, 2.0])[:, None, None]  # one region downwards, twice as long
    found = main_directions(motion, grid=2, bins=8).reshape(2, 2, 2)
    np.testing.assert_allclose(found[0, 0], [0.5, 0], atol=1e-6)
    np.testing.assert_allclose(found[1, 1], [0, 1], atol=1e-6)
    assert not main_directions(np.zeros((2, 12, 12)), grid=6, bins=8).any()
    motion = np.full((2, 6, 6), -1.0)  # either side of half a turn are neighbours
    motion[1, ::2], motion[1, 1::2] = 0.05, -0.05
    np.testing.assert_allclose(main_directions(motion, grid=1, bins=8), [-1, 0], atol=1e-6)


def toy() -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    flowset = make_flowset(subjects=5, per_subject=9)
    features = flowset.maps[:, :, ::4, ::4].reshape(len(flowset), -1)
    noise = np.random.default_rng(5).normal(0, 2, features.shape)
    return (features + noise).astype(np.float32), flowset.labels, flowset.subjects


@pytest.mark.parametrize("kernel", ["rbf", "linear"])
def test_machines_of_pairs_decide_as_the_library_does(kernel: str) -> None:
    features, labels, persons = toy()
    features[:, 0] = 7  # what never changes does no harm
    svm = NestedSVM(np.ravel, kernel, 3)
    svm.fit(features, labels, persons, seed=0)
    choice = svm.choice
    mean, scale = standardise_by(features)
    points = ((features - mean) / scale).astype(np.float32).astype(np.float64)
    length, rows = points.shape[1], labels != 1
    cost = choice.cost if kernel == "rbf" else choice.cost / length
    theirs = SVC(C=cost, kernel=kernel, gamma=choice.width / length, class_weight="balanced")
    theirs.fit(points[rows], labels[rows])
    kept = svm.fitted
    ours = svm._kernel(points, kept["support"], choice.width) @ kept["coefficients"][:, 1]
    ours += kept["intercepts"][1]  # of the machine for the first and the third class
    assert kernel == "linear" or np.abs(ours + theirs.decision_function(points)).max() < 0.01
    assert ((ours > 0) == (theirs.predict(points) == 0)).all()


def test_held_out_subjects_have_no_part_in_a_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels, persons = toy()
    standardise = Mock(wraps=standardise_by)
    monkeypatch.setattr(svm_module, "standardise_by", standardise)
    NestedSVM(np.ravel, "linear", 3).fit(features, labels, persons, seed=3)
    seen = [call.args[0] for call in standardise.call_args_list]
    groups = [{persons[(features == row).all(1).argmax()] for row in some} for some in seen]
    assert [len(some) for some in seen] == [36] * 5 + [45]
    assert [len(group) for group in groups] == [4] * 5 + [5]  # each subject is held out whole


def test_the_choice_follows_the_held_back_persons() -> None:
    rng, labels = np.random.default_rng(0), np.arange(72) % 3
    persons = tuple(f"toy/s{row // 12}" for row in range(72))
    signal = np.eye(3)[labels] * 2 + rng.normal(0, 1, (72, 3))
    good, bad = NestedSVM(np.ravel, "rbf", 3), NestedSVM(np.ravel, "rbf", 3)
    for machine, features in ((good, signal), (bad, rng.normal(size=(72, 3)))):
        machine.fit(features.astype(np.float32), labels, persons, seed=0)
    assert good.choice.score > 0.6 > bad.choice.score
    assert good.choice.slope > bad.choice.slope


def test_coupled_probabilities() -> None:
    everyone = np.ones(3, bool)
    np.testing.assert_allclose(couple(np.zeros((1, 3)), everyone, 1.0), [[1 / 3] * 3])
    (first,) = couple(np.array([[9.0, 9.0, 0.0]]), everyone, 1.0)
    assert first[0] > first[1] == pytest.approx(first[2])
    absent = couple(np.array([[2.0, 0.0, 0.0]]), np.array([True, True, False]), 1.0)
    won = 1 / (1 + np.exp(-2.0))  # of two classes, the logistic probability itself
    np.testing.assert_allclose(absent, [[won, 1 - won, 0]], atol=1e-9)
