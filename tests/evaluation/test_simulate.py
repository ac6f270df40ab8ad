"""Simulated predictions, peeking, and null distributions, where the truth is known."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import make_flowset, quick_config

from hmrm_lab.datasets.recordings.findings import megc2019
from hmrm_lab.errors import ConfigError, InputError
from hmrm_lab.evaluation.metrics import confusion_of, uf1
from hmrm_lab.evaluation.significance import bootstrap_interval, permuted, pooled
from hmrm_lab.evaluation.simulate import (
    EpochPredictions,
    as_independent,
    best_epoch_predictions,
    chance_predictions,
    chance_uf1,
    clip_interval,
    collect_epoch_predictions,
    coverage,
    evaluation_counts,
    p_value,
    peeking_null,
    permuted_uf1,
    power_table,
    simulate,
    simulated_predictions,
    true_uf1,
    uf1_by_evaluations,
)
from hmrm_lab.evaluation.summary import collect_predictions
from hmrm_lab.records import ClipKey, Predictions
from hmrm_lab.studies.experiment import run_experiment

EPOCHS = 5
COMPOSITE = megc2019()
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
        table = simulated_predictions(many(400, 50), right=0.7, spread=spread).table
        shares = (table["truth"] == table["prediction"]).groupby(table["subject"]).mean()
        assert shares.mean() == pytest.approx(0.7, abs=0.03)
        assert shares.std(ddof=0) == pytest.approx((spread**2 * 49 / 50 + chance) ** 0.5, rel=0.1)
    clips = many(3000, 6)
    found = pooled(simulated_predictions(clips, right=0.75, spread=0.2), "uf1")
    assert found == pytest.approx(true_uf1(clips, 0.75), abs=0.015)
    assert true_uf1(clips, 0.75) == pytest.approx(0.75), "for classes of equal size"
    for right, spread in ((1.0, 0.0), (0.5, 0.5)):
        with pytest.raises(InputError, match=f"no chances with mean {right}"):
            simulated_predictions(many(2, 2), right=right, spread=spread)


def test_intervals_over_clips_are_too_narrow_where_subjects_differ() -> None:
    composite = simulated_predictions(COMPOSITE, right=0.7, spread=0.2)
    alone = as_independent(composite)
    assert alone.subjects.nunique() == 442
    assert pooled(alone, "uf1") == pooled(composite, "uf1")
    cells = clip_interval(composite, resamples=2000)
    clips = bootstrap_interval(alone, "uf1", resamples=1000, seed=1)
    assert cells == pytest.approx(clips, abs=0.008), "drawing cells is drawing clips"
    held = coverage(many(30, 15), right=0.7, spread=0.25, repeats=40, resamples=150)
    assert held["subjects"] >= 0.8
    assert held["clips"] <= held["subjects"] - 0.15


def test_power_grows_with_the_difference() -> None:
    clips, rng = many(20, 6), np.random.default_rng(0)
    for rate, deviation in ((1.0, 0), (0.0, 0), (0.7, 0.02)):
        rates = [pooled(simulate(clips, rate, rng), "acc") for _ in range(50)]
        assert np.mean(rates) == pytest.approx(rate, abs=deviation)
    table = power_table(clips, 0.9, [0.0, 0.1, 0.5], studies=60)
    none, some, large = table["Found"]
    assert none <= 0.05 + 3 * (0.05 * 0.95 / 60) ** 0.5
    assert none < some < large == 1
    assert table["Mean UF1 difference"].iloc[1] == pytest.approx(0.1, abs=0.03)


def test_each_subject_gets_its_own_best_epoch_the_first_of_equals() -> None:
    guesses = np.array([[0, 1, 2, 2], [0, 2, 0, 0], [1, 2, 0, 1]])  # three epochs
    subjects = np.array(["t/a", "t/a", "t/b", "t/b"])
    two = EpochPredictions(guesses, np.array([0, 1, 0, 1]), subjects, 3)
    found = best_epoch_predictions(two, [1, 2, 3])
    assert found.tolist() == [[1, 2, 0, 1], [0, 2, 0, 1], [0, 1, 0, 1]]
    equal = EpochPredictions(np.array([[0, 2], [2, 1]]), np.array([0, 1]), subjects[:2], 3)
    assert best_epoch_predictions(equal, [2]).tolist() == [[0, 2]]
    for count in (0, 4):
        with pytest.raises(InputError, match=f"{count} test-set evaluations in 3 epochs"):
            best_epoch_predictions(two, [1, count])
    expected = {1: [1], 2: [1, 2], 12: [1, 2, 5, 10, 12], 100: [1, 2, 5, 10, 20, 50, 100]}
    assert {epochs: evaluation_counts(epochs) for epochs in expected} == expected


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
    predictions = collect_epoch_predictions(peeking, 0)
    assert predictions.guesses.shape == (EPOCHS, len(flowset))
    for run, count in ((honest, 1), (peeking, EPOCHS)):
        expected = float(uf1(confusion_of(collect_predictions(run))))
        assert uf1_by_evaluations(predictions, [count]) == pytest.approx([expected])
    for run, seed in ((honest, 0), (peeking, 7)):
        with pytest.raises(InputError, match=f"no predictions of all epochs .* seed {seed}"):
            collect_epoch_predictions(run, seed)


def test_many_evaluations_of_nothing_score_high() -> None:
    predictions = chance_predictions(LABELS, SUBJECTS, 200, np.random.default_rng(0))
    right = (best_epoch_predictions(predictions, range(1, 61)) == LABELS).sum(1)
    assert (np.diff(right) >= 0).all() and right[-1] > right[0]
    scores = chance_uf1(LABELS, SUBJECTS, [1, 10, 100], draws=20, seed=3)
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
    skilled = simulated_predictions(COMPOSITE, right=0.7)
    constant = Predictions(skilled.table.assign(prediction=0))
    expected = 2 * 250 / (250 + 442) / 3
    assert permuted_uf1(constant, permutations=20) == pytest.approx(np.full(20, expected))
    null, found = permuted_uf1(skilled, permutations=300), pooled(skilled, "uf1")
    assert found > null.max()
    assert p_value(null, found) == pytest.approx(1 / 301)
    values = np.array([0.1, 0.2, 0.3, 0.4])
    assert [p_value(values, observed) for observed in (0.35, 0.4, 0.0)] == [2 / 5, 2 / 5, 1]
    clips = {key: 0 if key.subject < "sub14" else 2 for key in COMPOSITE if key.dataset != "samm"}
    of_one_class = simulated_predictions(clips, right=0.7)
    null = permuted_uf1(of_one_class, within="subject", permutations=10)
    assert null == pytest.approx(np.full(10, pooled(of_one_class, "uf1")))
    assert permuted_uf1(of_one_class, within="all", permutations=10).max() < null.min()
    with pytest.raises(ConfigError, match="did you mean 'subject'"):
        permuted_uf1(skilled, within="subjekt")  # type: ignore[arg-type]


def test_the_null_of_peeking_fits_what_peeking_makes_of_nothing() -> None:
    predictions = chance_predictions(LABELS, SUBJECTS, 30, np.random.default_rng(1))
    null = peeking_null(predictions, permutations=40)
    reached = float(uf1_by_evaluations(predictions, [30])[0])
    assert null.min() > 0.5
    assert abs(reached - null.mean()) < 5 * null.std()
    one = peeking_null(replace(predictions, guesses=predictions.guesses[:1]), permutations=40)
    assert one.mean() == pytest.approx(1 / 3, abs=0.03)
