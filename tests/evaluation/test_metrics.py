"""Metrics, calibration, intervals and tests against closed forms and scikit-learn."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from hmrm_lab.datasets.classes import MEGC3
from hmrm_lab.datasets.recordings.findings import megc2019
from hmrm_lab.evaluation.metrics import (
    accuracy,
    calibration_words,
    confusion,
    confusion_by_subject,
    expected_calibration_error,
    reliability,
    uar,
    uf1,
)
from hmrm_lab.evaluation.significance import (
    EXACT_SUBJECTS,
    POOLED,
    PRESENT,
    ZERO,
    bootstrap_samples,
    fold_scores,
    holm,
    paired_difference,
    permutation_test,
    pooled,
    three_averages,
)
from hmrm_lab.evaluation.simulate import simulated_predictions
from hmrm_lab.records import Predictions, prediction_columns


def predictions_of(rows: list[tuple[str, int, int, int]], sure: float = np.nan) -> Predictions:
    """From (subject, seed, truth, prediction) and the probability of the predicted class."""
    records = [
        ("toy", subject, f"c{number}", f"toy/{subject}", seed, 1, truth, guess)
        + tuple(sure if label == guess else (1 - sure) / 2 for label in range(3))
        for number, (subject, seed, truth, guess) in enumerate(rows)
    ]
    return Predictions(pd.DataFrame(records, columns=prediction_columns(MEGC3.classes)))


def fates(hits: list[bool], seeds: int = 1) -> Predictions:
    """A person per entry, with a clip of each class: all right, or all wrong."""
    everything = [(n, hit, seed) for n, hit in enumerate(hits) for seed in range(seeds)]
    return predictions_of(
        [
            (f"s{person:03d}", seed, label, label if hit else (label + 1) % 3)
            for person, hit, seed in everything
            for label in range(3)
        ]
    )


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=60))
def test_scikit_learn_agrees(pairs: list[tuple[int, int]]) -> None:
    truth, guess = (np.array(side) for side in zip(*pairs, strict=True))
    counts = confusion(truth, guess, 3)
    labels = [0, 1, 2]
    assert uf1(counts) == pytest.approx(
        f1_score(truth, guess, labels=labels, average="macro", zero_division=0)
    )
    assert accuracy(counts) == pytest.approx(accuracy_score(truth, guess))
    if set(truth) == set(labels):
        assert uar(counts) == pytest.approx(balanced_accuracy_score(truth, guess))
    assert uf1(np.diag([5, 5, 0])) == pytest.approx(2 / 3), "a class never seen counts as 0"


def test_pooled_counts_and_means_over_folds_differ() -> None:
    """Two folds of few classes each, as 23 of the composite's 68 are."""
    rows = [("a", 0, 0, 0), ("a", 0, 0, 0), ("b", 0, 1, 1), ("b", 0, 2, 1)]
    predictions = predictions_of(rows)
    first, second = fold_scores(predictions)[["clips", "classes", "present", "zero"]].to_numpy()
    assert first == pytest.approx([2, 1, 1, 1 / 3])
    assert second == pytest.approx([2, 2, 1 / 3, 2 / 9])
    expected = {POOLED: (1 + 2 / 3 + 0) / 3, PRESENT: 2 / 3, ZERO: 5 / 18}
    assert three_averages(predictions) == pytest.approx(expected)
    table = simulated_predictions(megc2019(), right=0.7).table
    perfect = Predictions(table.assign(prediction=table["truth"]))
    assert (fold_scores(perfect)[["classes", "clips"]] == 1).sum().tolist() == [23, 8]
    averages = three_averages(perfect)
    assert averages[POOLED] == averages[PRESENT] == 1 and averages[ZERO] < 0.7


def test_seeds_are_averaged_not_pooled() -> None:
    rows = [("a", 0, c, c) for c in range(3)] + [("a", 1, c, (c + 1) % 3) for c in range(3)]
    assert pooled(predictions_of(rows), "uf1") == pytest.approx(0.5)
    subjects, seeds, counts = confusion_by_subject(
        predictions_of([("b", 3, 1, 2), ("a", 1, 0, 0), ("a", 3, 0, 1)])
    )
    assert (subjects, seeds) == (["toy/a", "toy/b"], [1, 3])
    assert counts.sum() == 3
    assert counts[0, 1, 0, 1] == counts[1, 1, 1, 2] == counts[0, 0, 0, 0] == 1


def test_subjects_are_resampled_whole() -> None:
    """If all clips of a subject have the same fate, the spread is that of subjects."""
    rows = [(f"s{p}", 0, c % 3, (c + p % 2) % 3) for p in range(10) for c in range(30)]
    samples = bootstrap_samples(predictions_of(rows), "acc")
    assert samples.std() == pytest.approx(np.sqrt(0.25 / 10), rel=0.1)
    assert set(np.round(samples * 10) / 10) == set(np.round(samples, 6))


def test_a_pair_is_compared_on_the_same_subjects() -> None:
    good, bad = fates([True] * 18 + [False] * 2), fates([False] * 12 + [True] * 8)
    difference, low, high = paired_difference(good, bad, "uf1")
    assert 0 < low < difference < high
    assert paired_difference(good, good, "uf1") == (0, 0, 0)
    with pytest.raises(ValueError, match="different subjects"):
        paired_difference(good, fates([True] * 3), "uf1")


def calibrated(rows: list[tuple[float, bool]], seeds: int = 1) -> Predictions:
    """From (probability of the predicted class, whether it was right)."""
    parts = [
        predictions_of([(f"s{n}", n % seeds, 0 if right else 1, 0)], sure).table
        for n, (sure, right) in enumerate(rows)
    ]
    return Predictions(pd.concat(parts, ignore_index=True))


def test_reliability_by_hand() -> None:
    rows = [(0.5, True), (0.5, False), (0.7, True), (0.65, False), (0.75, True), (0.9, True)]
    bins = reliability(calibrated(rows))
    assert [part.count for part in bins] == [0, 0, 2, 3, 1]
    assert [part.accuracy for part in bins[2:]] == pytest.approx([0.5, 2 / 3, 1])
    assert [part.probability for part in bins[2:]] == pytest.approx([0.5, 0.7, 0.9])
    assert np.isnan(bins[0].accuracy)
    by_hand = (2 * 0 + 3 * (0.7 - 2 / 3) + 1 * 0.1) / 6
    assert expected_calibration_error(bins) == pytest.approx(by_hand)
    edges = reliability(calibrated([(0.6, True), (1.0, True), (0.4, False)]))
    assert [part.count for part in edges] == [0, 0, 1, 1, 1], "a bin begins at its lower edge"
    exact = calibrated([(0.75, number % 4 > 0) for number in range(40)])
    assert expected_calibration_error(reliability(exact)) == pytest.approx(0)


def test_calibration_in_words() -> None:
    rows = [(0.7, number < 22) for number in range(40)]
    assert calibration_words(calibrated(rows), 0.65) == (
        "In this run, predictions made with 60 % to 80 % were right in 55 % of 40 clips of unseen "
        "subjects. Its expected calibration error is 15 %."
    )
    for predictions, probability, words in (
        (calibrated(rows, seeds=2), 0.65, "of 40 answers (2 seeds, unseen subjects)"),
        (calibrated(rows[:3]), 0.7, "of 3 clips of unseen subjects. That is too few"),
        (calibrated(rows), 0.35, "no prediction was made with 20 % to 40 %"),
        (calibrated([(np.nan, True)]), 0.7, "holds no probabilities"),
    ):
        assert words in calibration_words(predictions, probability)


def test_closed_forms_of_the_permutation_test() -> None:
    same = fates([True, False, True])
    for metric in ("uf1", "uar", "acc"):
        test = permutation_test(same, same, metric)
        assert (test.difference, test.p_value, test.exact) == (0, 1, True)
    for subjects in (1, 3, 8):  # only no swap and all swaps are as extreme
        test = permutation_test(fates([True] * subjects), fates([False] * subjects))
        assert test.difference == 1
        assert test.p_value == 2 / 2**subjects
        assert test.exact
    ours = [True] * 7 + [False] + [True] * 20  # 7 better and 1 worse: 18 of 256 are as extreme
    theirs = [False] * 7 + [True] + [True] * 20
    test = permutation_test(fates(ours), fates(theirs), "acc")
    assert test.exact and test.p_value == 18 / 256
    ours, theirs = fates([True, True, False], 2), fates([False, True, False], 2)
    there, back = permutation_test(ours, theirs), permutation_test(theirs, ours)
    assert there.difference == -back.difference > 0
    assert there.p_value == back.p_value == 1  # one person who differs proves nothing


def test_random_swaps_agree_with_all_swaps(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    ours = fates((rng.random(EXACT_SUBJECTS) < 0.8).tolist())
    theirs = fates((rng.random(EXACT_SUBJECTS) < 0.4).tolist())
    exact = permutation_test(ours, theirs)
    monkeypatch.setattr("hmrm_lab.evaluation.significance.EXACT_SUBJECTS", 0)
    drawn = permutation_test(ours, theirs, draws=20000)
    assert exact.exact and not drawn.exact
    assert drawn.p_value == pytest.approx(exact.p_value, abs=0.015)
    assert permutation_test(ours, theirs, seed=5) == permutation_test(ours, theirs, seed=5)
    test = permutation_test(fates([True] * 40), fates([False] * 40), draws=99)
    assert test.p_value == 1 / 100


@pytest.mark.parametrize("persons", [10, 30])
def test_under_the_null_small_p_values_are_as_rare_as_they_say(persons: int) -> None:
    """Two systems that are right equally often: a share of `level` at most lies below `level`."""
    rng = np.random.default_rng(persons)
    values = []
    for _ in range(300):
        ours, theirs = (fates((rng.random(persons) < 0.6).tolist()) for _ in range(2))
        values.append(permutation_test(ours, theirs, draws=300).p_value)
    for level in (0.05, 0.2, 0.5):
        slack = 3 * math.sqrt(level * (1 - level) / len(values))
        assert np.mean(np.array(values) <= level) <= level + slack
    assert np.mean(np.array(values) <= 0.5) > 0.15, "nor is the test asleep"


def test_other_persons_clips_or_seeds_are_refused() -> None:
    three = fates([True] * 3)
    for other, problem in (
        (fates([True] * 4), "different subjects"),
        (fates([True] * 3, seeds=2), "different clips or seeds"),
        (Predictions(three.table.assign(truth=0)), "different clips or seeds"),
    ):
        with pytest.raises(ValueError, match=problem):
            permutation_test(three, other)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.5]) == [1, 1]
    assert holm([0.2]) == [0.2]
    assert holm([]) == []
