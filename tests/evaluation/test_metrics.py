"""Metrics, calibration and bootstrap against closed forms and scikit-learn."""

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
    bin_of,
    calibration_words,
    confusion,
    confusion_by_subject,
    expected_calibration_error,
    f1_per_class,
    reliability,
    uar,
    uf1,
)
from hmrm_lab.evaluation.significance import (
    POOLED,
    PRESENT,
    ZERO,
    bootstrap_interval,
    bootstrap_samples,
    fold_scores,
    paired_difference,
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


def random_predictions(rng: np.random.Generator, skill: float, subjects: int = 20) -> Predictions:
    rows = []
    for subject in range(subjects):
        for _ in range(8):
            truth = int(rng.integers(3))
            guess = truth if rng.random() < skill else int(rng.integers(3))
            rows.append((f"s{subject:02d}", 0, truth, guess))
    return predictions_of(rows)


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


def test_closed_form() -> None:
    counts = np.array([[8, 2, 0], [1, 3, 0], [0, 0, 5]])
    assert f1_per_class(counts) == pytest.approx([16 / 19, 6 / 9, 1])
    assert uf1(counts) == pytest.approx((16 / 19 + 6 / 9 + 1) / 3)
    assert uar(counts) == pytest.approx((0.8 + 0.75 + 1) / 3)
    assert accuracy(counts) == pytest.approx(16 / 19)
    absent = np.array([[5, 0, 0], [0, 5, 0], [0, 0, 0]])
    assert uf1(absent) == pytest.approx(2 / 3), "a class never seen counts as 0"


def test_pooled_counts_and_means_over_folds_differ() -> None:
    """Two folds of few classes each, as 23 of the composite's 68 are."""
    rows = [("a", 0, 0, 0), ("a", 0, 0, 0), ("b", 0, 1, 1), ("b", 0, 2, 1)]
    predictions = predictions_of(rows)
    scores = fold_scores(predictions).set_index("fold")
    assert scores["clips"].tolist() == [2, 2]
    assert scores["classes"].tolist() == [1, 2]
    assert scores["present"].tolist() == pytest.approx([1, 1 / 3])
    assert scores["zero"].tolist() == pytest.approx([1 / 3, 2 / 9])
    averages = three_averages(predictions)
    assert averages[POOLED] == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert averages[PRESENT] == pytest.approx(2 / 3)
    assert averages[ZERO] == pytest.approx(5 / 18)
    composite = simulated_predictions(megc2019(), right=0.7, spread=0.2)
    scores = fold_scores(composite)
    counts = (len(scores), (scores["classes"] == 1).sum(), (scores["clips"] == 1).sum())
    assert counts == (68, 23, 8)
    table = composite.table
    perfect = three_averages(Predictions(table.assign(prediction=table["truth"])))
    assert perfect[POOLED] == perfect[PRESENT] == 1
    assert perfect[ZERO] < 0.7


def test_seeds_are_averaged_not_pooled() -> None:
    rows = [("a", 0, c, c) for c in range(3)] + [("a", 1, c, (c + 1) % 3) for c in range(3)]
    assert pooled(predictions_of(rows), "uf1") == pytest.approx(0.5)
    subjects, seeds, counts = confusion_by_subject(
        predictions_of([("b", 3, 1, 2), ("a", 1, 0, 0), ("a", 3, 0, 1)])
    )
    assert (subjects, seeds) == (["toy/a", "toy/b"], [1, 3])
    assert counts.sum() == 3
    assert counts[0, 1, 0, 1] == counts[1, 1, 1, 2] == counts[0, 0, 0, 0] == 1


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    """The known accuracy of a guesser lies in 95 % intervals of repeated studies."""
    rng = np.random.default_rng(0)
    skill, hits, studies = 0.6, 0, 150
    truth = skill + (1 - skill) / 3
    for _ in range(studies):
        low, high = bootstrap_interval(random_predictions(rng, skill), "acc", resamples=400)
        hits += low <= truth <= high
    assert 0.86 <= hits / studies <= 1.0


def test_subjects_are_resampled_whole() -> None:
    """If all clips of a subject have the same fate, the spread is that of subjects."""
    rows = [(f"s{p}", 0, c % 3, (c + p % 2) % 3) for p in range(10) for c in range(30)]
    samples = bootstrap_samples(predictions_of(rows), "acc")
    assert samples.std() == pytest.approx(np.sqrt(0.25 / 10), rel=0.1)
    assert set(np.round(samples * 10) / 10) == set(np.round(samples, 6))


def test_a_pair_is_compared_on_the_same_subjects() -> None:
    rng = np.random.default_rng(1)
    good, bad = random_predictions(rng, 0.9), random_predictions(rng, 0.2)
    difference, low, high = paired_difference(good, bad, "uf1")
    assert 0 < low < difference < high
    assert paired_difference(good, good, "uf1") == (0, 0, 0)
    with pytest.raises(ValueError, match="different subjects"):
        paired_difference(good, random_predictions(rng, 0.5, subjects=3), "uf1")


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
    assert [edges.index(bin_of(edges, p)) for p in (0.5999, 0.6, 1.0)] == [2, 3, 4]
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
