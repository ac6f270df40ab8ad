import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from hmrm_lab.datasets.classes import MEGC3
from hmrm_lab.evaluation.metrics import (
    accuracy,
    confusion,
    confusion_by_person,
    f1_per_class,
    uar,
    uf1,
    uf1_mean_over_folds,
)
from hmrm_lab.evaluation.significance import (
    bootstrap_interval,
    bootstrap_samples,
    paired_difference,
    pooled,
)
from hmrm_lab.records import Predictions, prediction_columns


def make_predictions(rows: list[tuple[str, int, int, int]]) -> Predictions:
    """From (subject, seed, truth, prediction)."""
    records = [
        ("toy", subject, f"c{number}", f"toy/{subject}", seed, 1, truth, guess, *[np.nan] * 3)
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
    return make_predictions(rows)


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


def test_a_class_never_seen_counts_as_zero_not_as_absent() -> None:
    assert uf1(np.array([[5, 0, 0], [0, 5, 0], [0, 0, 0]])) == pytest.approx(2 / 3)


def test_pooled_is_not_the_mean_over_folds() -> None:
    """Two folds of one class each, as 23 of the composite's 68 are."""
    predictions = make_predictions([("a", 0, 0, 0), ("a", 0, 0, 0), ("b", 0, 1, 1), ("b", 0, 1, 0)])
    assert pooled(predictions, "uf1") == pytest.approx((4 / 5 + 2 / 3 + 0) / 3)
    assert uf1_mean_over_folds(predictions) == pytest.approx((1 + (0 + 2 / 3) / 2) / 2)


def test_seeds_are_averaged_not_pooled() -> None:
    rows = [("a", 0, c, c) for c in range(3)] + [("a", 1, c, (c + 1) % 3) for c in range(3)]
    assert pooled(make_predictions(rows), "uf1") == pytest.approx(0.5)


def test_counts_by_person_keep_seeds_apart() -> None:
    persons, seeds, counts = confusion_by_person(
        make_predictions([("b", 3, 1, 2), ("a", 1, 0, 0), ("a", 3, 0, 1)])
    )
    assert (persons, seeds) == (["toy/a", "toy/b"], [1, 3])
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
    """If every clip of a person has the same fate, the spread is that of persons."""
    rows = [(f"s{p}", 0, c % 3, (c + p % 2) % 3) for p in range(10) for c in range(30)]
    samples = bootstrap_samples(make_predictions(rows), "acc")
    assert samples.std() == pytest.approx(np.sqrt(0.25 / 10), rel=0.1)
    assert set(np.round(samples * 10) / 10) == set(np.round(samples, 6))


def test_a_pair_is_compared_on_the_same_persons() -> None:
    rng = np.random.default_rng(1)
    good, bad = random_predictions(rng, 0.9), random_predictions(rng, 0.2)
    difference, low, high = paired_difference(good, bad, "uf1")
    assert low < difference < high
    assert low > 0
    assert paired_difference(good, good, "uf1") == (0, 0, 0)
    with pytest.raises(ValueError, match="different persons"):
        paired_difference(good, random_predictions(rng, 0.5, subjects=3), "uf1")
