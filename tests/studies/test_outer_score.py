"""The outer score of a sweep: an ordinary run, counted, and reported for the held-out half."""

import json
from pathlib import Path
from threading import Thread

import pytest
from conftest import make_flowset, quick_config

from hmrm_lab.errors import FailedFoldsError
from hmrm_lab.evaluation.summary import collect_predictions
from hmrm_lab.records import FlowSet
from hmrm_lab.runtime.store import RunFolder, read_json
from hmrm_lab.studies import trials as module
from hmrm_lab.studies.experiment import write_figures
from hmrm_lab.studies.trials import (
    ALL,
    DEVELOPMENT,
    HELD_OUT,
    Sweep,
    begin,
    count_outer_scores,
    outer_score,
)


@pytest.fixture
def flowset() -> FlowSet:
    return make_flowset(subjects=4, per_subject=3)


@pytest.fixture
def sweep(flowset: FlowSet, tmp_path: Path) -> Sweep:
    made = Sweep.of(quick_config("hmrm", "training.epochs=1", "model.width=8"), flowset, tmp_path)
    begin(made, flowset)
    return made


def test_it_is_the_run_that_hmrm_run_makes(sweep: Sweep, flowset: FlowSet) -> None:
    outer = outer_score(sweep, flowset, {"training.lr": 0.01})
    run = RunFolder.of(sweep.config({"training.lr": 0.01}), sweep.folder.parent)
    assert outer.run.path == run.path
    assert outer.parts[ALL] == run.metrics()["all"]
    halves = read_json(sweep.folder / "sweep.json")
    assert outer.parts[HELD_OUT]["subjects"] == len(halves["other_subjects"]) == 2
    assert outer.parts[HELD_OUT]["clips"] + outer.parts[DEVELOPMENT]["clips"] == len(flowset)
    table = collect_predictions(run).table
    theirs = table[(table["dataset"] + "/" + table["subject"]).isin(halves["other_subjects"])]
    right = (theirs["truth"] == theirs["prediction"]).mean()
    assert outer.parts[HELD_OUT]["acc"] == pytest.approx(right, abs=1e-6)
    assert json.loads(json.dumps(outer.as_dict()))["seen"] == 1


def test_what_the_search_gained_is_paired_with_the_recipe(sweep: Sweep, flowset: FlowSet) -> None:
    outer = outer_score(sweep, flowset, {"training.lr": 0.02, "training.epochs": 12})
    before = RunFolder.of(sweep.base, sweep.folder.parent)
    assert outer.gains[ALL]["difference"] == pytest.approx(
        outer.parts[ALL]["uf1"] - before.metrics()["all"]["uf1"], abs=2e-6
    )
    assert outer.gains[ALL]["difference"] != 0
    assert set(outer.gains) == set(outer.parts)
    for gain in outer.gains.values():
        assert gain["low"] <= gain["difference"] <= gain["high"]
        assert 0 < gain["p_value"] <= 1
    assert outer.seen == 1, "the recipe was not chosen"
    assert "less that of the recipe as it was" in outer.as_text()
    unchanged = outer_score(sweep, flowset, {})
    assert not unchanged.gains
    assert "recipe as it was" not in unchanged.as_text()


def test_each_setting_is_counted_once(sweep: Sweep, flowset: FlowSet) -> None:
    first = outer_score(sweep, flowset, {"training.lr": 0.01})
    assert (first.seen, first.again) == (1, False)
    again = outer_score(sweep, flowset, {"training.lr": 0.01})
    assert (again.seen, again.again, again.first_look) == (1, True, first.first_look)
    assert "counted once" in again.as_text()
    other = outer_score(sweep, flowset, {"training.lr": 0.02})
    assert (other.seen, other.again) == (2, False)
    assert "outer score seen 2 times; after the first look" in other.as_text()
    neighbour = Sweep.of(quick_config("hmrm", "training.epochs=1"), flowset, sweep.folder.parent)
    begin(neighbour, flowset)
    beside = outer_score(neighbour, flowset, {"model.width": 8, "training.lr": 0.03})
    # three settings, and the recipes of both sweeps
    assert (beside.seen, beside.evaluations) == (1, (5, 5))
    assert "evaluated 5 times from this folder, under 5 settings" in beside.caveat()


def test_evaluations_at_the_same_time_are_all_counted(
    sweep: Sweep, flowset: FlowSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = outer_score(sweep, flowset, {}).run
    monkeypatch.setattr(module, "run_experiment", lambda *_, **__: done)
    rates = [0.001 * n for n in range(1, 7)]
    threads = [
        Thread(target=outer_score, args=(sweep, flowset, {"training.lr": rate}))
        for rate in rates * 2
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert count_outer_scores(sweep.folder) == 1 + len(rates)


def test_folds_that_are_missing_keep_it_sealed(
    sweep: Sweep, flowset: FlowSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = outer_score(sweep, flowset, {}).run
    run.fold_file("toy/s01", 0).unlink()
    write_figures(run)
    monkeypatch.setattr(module, "run_experiment", lambda *_, **__: run)
    with pytest.raises(FailedFoldsError, match="stays sealed"):
        outer_score(sweep, flowset, {"training.lr": 0.01})
    assert count_outer_scores(sweep.folder) == 1
