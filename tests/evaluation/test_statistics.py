"""Metrics, calibration, intervals, tests, peeking, null distributions: where the truth is known."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import make_flowset, quick_config
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from hmrm_lab.api import stats
from hmrm_lab.datasets.classes import MEGC3
from hmrm_lab.errors import ConfigError, InputError
from hmrm_lab.evaluation import metrics, simulate
from hmrm_lab.evaluation.significance import (
    EXACT_SUBJECTS,
    POOLED,
    PRESENT,
    ZERO,
    bootstrap_interval,
    holm,
    paired_difference,
    permutation_test,
    permuted,
    pooled,
)
from hmrm_lab.evaluation.summary import collect_predictions
from hmrm_lab.records import ClipKey, Predictions, prediction_columns
from hmrm_lab.studies.experiment import run_experiment


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
    counts = metrics.confusion(truth, guess, 3)
    labels = [0, 1, 2]
    for ours, average in ((stats.uf1, "macro"), (stats.weighted_f1, "weighted")):
        theirs = f1_score(truth, guess, labels=labels, average=average, zero_division=0)
        assert ours(counts) == pytest.approx(theirs)
    assert metrics.accuracy(counts) == pytest.approx(accuracy_score(truth, guess))
    if set(truth) == set(labels):
        assert stats.uar(counts) == pytest.approx(balanced_accuracy_score(truth, guess))
    assert stats.uf1(np.diag([5, 5, 0])) == pytest.approx(2 / 3), "a class never seen counts as 0"


def test_pooled_counts_and_means_over_folds_differ() -> None:
    """Two folds of few classes each, as 23 of the composite's 68 are."""
    rows = [("a", 0, 0, 0), ("a", 0, 0, 0), ("b", 0, 1, 1), ("b", 0, 2, 1)]
    predictions = predictions_of(rows)
    scores = stats.fold_scores(predictions)
    first, second = scores[["clips", "classes", "present", "zero"]].to_numpy()
    assert first == pytest.approx([2, 1, 1, 1 / 3])
    assert second == pytest.approx([2, 2, 1 / 3, 2 / 9])
    expected = {POOLED: (1 + 2 / 3 + 0) / 3, PRESENT: 2 / 3, ZERO: 5 / 18}
    assert stats.three_averages(predictions) == pytest.approx(expected)
    table = stats.simulated_predictions(stats.megc2019(), right=0.7).table
    perfect = Predictions(table.assign(prediction=table["truth"]))
    assert (stats.fold_scores(perfect)[["classes", "clips"]] == 1).sum().tolist() == [23, 8]
    averages = stats.three_averages(perfect)
    assert averages[POOLED] == averages[PRESENT] == 1 and averages[ZERO] < 0.7


def test_seeds_are_averaged_not_pooled() -> None:
    rows = [("a", 0, c, c) for c in range(3)] + [("a", 1, c, (c + 1) % 3) for c in range(3)]
    assert pooled(predictions_of(rows), "uf1") == pytest.approx(0.5)
    subjects, seeds, counts = metrics.confusion_by_subject(
        predictions_of([("b", 3, 1, 2), ("a", 1, 0, 0), ("a", 3, 0, 1)])
    )
    assert (subjects, seeds) == (["toy/a", "toy/b"], [1, 3])
    assert counts.sum() == 3
    assert counts[0, 1, 0, 1] == counts[1, 1, 1, 2] == counts[0, 0, 0, 0] == 1


def test_subjects_are_resampled_whole() -> None:
    """If all clips of a subject have the same fate, the spread is that of subjects."""
    rows = [(f"s{p}", 0, c % 3, (c + p % 2) % 3) for p in range(10) for c in range(30)]
    samples = stats.bootstrap_samples(predictions_of(rows), "acc")
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
    bins = stats.reliability(calibrated(rows))
    assert [part.count for part in bins] == [0, 0, 2, 3, 1]
    assert [part.accuracy for part in bins[2:]] == pytest.approx([0.5, 2 / 3, 1])
    assert [part.probability for part in bins[2:]] == pytest.approx([0.5, 0.7, 0.9])
    assert np.isnan(bins[0].accuracy)
    by_hand = (2 * 0 + 3 * (0.7 - 2 / 3) + 1 * 0.1) / 6
    assert metrics.expected_calibration_error(bins) == pytest.approx(by_hand)
    edges = stats.reliability(calibrated([(0.6, True), (1.0, True), (0.4, False)]))
    assert [part.count for part in edges] == [0, 0, 1, 1, 1], "a bin begins at its lower edge"
    exact = calibrated([(0.75, number % 4 > 0) for number in range(40)])
    assert metrics.expected_calibration_error(stats.reliability(exact)) == pytest.approx(0)


def test_calibration_in_words() -> None:
    rows = [(0.7, number < 22) for number in range(40)]
    assert metrics.calibration_words(calibrated(rows), 0.65) == (
        "In this run, predictions made with 60 % to 80 % were right in 55 % of 40 clips of unseen "
        "subjects. Its expected calibration error is 15 %."
    )
    for predictions, probability, words in (
        (calibrated(rows, seeds=2), 0.65, "of 40 answers (2 seeds, unseen subjects)"),
        (calibrated(rows[:3]), 0.7, "of 3 clips of unseen subjects. That is too few"),
        (calibrated(rows), 0.35, "no prediction was made with 20 % to 40 %"),
        (calibrated([(np.nan, True)]), 0.7, "holds no probabilities"),
    ):
        assert words in metrics.calibration_words(predictions, probability)


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


EPOCHS = 5
COMPOSITE = stats.megc2019()
LABELS = np.array(list(COMPOSITE.values()))
SUBJECTS = np.array([key.subject_key for key in COMPOSITE])


def many(subjects: int, each: int) -> dict[ClipKey, int]:
    return {
        ClipKey("made", f"p{subject:04d}", f"c{clip}"): (subject + clip) % 3
        for subject in range(subjects)
        for clip in range(each)
    }


def test_as_many_are_right_as_asked_and_subjects_differ_as_asked() -> None:
    chance = 0.7 * 0.3 / 50  # of a mean over 50 clips
    for spread in (0.0, 0.2):
        table = stats.simulated_predictions(many(400, 50), right=0.7, spread=spread).table
        shares = (table["truth"] == table["prediction"]).groupby(table["subject"]).mean()
        assert shares.mean() == pytest.approx(0.7, abs=0.03)
        assert shares.std(ddof=0) == pytest.approx((spread**2 * 49 / 50 + chance) ** 0.5, rel=0.1)
    clips = many(3000, 6)
    found = pooled(stats.simulated_predictions(clips, right=0.75, spread=0.2), "uf1")
    assert found == pytest.approx(simulate.true_uf1(clips, 0.75), abs=0.015)
    assert simulate.true_uf1(clips, 0.75) == pytest.approx(0.75), "for classes of equal size"
    for right, spread in ((1.0, 0.0), (0.5, 0.5)):
        with pytest.raises(InputError, match=f"no chances with mean {right}"):
            stats.simulated_predictions(many(2, 2), right=right, spread=spread)


def test_intervals_over_clips_are_too_narrow_where_subjects_differ() -> None:
    composite = stats.simulated_predictions(COMPOSITE, right=0.7, spread=0.2)
    alone = stats.as_independent(composite)
    assert alone.subjects.nunique() == 442
    assert pooled(alone, "uf1") == pooled(composite, "uf1")
    cells = simulate.clip_interval(composite, resamples=2000)
    clips = bootstrap_interval(alone, "uf1", resamples=1000, seed=1)
    assert cells == pytest.approx(clips, abs=0.008), "drawing cells is drawing clips"
    held = stats.coverage(many(30, 15), right=0.7, spread=0.25, repeats=40, resamples=150)
    assert held["subjects"] >= 0.8
    assert held["clips"] <= held["subjects"] - 0.15


def test_power_grows_with_the_difference() -> None:
    clips, rng = many(20, 6), np.random.default_rng(0)
    for rate, deviation in ((1.0, 0), (0.0, 0), (0.7, 0.02)):
        rates = [pooled(simulate.simulate(clips, rate, rng), "acc") for _ in range(50)]
        assert np.mean(rates) == pytest.approx(rate, abs=deviation)
    table = stats.power_table(clips, 0.9, [0.0, 0.1, 0.5], studies=60)
    none, some, large = table["Found"]
    assert none <= 0.05 + 3 * (0.05 * 0.95 / 60) ** 0.5
    assert none < some < large == 1
    assert table["Mean UF1 difference"].iloc[1] == pytest.approx(0.1, abs=0.03)


def test_each_subject_gets_its_own_best_epoch_the_first_of_equals() -> None:
    guesses = np.array([[0, 1, 2, 2], [0, 2, 0, 0], [1, 2, 0, 1]])  # three epochs
    subjects = np.array(["t/a", "t/a", "t/b", "t/b"])
    two = simulate.EpochPredictions(guesses, np.array([0, 1, 0, 1]), subjects, 3)
    found = simulate.best_epoch_predictions(two, [1, 2, 3])
    assert found.tolist() == [[1, 2, 0, 1], [0, 2, 0, 1], [0, 1, 0, 1]]
    equal = simulate.EpochPredictions(np.array([[0, 2], [2, 1]]), np.array([0, 1]), subjects[:2], 3)
    assert simulate.best_epoch_predictions(equal, [2]).tolist() == [[0, 2]]
    for count in (0, 4):
        with pytest.raises(InputError, match=f"{count} test-set evaluations in 3 epochs"):
            simulate.best_epoch_predictions(two, [1, count])
    expected = {1: [1], 2: [1, 2], 12: [1, 2, 5, 10, 12], 100: [1, 2, 5, 10, 20, 50, 100]}
    assert {epochs: stats.evaluation_counts(epochs) for epochs in expected} == expected


def test_one_evaluation_is_the_rule_last_and_all_are_oracle_test(tmp_path: Path) -> None:
    flowset = make_flowset(subjects=3, per_subject=4)
    honest, peeking = (
        run_experiment(
            quick_config("ststnet", f"training.epochs={EPOCHS}", f"evaluation.epoch_rule={rule}"),
            out=tmp_path,
            flowset=flowset,
            final_model=False,
        )
        for rule in ("last", "oracle_test")
    )
    predictions = stats.collect_epoch_predictions(peeking, 0)
    assert predictions.guesses.shape == (EPOCHS, len(flowset))
    for run, count in ((honest, 1), (peeking, EPOCHS)):
        expected = float(stats.uf1(metrics.confusion_of(collect_predictions(run))))
        assert stats.uf1_by_evaluations(predictions, [count]) == pytest.approx([expected])
    for run, seed in ((honest, 0), (peeking, 7)):
        with pytest.raises(InputError, match=f"no predictions of all epochs .* seed {seed}"):
            stats.collect_epoch_predictions(run, seed)


def test_many_evaluations_of_nothing_score_high() -> None:
    predictions = simulate.chance_predictions(LABELS, SUBJECTS, 200, np.random.default_rng(0))
    right = (simulate.best_epoch_predictions(predictions, range(1, 61)) == LABELS).sum(1)
    assert (np.diff(right) >= 0).all() and right[-1] > right[0]
    scores = stats.chance_uf1(LABELS, SUBJECTS, [1, 10, 100], draws=20, seed=3)
    one, ten, hundred = scores.mean(0)
    assert one == pytest.approx(1 / 3, abs=0.02)
    assert one + 0.15 < ten < hundred - 0.1


def test_labels_are_permuted_within_their_groups_and_uniformly() -> None:
    groups = np.array([1, 0, 1, 0, 0])
    moved = permuted(np.arange(5), groups, 6000, np.random.default_rng(0))
    assert (np.sort(moved[:, groups == 0], axis=1) == [1, 3, 4]).all()
    _, counts = np.unique(moved, axis=0, return_counts=True)
    assert len(counts) == 6 * 2 and counts.min() > 400


def test_the_null_of_permuted_labels() -> None:
    skilled = stats.simulated_predictions(COMPOSITE, right=0.7)
    constant = Predictions(skilled.table.assign(prediction=0))
    expected = 2 * 250 / (250 + 442) / 3
    assert stats.permuted_uf1(constant, permutations=20) == pytest.approx(np.full(20, expected))
    null, found = stats.permuted_uf1(skilled, permutations=300), pooled(skilled, "uf1")
    assert found > null.max()
    assert stats.p_value(null, found) == pytest.approx(1 / 301)
    values = np.array([0.1, 0.2, 0.3, 0.4])
    assert [stats.p_value(values, observed) for observed in (0.35, 0.4, 0.0)] == [2 / 5, 2 / 5, 1]
    clips = {key: 0 if key.subject < "sub14" else 2 for key in COMPOSITE if key.dataset != "samm"}
    of_one_class = stats.simulated_predictions(clips, right=0.7)
    null = stats.permuted_uf1(of_one_class, within="subject", permutations=10)
    assert null == pytest.approx(np.full(10, pooled(of_one_class, "uf1")))
    assert stats.permuted_uf1(of_one_class, within="all", permutations=10).max() < null.min()
    with pytest.raises(ConfigError, match="did you mean 'subject'"):
        stats.permuted_uf1(skilled, within="subjekt")  # type: ignore[arg-type]


def test_the_null_of_peeking_fits_what_peeking_makes_of_nothing() -> None:
    predictions = simulate.chance_predictions(LABELS, SUBJECTS, 30, np.random.default_rng(1))
    null = stats.peeking_null(predictions, permutations=40)
    reached = float(stats.uf1_by_evaluations(predictions, [30])[0])
    assert null.min() > 0.5
    assert abs(reached - null.mean()) < 5 * null.std()
    one = stats.peeking_null(replace(predictions, guesses=predictions.guesses[:1]), permutations=40)
    assert one.mean() == pytest.approx(1 / 3, abs=0.03)
