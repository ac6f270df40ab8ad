"""Sweeps and searches: the subjects they use, what they propose, keep and refuse, and one score."""

import math
import os
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from conftest import make_flowset, quick_config
from evaluation.test_sealed import poison

from hmrm_lab.errors import ConfigError, DivergedError, FailedFoldsError, InputError, Stopped
from hmrm_lab.evaluation.metrics import confusion_of, uf1
from hmrm_lab.evaluation.summary import collect_predictions
from hmrm_lab.records import FlowSet
from hmrm_lab.runtime.processes import held, workers
from hmrm_lab.runtime.store import RunFolder, read_json
from hmrm_lab.studies import search as search_module
from hmrm_lab.studies import space as spaces
from hmrm_lab.studies import trials
from hmrm_lab.studies.experiment import write_figures
from hmrm_lab.studies.search import points_of, run_grid, search
from hmrm_lab.studies.space import Journal, Range, grid, parse_space
from hmrm_lab.studies.trials import Sweep, development_half, outer_score

POINTS = grid({"model.depth": (1,), "model.width": (8, 16)})
SPACE = {"training.lr": Range(1e-4, 1e-1, log=True), "model.depth": (1, 2)}
RATE = {"training.lr": 0.01}
Patch = pytest.MonkeyPatch
Small = tuple[Sweep, FlowSet]


def scored(score: float, parameters: int = 1) -> SimpleNamespace:
    """A trial that nothing was trained for."""
    return SimpleNamespace(score=score, problem="", record={"parameters": parameters})


@pytest.fixture
def flowset() -> FlowSet:
    return make_flowset(subjects=8, per_subject=3)


@pytest.fixture
def sweep(flowset: FlowSet, tmp_path: Path) -> Sweep:
    return Sweep.of(quick_config("hmrm", "training.epochs=1"), flowset, tmp_path)


@pytest.fixture
def searched(sweep: Sweep) -> Sweep:
    pytest.importorskip("optuna", reason="the extra 'sweep' is not installed")
    return sweep


def test_spaces_are_read_as_they_are_typed() -> None:
    typed = {
        "training.lr=1e-4..1e-2:log": Range(1e-4, 1e-2, log=True),
        "model.dropout = 0 .. 0.6": Range(0, 0.6),
        "model.width=32..128:32": Range(32, 128, step=32),
        "model.depth=1..4": Range(1, 4),
        "model.tokens=pixels|regions": ("pixels", "regions"),
        "augment.flip=true|false": (True, False),
        'input.channels=["u", "v"]|["u", "v", "strain"]': ('["u", "v"]', '["u", "v", "strain"]'),
        "loss.gamma=-1.5..2": Range(-1.5, 2),
    }
    space = parse_space(typed)
    assert list(space.values()) == list(typed.values())
    space = parse_space(["model.dropout=0..1", "model.width=8..16", "model.tokens=a|b"])
    kinds = spaces.in_kind(space, {"model": {"dropout": 0.4, "width": 64, "tokens": "a"}})
    assert [kinds["model.dropout"].whole, kinds["model.width"].whole] == [False, True]


def test_a_grid_takes_values_and_steps() -> None:
    space = parse_space(["model.width=32..100:32", "model.dropout=0..0.3:0.1", "model.depth=2|1|2"])
    values = spaces.grid_values(space)
    assert list(values.values()) == [(32, 64, 96), (0, 0.1, 0.2, 0.3), (2, 1)]
    with pytest.raises(ConfigError, match=r"cannot try all numbers of model\.depth; give a step"):
        spaces.grid_values(parse_space(["model.depth=1..4"]))
    points = grid(values)
    assert points[1] == {"model.width": 32, "model.dropout": 0, "model.depth": 1}


def test_what_cannot_be_read_is_one_sentence() -> None:
    refused = Path(__file__).with_name("refused_spaces.toml").read_text(encoding="utf-8")
    for texts, message in tomllib.loads(refused).items():
        with pytest.raises(ConfigError, match=message):
            parse_space(texts.split(","))
    assert spaces.whole_numbers("widths", "128 64 64") == (64, 128)
    for text in ("", "0", "1.5"):
        with pytest.raises(ConfigError, match=f"widths: '{text}' are not whole numbers"):
            spaces.whole_numbers("widths", text)


def test_trials_answer_for_the_development_subjects_alone(sweep: Sweep, flowset: FlowSet) -> None:
    run_grid(sweep, flowset, POINTS[:1])
    record = read_json(sweep.folder / "sweep.json")
    half = record["development_subjects"]
    assert half == sorted(set(development_half(flowset).subjects))
    assert record["other_subjects"] == sorted(set(flowset.subjects) - set(half))
    trial = sweep.trial(POINTS[0])
    assert sorted(trial.predictions.subjects.unique()) == half
    assert len(trial.predictions) == 4 * 3, "every clip of theirs once"
    assert trial.score == pytest.approx(float(uf1(confusion_of(trial.predictions))))
    assert trial.groups()["Clips"].sum() == 12
    assert "not a test result" in trial.caption()
    before = sweep.file(POINTS[0]).stat().st_mtime_ns
    run_grid(sweep, flowset, POINTS)
    assert sweep.file(POINTS[0]).stat().st_mtime_ns == before, "it is not made again"
    table = trials.trials_table(trial for point in POINTS if (trial := sweep.trial(point)))
    assert table["model.width"].tolist() == [8, 16]


def test_the_other_half_changes_nothing(sweep: Sweep, flowset: FlowSet) -> None:
    """Poisoned maps and labels of all other subjects: the same answers, bit for bit."""
    others = ~np.isin(flowset.subjects, development_half(flowset).subjects)
    clean = trials.run_trial(sweep, development_half(flowset), POINTS[0])
    elsewhere = Sweep(sweep.base, sweep.folder.parent / "poisoned")
    dirty = trials.run_trial(elsewhere, development_half(poison(flowset, others)), POINTS[0])
    assert clean.predictions.table.equals(dirty.predictions.table)


def test_a_group_is_answered_unseen(sweep: Sweep, flowset: FlowSet, monkeypatch: Patch) -> None:
    seen = []

    def diverge(config: object, half: FlowSet, unit: object) -> dict[str, object]:
        rows = unit.fold.train, unit.fold.test
        seen.append([{half.subjects[row] for row in some} for some in rows])
        if len(seen) == 4:
            raise DivergedError("the loss is nan in epoch 1")
        return {"predictions": [], "seconds": 0, "seed": 0}

    monkeypatch.setattr(trials, "run_fold", diverge)
    run_grid(sweep, flowset, POINTS[:1])
    assert len(seen) == 4
    assert all(train and test and train.isdisjoint(test) for train, test in seen)
    trial = sweep.trial(POINTS[0])
    notes = trials.trials_table([trial])["Note"].tolist()
    assert [trial.problem] == notes == ["the loss is nan in epoch 1"]
    assert math.isnan(trial.score)


def test_what_cannot_be_swept_is_refused_before_any_work(sweep: Sweep, flowset: FlowSet) -> None:
    for point, message in (
        ({"model.widht": 8}, "did you mean 'width'"),
        ({"evaluation.seeds": 1}, "cannot vary evaluation.seeds"),
        ({"model.name": "ststnet"}, "cannot vary model.name"),
    ):
        with pytest.raises(ConfigError, match=message):
            run_grid(sweep, flowset, [*POINTS, point])
    assert not sweep.folder.exists()
    out = sweep.folder.parent
    with pytest.raises(ConfigError, match="choose what peeks best"):
        Sweep.of(quick_config("hmrm", "evaluation.epoch_rule=oracle_test"), flowset, out)
    with pytest.raises(InputError, match="3 subjects are too few"):
        development_half(make_flowset(subjects=3))
    assert Sweep.of(sweep.base, flowset, out) == sweep
    assert Sweep.of(sweep.base, make_flowset(subjects=6), out).folder != sweep.folder
    assert Sweep.of(quick_config("hmrm"), flowset, out).folder != sweep.folder


def test_a_search_keeps_its_trials_and_goes_on(searched: Sweep, flowset: FlowSet) -> None:
    first = search(searched, flowset, SPACE, trials=2)
    assert first["training.lr"].between(1e-4, 1e-1).all()
    row = first.iloc[1]
    point = {"training.lr": row["training.lr"], "model.depth": int(row["model.depth"])}
    assert searched.trial(point).score == row["UF1"]
    told: list[int] = []
    more = search(searched, flowset, SPACE, trials=3, on_trial=lambda done, _: told.append(done))
    assert told == [2, 3]
    assert more.head(2).equals(first.head(2))
    (lock,) = searched.folder.glob("search-*.lock")
    with held(lock), pytest.raises(InputError, match=f"process {os.getpid()} on .+ works in"):
        search(searched, flowset, SPACE, trials=1)
    assert search(searched, flowset, SPACE, trials=1).equals(more), "nothing is left to do"


def test_what_cannot_be_searched(searched: Sweep, flowset: FlowSet, monkeypatch: Patch) -> None:
    for over, message in (
        ({}, "nothing to search over"),
        ({"training.lrr": Range(1e-4, 1e-2)}, "did you mean 'training.lr'"),
        ({"model.depth": ()}, "range of model.depth is empty"),
        ({"training.lr": Range(-1, 1)}, "training.lr"),
        ({"data.clips": (8, 16)}, "cannot vary data.clips"),
    ):
        with pytest.raises(ConfigError, match=message):
            search(searched, flowset, over, trials=1)
    assert not searched.folder.exists()
    estimator = Sweep.of(quick_config("svm"), flowset, searched.folder.parent)
    with pytest.raises(ConfigError, match="no parameters to be counted"):
        search(estimator, flowset, {"model.c": (1, 2)}, trials=1, sampler="nsga2")
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(InputError, match="install the extra"):
        search(searched, flowset, SPACE, trials=1)


def test_the_front_of_two_aims() -> None:
    table = pd.DataFrame({"UF1": [0.5, 0.6, 0.6, 0.4, math.nan], "Parameters": [10, 20, 30, 5, 1]})
    assert trials.on_front(table).tolist() == [True, True, False, True, False]


@pytest.mark.parametrize("sampler", ["tpe", "nsga2"])
def test_cut_off_it_proposes_what_it_would_have_proposed(
    sampler: str, searched: Sweep, flowset: FlowSet, monkeypatch: Patch
) -> None:
    """In a training, between two values of a trial, and amid those that are trained at a time."""
    import optuna

    def cost_and_score(sweep: Sweep, half: FlowSet, point: dict[str, float]) -> SimpleNamespace:
        width, depth = point["model.width"], point["model.depth"]
        return scored(min(width, 200) / 200, int(width * depth))

    scope = {"model.width": Range(8, 400), "model.depth": (1, 2, 3)}
    how = {"sampler": sampler, "population": 4, "random_trials": 3, "trials": 12, "jobs": 4}
    monkeypatch.setattr(search_module, "workers", lambda jobs, return_as: workers(1, return_as))
    monkeypatch.setattr(search_module, "run_trial", cost_and_score)
    elsewhere = Sweep(searched.base, searched.folder.parent / "uninterrupted")
    whole = search(elsewhere, flowset, scope, **how)
    cuts = [(search_module, "run_trial", 7)]
    cuts += [(optuna.trial.Trial, "_suggest", number) for number in (3, 16, 21)]
    cuts += [(Journal, "record", number) for number in (2, 5)]
    for folder, (owner, name, number) in enumerate(cuts):
        cut = Sweep(searched.base, searched.folder.parent / str(folder))
        left, real = iter(range(number)), getattr(owner, name)

        def stop(*arguments: object, left: object = left, real: object = real) -> object:
            if next(left, None) is None:
                raise Stopped(143)
            return real(*arguments)

        with monkeypatch.context() as patched:
            patched.setattr(owner, name, stop)
            with pytest.raises(Stopped):
                search(cut, flowset, scope, **how)
        assert search(cut, flowset, scope, **how).equals(whole), name


def test_no_score_says_why(searched: Sweep, flowset: FlowSet, monkeypatch: Patch) -> None:
    def fussy(sweep: Sweep, half: FlowSet, point: dict[str, float]) -> SimpleNamespace:
        if point["model.depth"] == 2:
            raise ConfigError("too deep for this width", hint="take another")
        return scored(0.5)

    monkeypatch.setattr(search_module, "run_trial", fussy)
    space = {"model.width": (8, 16), "model.depth": (1, 2)}
    history = search(searched, flowset, space, trials=8, sampler="nsga2", population=3)
    deep = history["model.depth"] == 2
    assert 0 < deep.sum() < 8
    assert history["UF1"].isna().equals(deep)
    assert history.loc[deep, "Note"].str.startswith("too deep").all()
    assert all(point["model.depth"] == 1 for point in points_of(history, space))


@pytest.fixture
def small(tmp_path: Path) -> Small:
    flowset = make_flowset(subjects=4, per_subject=3)
    config = quick_config("hmrm", "training.epochs=1", "model.width=8")
    sweep = Sweep.of(config, flowset, tmp_path / "small")
    trials.begin(sweep, flowset)
    return sweep, flowset


def test_the_outer_score_is_that_of_the_run_it_makes(small: Small) -> None:
    sweep, flowset = small
    settings = {"training.lr": 0.02, "training.epochs": 12}
    outer = outer_score(sweep, flowset, settings)
    run, before = (RunFolder.of(sweep.config(s), sweep.folder.parent) for s in (settings, {}))
    assert outer.run.path == run.path
    assert outer.parts[trials.ALL] == run.metrics()["all"]
    halves = read_json(sweep.folder / "sweep.json")
    assert outer.parts[trials.HELD_OUT]["subjects"] == len(halves["other_subjects"]) == 2
    answers = collect_predictions(run)
    theirs = answers.table[answers.subjects.isin(halves["other_subjects"])]
    right = (theirs["truth"] == theirs["prediction"]).mean()
    assert outer.parts[trials.HELD_OUT]["acc"] == pytest.approx(right, abs=1e-6)
    gap = outer.parts[trials.ALL]["uf1"] - before.metrics()["all"]["uf1"]
    assert outer.gains[trials.ALL]["difference"] == pytest.approx(gap, abs=2e-6)
    assert outer.as_dict()["seen"] == 1, "the recipe was not chosen"
    assert "less that of the recipe as it was" in outer.as_text()
    assert not outer_score(sweep, flowset, {}).gains


def test_each_setting_is_counted_once(small: Small) -> None:
    sweep, flowset = small
    first = outer_score(sweep, flowset, RATE)
    assert (first.seen, first.again) == (1, False)
    again = outer_score(sweep, flowset, RATE)
    assert (again.seen, again.again, again.first_look) == (1, True, first.first_look)
    other = outer_score(sweep, flowset, {"training.lr": 0.02})
    assert (other.seen, other.again) == (2, False)
    assert "outer score seen 2 times; after the first look" in other.as_text()
    neighbour = Sweep.of(quick_config("hmrm", "training.epochs=1"), flowset, sweep.folder.parent)
    trials.begin(neighbour, flowset)
    beside = outer_score(neighbour, flowset, {"model.width": 8, "training.lr": 0.03})
    # three settings, and the recipes of both sweeps
    assert (beside.seen, beside.evaluations) == (1, (5, 5))
    assert "evaluated 5 times from this folder, under 5 settings" in beside.caveat()


def test_missing_folds_keep_the_score_sealed(small: Small, monkeypatch: Patch) -> None:
    sweep, flowset = small
    run = outer_score(sweep, flowset, {}).run
    monkeypatch.setattr(trials, "run_experiment", lambda *_, **__: run)
    rates = [0.001 * n for n in range(1, 7)]
    with ThreadPoolExecutor() as pool:
        for rate in rates * 2:
            pool.submit(outer_score, sweep, flowset, {"training.lr": rate})
    assert trials.count_outer_scores(sweep.folder) == 1 + len(rates)
    run.fold_file("toy/s01", 0).unlink()
    write_figures(run)
    with pytest.raises(FailedFoldsError, match="no outer score"):
        outer_score(sweep, flowset, RATE)
    assert trials.count_outer_scores(sweep.folder) == 1 + len(rates)
