"""The search: it learns from its trials, goes on where it was, and refuses what it cannot use."""

import sys
from pathlib import Path

import pytest
from conftest import make_flowset, quick_config

from hmrm_lab.errors import ConfigError, InputError
from hmrm_lab.records import FlowSet
from hmrm_lab.studies import search as search_module
from hmrm_lab.studies.search import Range, search
from hmrm_lab.studies.sweep import Sweep

SPACE = {"training.lr": Range(1e-4, 1e-1, log=True), "model.depth": (1, 2)}


class Scored:
    """A cell that nothing was trained for."""

    problem = ""

    def __init__(self, score: float) -> None:
        self.score = score


@pytest.fixture
def flowset() -> FlowSet:
    return make_flowset(subjects=8, per_subject=3)


@pytest.fixture
def sweep(flowset: FlowSet, tmp_path: Path) -> Sweep:
    pytest.importorskip("optuna", reason="the extra 'sweep' is not installed")
    return Sweep.of(quick_config("hmrm", "training.epochs=1"), flowset, tmp_path)


def test_trials_are_cells_and_the_search_goes_on(sweep: Sweep, flowset: FlowSet) -> None:
    first = search(sweep, flowset, SPACE, trials=2)
    assert first["Trial"].tolist() == [1, 2]
    assert first["training.lr"].between(1e-4, 1e-1).all()
    assert first["model.depth"].isin([1, 2]).all()
    for _, row in first.iterrows():
        point = {"training.lr": row["training.lr"], "model.depth": int(row["model.depth"])}
        assert sweep.cell(point).score == row["UF1"]
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
        search_module, "make_cell", lambda sweep, half, point: Scored(point["model.width"] / 400)
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
    monkeypatch.setattr(search_module, "make_cell", lambda *_: diverged)
    assert search(sweep, flowset, SPACE, trials=2)["UF1"].isna().all()


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({}, "nothing to search over"),
        ({"training.lrr": Range(1e-4, 1e-2)}, "did you mean 'training.lr'"),
        ({"training.lr": Range(1e-2, 1e-2)}, "range of training.lr is empty"),
        ({"model.depth": ()}, "range of model.depth is empty"),
        ({"training.lr": Range(-1, 1)}, "training.lr"),
        ({"data.clips": (8, 16)}, "cannot vary data.clips"),
    ],
)
def test_a_space_that_cannot_be_searched(
    sweep: Sweep, flowset: FlowSet, space: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        search(sweep, flowset, space, trials=1)
    assert not sweep.folder.exists()


def test_without_optuna(sweep: Sweep, flowset: FlowSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(InputError, match="install the extra"):
        search(sweep, flowset, SPACE, trials=1)
