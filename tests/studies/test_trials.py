"""Trials and grids: the subjects they use, what they keep, and what they refuse."""

import math
from pathlib import Path

import numpy as np
import pytest
from conftest import make_flowset, quick_config

from hmrm_lab.datasets.classes import MEGC3
from hmrm_lab.errors import ConfigError, DivergedError, InputError
from hmrm_lab.evaluation.metrics import confusion_of, uf1
from hmrm_lab.records import FlowSet
from hmrm_lab.runtime.store import read_json
from hmrm_lab.studies import trials as module
from hmrm_lab.studies.search import run_grid
from hmrm_lab.studies.space import grid
from hmrm_lab.studies.trials import Sweep, development_half, trials_table

POINTS = grid({"model.depth": (1,), "model.width": (8, 16)})


@pytest.fixture
def flowset() -> FlowSet:
    return make_flowset(subjects=8, per_subject=3)


@pytest.fixture
def sweep(flowset: FlowSet, tmp_path: Path) -> Sweep:
    return Sweep.of(quick_config("hmrm", "training.epochs=1"), flowset, tmp_path)


def test_trials_answer_for_the_development_subjects_alone(sweep: Sweep, flowset: FlowSet) -> None:
    run_grid(sweep, flowset, POINTS)
    record = read_json(sweep.folder / "sweep.json")
    half = record["development_subjects"]
    assert half == sorted(set(development_half(flowset).subjects))
    assert len(half) == len(record["other_subjects"]) == 4
    assert set(half).isdisjoint(record["other_subjects"])
    trial = sweep.trial(POINTS[0])
    assert sorted(trial.predictions.subjects.unique()) == half
    assert len(trial.predictions) == 4 * 3, "every clip of theirs once"
    assert trial.score == pytest.approx(float(uf1(confusion_of(trial.predictions))))
    assert trial.groups()["Clips"].sum() == 12
    assert "not a test result" in trial.caption()
    assert list(trial.history()["epoch"]) == [1] * 4


def test_the_other_half_changes_nothing(sweep: Sweep, flowset: FlowSet) -> None:
    """Poisoned maps and labels of all other subjects: the same answers, bit for bit."""
    others = ~np.isin(flowset.subjects, development_half(flowset).subjects)
    poisoned = FlowSet(
        np.where(others[:, None, None, None], np.float32(np.nan), flowset.maps),
        np.where(others, (flowset.labels + 1) % 3, flowset.labels),
        flowset.keys,
        MEGC3.classes,
    )
    clean = module.run_trial(sweep, development_half(flowset), POINTS[0])
    elsewhere = Sweep(sweep.base, sweep.folder.parent / "poisoned")
    dirty = module.run_trial(elsewhere, development_half(poisoned), POINTS[0])
    assert clean.predictions.table.equals(dirty.predictions.table)


def test_a_group_is_answered_by_a_model_that_has_not_met_it(
    sweep: Sweep, flowset: FlowSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def spy(config: object, half: FlowSet, unit: object) -> dict[str, object]:
        train, test = (
            {half.subjects[row] for row in rows} for rows in (unit.fold.train, unit.fold.test)
        )
        seen.append((train, test))
        return real(config, half, unit)

    real = module.run_fold
    monkeypatch.setattr(module, "run_fold", spy)
    run_grid(sweep, flowset, POINTS[:1])
    assert len(seen) == 4
    assert all(train and test and train.isdisjoint(test) for train, test in seen)


def test_finished_trials_are_not_made_again(sweep: Sweep, flowset: FlowSet) -> None:
    run_grid(sweep, flowset, POINTS[:1])
    before = sweep.file(POINTS[0]).stat().st_mtime_ns
    told: list[tuple[int, int]] = []
    run_grid(sweep, flowset, POINTS, on_progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 2), (2, 2)]
    assert sweep.file(POINTS[0]).stat().st_mtime_ns == before
    table = trials_table(trial for point in POINTS if (trial := sweep.trial(point)))
    assert table["model.width"].tolist() == [8, 16]
    assert table["Parameters"].is_monotonic_increasing
    assert (table["UF1 low"] <= table["UF1"]).all()


def test_other_data_or_another_recipe_have_another_folder(sweep: Sweep, flowset: FlowSet) -> None:
    out = sweep.folder.parent
    assert Sweep.of(sweep.base, flowset, out) == sweep
    assert Sweep.of(sweep.base, make_flowset(subjects=6), out).folder != sweep.folder
    assert Sweep.of(quick_config("hmrm"), flowset, out).folder != sweep.folder


def test_a_training_that_diverges_has_a_trial_without_a_score(
    sweep: Sweep, flowset: FlowSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge(*_: object) -> None:
        raise DivergedError("the loss is nan in epoch 1")

    monkeypatch.setattr(module, "run_fold", diverge)
    run_grid(sweep, flowset, POINTS[:1])
    trial = sweep.trial(POINTS[0])
    assert trial.problem == "the loss is nan in epoch 1"
    assert math.isnan(trial.score)
    assert trials_table([trial])["Note"].iloc[0] == trial.problem


def test_what_cannot_be_swept_is_refused_before_any_work(sweep: Sweep, flowset: FlowSet) -> None:
    for point, message in (
        ({"model.widht": 8}, "did you mean 'width'"),
        ({"model.width": "wide"}, "width"),
        ({"evaluation.seeds": 1}, "cannot vary evaluation.seeds"),
        ({"flow.name": "tvl1"}, "cannot vary flow.name"),
        ({"model.name": "ststnet"}, "cannot vary model.name"),
    ):
        with pytest.raises(ConfigError, match=message):
            run_grid(sweep, flowset, [*POINTS, point])
    assert not sweep.folder.exists()


def test_peeking_and_too_few_subjects_are_refused(flowset: FlowSet, tmp_path: Path) -> None:
    peeking = quick_config("hmrm", "evaluation.epoch_rule=oracle_test")
    with pytest.raises(ConfigError, match="choose what peeks best"):
        Sweep.of(peeking, flowset, tmp_path)
    with pytest.raises(InputError, match="3 subjects are too few"):
        development_half(make_flowset(subjects=3))
