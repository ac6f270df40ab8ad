"""Tests by swapping subjects, and what several of them together are worth."""

import math

import numpy as np
import pandas as pd
import pytest

from hmrm_lab.datasets.classes import MEGC3
from hmrm_lab.evaluation.significance import EXACT_SUBJECTS, holm, permutation_test
from hmrm_lab.records import Predictions, prediction_columns

CLIPS = 3  # of each person, one of each class


def predictions(hits: list[bool], seeds: int = 1) -> Predictions:
    """A person per entry: all three clips right, or all wrong."""
    rows = [
        ("toy", f"s{person:03d}", f"c{label}", f"toy/s{person:03d}", seed, 1, label)
        + ((label if hit else (label + 1) % 3), math.nan, math.nan, math.nan)
        for person, hit in enumerate(hits)
        for seed in range(seeds)
        for label in range(CLIPS)
    ]
    return Predictions(pd.DataFrame(rows, columns=prediction_columns(MEGC3.classes)))


def test_closed_forms() -> None:
    same = predictions([True, False, True])
    for metric in ("uf1", "uar", "acc"):
        test = permutation_test(same, same, metric)
        assert (test.difference, test.p_value, test.exact) == (0, 1, True)
    for subjects in (1, 3, 8):  # only no swap and all swaps are as extreme
        test = permutation_test(predictions([True] * subjects), predictions([False] * subjects))
        assert test.difference == 1
        assert test.p_value == 2 / 2**subjects
        assert test.assignments == 2**subjects
    ours = [True] * 7 + [False] + [True] * 20  # 7 better and 1 worse: 18 of 256 are as extreme
    theirs = [False] * 7 + [True] + [True] * 20
    test = permutation_test(predictions(ours), predictions(theirs), "acc")
    assert test.exact
    assert test.p_value == 18 / 256


def test_two_sides_and_several_seeds() -> None:
    ours, theirs = predictions([True, True, False], 2), predictions([False, True, False], 2)
    there, back = permutation_test(ours, theirs), permutation_test(theirs, ours)
    assert there.difference == -back.difference > 0
    assert there.p_value == back.p_value == 1  # one person who differs proves nothing


def test_random_swaps_agree_with_all_swaps(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    ours = predictions((rng.random(EXACT_SUBJECTS) < 0.8).tolist())
    theirs = predictions((rng.random(EXACT_SUBJECTS) < 0.4).tolist())
    exact = permutation_test(ours, theirs)
    monkeypatch.setattr("hmrm_lab.evaluation.significance.EXACT_SUBJECTS", 0)
    drawn = permutation_test(ours, theirs, draws=20000)
    assert exact.exact and not drawn.exact
    assert drawn.p_value == pytest.approx(exact.p_value, abs=0.015)
    assert permutation_test(ours, theirs, seed=5) == permutation_test(ours, theirs, seed=5)
    test = permutation_test(predictions([True] * 40), predictions([False] * 40), draws=99)
    assert test.p_value == 1 / 100


@pytest.mark.parametrize("persons", [10, 30])
def test_under_the_null_small_p_values_are_as_rare_as_they_say(persons: int) -> None:
    """Two systems that are right equally often: a share of `level` at most lies below `level`."""
    rng = np.random.default_rng(persons)
    found = []
    for _ in range(300):
        ours, theirs = ((rng.random(persons) < 0.6).tolist() for _ in range(2))
        found.append(permutation_test(predictions(ours), predictions(theirs), draws=300).p_value)
    values = np.array(found)
    for level in (0.05, 0.2, 0.5):
        below = (values <= level).mean()
        slack = 3 * math.sqrt(level * (1 - level) / len(values))
        assert below <= level + slack
    assert (values <= 0.5).mean() > 0.15, "nor is the test asleep"


def test_other_persons_clips_or_seeds_are_refused() -> None:
    three = predictions([True] * 3)
    with pytest.raises(ValueError, match="different subjects"):
        permutation_test(three, predictions([True] * 4))
    with pytest.raises(ValueError, match="different clips or seeds"):
        permutation_test(three, predictions([True] * 3, seeds=2))
    other = three.table.assign(truth=0)
    with pytest.raises(ValueError, match="different clips or seeds"):
        permutation_test(three, Predictions(other))


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.5]) == [1, 1]
    assert holm([0.2]) == [0.2]
    assert holm([]) == []
