"""The search: it learns from its trials, resumes, and refuses what it cannot use."""

import os
import sys
from pathlib import Path

import pandas as pd
import pytest
from conftest import make_flowset, quick_config

from hmrm_lab.errors import ConfigError, InputError, Stopped
from hmrm_lab.records import FlowSet
from hmrm_lab.runtime.processes import workers
from hmrm_lab.studies import search as search_module
from hmrm_lab.studies import space
from hmrm_lab.studies.search import points_of, search
from hmrm_lab.studies.space import Journal, Range
from hmrm_lab.studies.trials import Sweep, on_front

SPACE = {"training.lr": Range(1e-4, 1e-1, log=True), "model.depth": (1, 2)}


class Scored:
    """A trial that nothing was trained for."""

    problem = ""

    def __init__(self, score: float, parameters: int = 1) -> None:
        self.score = score
        self.record = {"parameters": parameters}


@pytest.fixture
def flowset() -> FlowSet:
    return make_flowset(subjects=8, per_subject=3)


@pytest.fixture
def sweep(flowset: FlowSet, tmp_path: Path) -> Sweep:
    pytest.importorskip("optuna", reason="the extra 'sweep' is not installed")
    return Sweep.of(quick_config("hmrm", "training.epochs=1"), flowset, tmp_path)


def test_trials_are_kept_and_the_search_goes_on(sweep: Sweep, flowset: FlowSet) -> None:
    first = search(sweep, flowset, SPACE, trials=2)
    assert first["Trial"].tolist() == [1, 2]
    assert first["training.lr"].between(1e-4, 1e-1).all()
    assert first["model.depth"].isin([1, 2]).all()
    for _, row in first.iterrows():
        point = {"training.lr": row["training.lr"], "model.depth": int(row["model.depth"])}
        assert sweep.trial(point).score == row["UF1"]
    told: list[tuple[int, int]] = []
    more = search(
        sweep, flowset, SPACE, trials=3, on_trial=lambda done, total: told.append((done, total))
    )
    assert told == [(2, 3), (3, 3)]
    assert more.head(2).equals(first.head(2))
    assert search(sweep, flowset, SPACE, trials=1).equals(more), "nothing is left to do"


def test_it_finds_what_is_better(
    sweep: Sweep, flowset: FlowSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scores that grow with the width: the later trials are wider than the blind ones."""
    monkeypatch.setattr(
        search_module, "run_trial", lambda sweep, half, point: Scored(point["model.width"] / 400)
    )
    history = search(
        sweep, flowset, {"model.width": Range(8, 400)}, trials=30, random_trials=8, seed=1
    )
    assert history["Best"].is_monotonic_increasing
    widths = history["model.width"]
    assert widths.tail(10).mean() > widths.head(8).mean()
    assert history["Best"].iloc[-1] > 0.9


def test_a_trial_that_diverges_has_no_score(
    sweep: Sweep, flowset: FlowSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    diverged = Scored(float("nan"))
    diverged.problem = "the loss is nan"
    monkeypatch.setattr(search_module, "run_trial", lambda *_: diverged)
    assert search(sweep, flowset, SPACE, trials=2)["UF1"].isna().all()


def test_a_space_that_cannot_be_searched(sweep: Sweep, flowset: FlowSet) -> None:
    for over, message in (
        ({}, "nothing to search over"),
        ({"training.lrr": Range(1e-4, 1e-2)}, "did you mean 'training.lr'"),
        ({"training.lr": Range(1e-2, 1e-2)}, "range of training.lr is empty"),
        ({"model.depth": ()}, "range of model.depth is empty"),
        ({"training.lr": Range(-1, 1)}, "training.lr"),
        ({"data.clips": (8, 16)}, "cannot vary data.clips"),
    ):
        with pytest.raises(ConfigError, match=message):
            search(sweep, flowset, over, trials=1)
    with pytest.raises(ConfigError, match="did you mean 'nsga2'"):
        search(sweep, flowset, SPACE, trials=1, sampler="nsga")
    assert not sweep.folder.exists()
    estimator = Sweep.of(quick_config("svm"), flowset, sweep.folder.parent)
    with pytest.raises(ConfigError, match="no parameters to be counted"):
        search(estimator, flowset, {"model.c": (1, 2)}, trials=1, sampler="nsga2")


def test_without_optuna(sweep: Sweep, flowset: FlowSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(InputError, match="install the extra"):
        search(sweep, flowset, SPACE, trials=1)


def cost_and_score(sweep: Sweep, half: FlowSet, point: dict[str, float]) -> Scored:
    """A wider model is better up to 200, and costs more; a deeper one only costs."""
    width, depth = point["model.width"], point["model.depth"]
    return Scored(min(width, 200) / 200, int(width * depth))


def test_two_aims_give_a_front(
    sweep: Sweep, flowset: FlowSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_module, "run_trial", cost_and_score)
    space = {"model.width": Range(8, 400, step=8), "model.depth": (1, 2, 3)}
    history = search(sweep, flowset, space, trials=40, sampler="nsga2", population=10, seed=2)
    front = history[history["Front"]]
    for _, row in front.iterrows():
        no_worse = (history["UF1"] >= row["UF1"]) & (history["Parameters"] <= row["Parameters"])
        better = (history["UF1"] > row["UF1"]) | (history["Parameters"] < row["Parameters"])
        assert not (no_worse & better).any()
    beaten = history[~history["Front"]]
    assert len(beaten)
    for _, row in beaten.iterrows():
        no_worse = (front["UF1"] >= row["UF1"]) & (front["Parameters"] <= row["Parameters"])
        assert no_worse.any()
    assert (history["model.depth"].tail(20) == 1).mean() > 0.5, "a third, drawn blindly"


@pytest.mark.parametrize("sampler", ["tpe", "nsga2"])
def test_cut_off_it_proposes_what_it_would_have_proposed(
    sampler: str, sweep: Sweep, flowset: FlowSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a training, between two values of a trial, and amid those that are trained at a time."""
    scope = {"model.width": Range(8, 400), "model.depth": (1, 2, 3)}
    how = {"sampler": sampler, "population": 4, "random_trials": 3, "trials": 12, "jobs": 4}
    monkeypatch.setattr(search_module, "workers", lambda jobs, return_as: workers(1, return_as))
    monkeypatch.setattr(search_module, "run_trial", cost_and_score)
    elsewhere = Sweep(sweep.base, sweep.folder.parent / "uninterrupted")
    whole = search(elsewhere, flowset, scope, **how)
    cuts = [(search_module, "run_trial", 7)]
    cuts += [(space, "_suggest", number) for number in (3, 16, 21)]
    cuts += [(Journal, "record", number) for number in (2, 5)]
    for folder, (module, name, number) in enumerate(cuts):
        cut = Sweep(sweep.base, sweep.folder.parent / str(folder))
        left, real = iter(range(number)), getattr(module, name)

        def stop(*arguments: object, left: object = left, real: object = real) -> object:
            if next(left, None) is None:
                raise Stopped(143)
            return real(*arguments)

        with monkeypatch.context() as patched:
            patched.setattr(module, name, stop)
            with pytest.raises(Stopped):
                search(cut, flowset, scope, **how)
        assert search(cut, flowset, scope, **how).equals(whole), name


def test_one_process_works_on_a_search(
    sweep: Sweep, flowset: FlowSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def intrude(done: int, total: int) -> None:
        with pytest.raises(InputError, match=f"process {os.getpid()} on .+ works in"):
            search(sweep, flowset, SPACE, trials=1)
        refused.append(done)

    refused: list[int] = []
    monkeypatch.setattr(search_module, "run_trial", lambda *_: Scored(0.5))
    search(sweep, flowset, SPACE, trials=1, on_trial=intrude)
    assert refused == [0, 1]
    assert len(search(sweep, flowset, SPACE, trials=2)) == 2


def test_values_that_do_not_go_together_have_no_score(
    sweep: Sweep, flowset: FlowSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fussy(sweep: Sweep, half: FlowSet, point: dict[str, float]) -> Scored:
        if point["model.depth"] == 2:
            raise ConfigError("too deep for this width", hint="take another")
        return Scored(0.5)

    monkeypatch.setattr(search_module, "run_trial", fussy)
    space = {"model.width": (8, 16), "model.depth": (1, 2)}
    history = search(sweep, flowset, space, trials=8, sampler="nsga2", population=3)
    deep = history["model.depth"] == 2
    assert 0 < deep.sum() < 8
    assert history["UF1"].isna().equals(deep)
    assert history.loc[deep, "Note"].str.startswith("too deep").all()
    assert not history.loc[deep, "Front"].any()
    assert all(point["model.depth"] == 1 for point in points_of(history, space))


def test_the_front_of_two_aims() -> None:
    table = pd.DataFrame(
        {"UF1": [0.5, 0.6, 0.6, 0.4, float("nan")], "Parameters": [10, 20, 30, 5, 1]}
    )
    assert on_front(table).tolist() == [True, True, False, True, False]
