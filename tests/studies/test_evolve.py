"""The evolutionary search: it finds what was planted, goes on where it was, and stays sealed."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import make_flowset, quick_config
from evaluation.test_sealed import poison
from searched_toy import BEST, NAME, distance, registered

from hmrm_lab.config import ExperimentConfig
from hmrm_lab.errors import ConfigError, InputError, Stopped
from hmrm_lab.evaluation.metrics import confusion, uf1
from hmrm_lab.records import FlowSet
from hmrm_lab.runtime.processes import held
from hmrm_lab.runtime.store import read_json
from hmrm_lab.studies import supernet
from hmrm_lab.studies.evolve import LOCK, Evolution, Evolved, breed, evolve, evolved, keep_evolved
from hmrm_lab.studies.space import Journal, Range, grid_values
from hmrm_lab.studies.supernet import Choice, Fitness
from hmrm_lab.studies.trials import development_half
from hmrm_lab.training.trainer import load_model

optuna = pytest.importorskip("optuna", reason="the extra 'sweep' is not installed")
Patch = pytest.MonkeyPatch


@pytest.fixture(autouse=True)
def toys() -> Iterator[None]:
    with registered():
        yield


@pytest.fixture
def flowset() -> FlowSet:
    return make_flowset(subjects=8, per_subject=3)


def toy_config(*overrides: str) -> ExperimentConfig:
    return quick_config(NAME, "training.epochs=6", "training.lr=0.05", *overrides)


def planted(choices: Sequence[Choice]) -> list[Fitness]:
    """UF1 in steps of a tenth, so that cross-entropy has to lead over its plateaus."""
    return [Fitness(round(1 - distance(choice), 1), distance(choice)) for choice in choices]


def test_it_finds_what_was_planted_and_beats_chance(flowset: FlowSet, tmp_path: Path) -> None:
    evolution = Evolution.of(toy_config(), flowset, tmp_path)
    storage = optuna.storages.InMemoryStorage()
    journal = Journal(optuna.create_study(direction="maximize", storage=storage), storage)
    breed(evolution, journal, planted, lambda done, total: None)
    found = evolved(evolution, journal)
    assert len(found.table) == 16 * 12
    assert found.fitness == planted([found.winner])[0]
    means = found.table.groupby("Generation")["Cross-entropy"].mean()
    assert means.iloc[-3:].mean() < 0.7 * means.iloc[0], "generations get better"
    grid = grid_values({"ratio": Range(0.2, 1.0, step=0.05)})["ratio"]
    assert set(found.table["ratio 3"]) <= set(grid), "no dust of added steps"
    rng = np.random.default_rng(0)
    alphas, ratios = np.exp(rng.uniform(0, np.log(16), 16 * 12)), rng.uniform(0.2, 1, (16 * 12, 4))
    by_chance = min(distance(Choice(*pair)) for pair in zip(alphas, ratios, strict=True))
    assert distance(found.winner) < min(0.05, 0.6 * by_chance)


def test_real_super_networks_lead_to_the_planted_choice(flowset: FlowSet, tmp_path: Path) -> None:
    evolution = Evolution.of(
        toy_config("evaluation.seeds=[0, 1]"), flowset, tmp_path, population=6, generations=4
    )
    found = evolve(evolution, flowset)
    tried = found.table.iloc[:, 2:7].to_numpy()
    gaps = [distance(Choice(alpha, tuple(ratios))) for alpha, *ratios in tried]
    assert distance(found.winner) == pytest.approx(min(gaps))
    order = found.table["Cross-entropy"].corr(pd.Series(gaps), method="spearman")
    assert order > 0.99, "the networks tell near from far, although no step was trained for one"
    assert found.fitness.uf1 == found.table["UF1"].max() == found.table["Best"].iloc[-1]
    before = {p: p.stat().st_mtime_ns for p in (evolution.sweep.folder / "supernets").iterdir()}
    more = evolve(Evolution(evolution.sweep, population=6, generations=5), flowset)
    assert more.table.head(24).equals(found.table)
    assert before == {p: p.stat().st_mtime_ns for p in before}, "trained once"


def test_fitness_is_that_of_the_answers(flowset: FlowSet, tmp_path: Path) -> None:
    """A naive loop over the stored networks gives the same numbers."""
    evolution = Evolution.of(toy_config(), flowset, tmp_path, population=2, generations=1)
    found = evolve(evolution, flowset)
    half = development_half(flowset)
    row = found.table.iloc[1]
    truth, answers, entropies = [], [], []
    for unit in supernet.inner_units(half, (0,)):
        fitted = load_model(supernet.supernet_file(evolution.sweep, unit), evolution.sweep.base, 28)
        fitted.model.choose(row["alpha"], tuple(row.iloc[3:7]))
        for position in unit.fold.test:
            clip = half.take([position])
            probabilities = fitted.classify(clip)[0]
            truth.append(int(clip.labels[0]))
            answers.append(int(probabilities.argmax()))
            entropies.append(-np.log(probabilities[truth[-1]]))
    assert row["UF1"] == pytest.approx(float(uf1(confusion(np.array(truth), np.array(answers), 3))))
    assert row["Cross-entropy"] == pytest.approx(np.mean(entropies), rel=1e-4)


def test_cut_off_it_ends_alike(flowset: FlowSet, tmp_path: Path, monkeypatch: Patch) -> None:
    size = {"population": 4, "generations": 3}
    whole = evolve(Evolution.of(toy_config(), flowset, tmp_path / "whole", **size), flowset)
    evolution = Evolution.of(toy_config(), flowset, tmp_path / "cut", **size)
    rated: list[Choice] = []

    def cut(unused: object, half: object, units: object, choices: list[Choice], pool: object):
        if len(rated) >= 8:
            raise Stopped(143)
        rated.extend(choices)
        return real(unused, half, units, choices, pool)

    real = supernet.rate_choices
    monkeypatch.setattr("hmrm_lab.studies.supernet.rate_choices", cut)
    with pytest.raises(Stopped):
        evolve(evolution, flowset)
    monkeypatch.undo()
    told: list[int] = []
    with held(evolution.sweep.folder / LOCK), pytest.raises(InputError, match="works in"):
        evolve(evolution, flowset)
    resumed = evolve(evolution, flowset, on_trials=lambda done, total: told.append(done))
    assert told[0] == 8
    assert resumed.table.equals(whole.table)


def test_sealed_clips_train_nothing(flowset: FlowSet, tmp_path: Path, monkeypatch: Patch) -> None:
    half = development_half(flowset)
    trained: list[set[str]] = []

    def spy(config: ExperimentConfig, train: FlowSet, **how: object) -> object:
        trained.append(set(train.subjects))
        return real(config, train, **how)

    real = supernet.fit
    monkeypatch.setattr(supernet, "fit", spy)
    size = {"population": 2, "generations": 2}
    clean = evolve(Evolution.of(toy_config(), flowset, tmp_path, **size), flowset)
    units = supernet.inner_units(half, (0,))
    assert len(trained) == len(units) == 4
    for persons, unit in zip(trained, units, strict=True):
        held_out = {half.subjects[row] for row in unit.fold.test}
        assert persons == set(half.subjects) - held_out
    unseen = poison(flowset, ~np.isin(flowset.subjects, half.subjects))
    dirty = evolve(Evolution.of(toy_config(), unseen, tmp_path, **size), unseen)
    assert dirty.table.equals(clean.table)
    unit, sweep = units[0], Evolution.of(toy_config(), flowset, tmp_path / "dirty").sweep
    held_out = np.isin(np.arange(len(half)), unit.fold.test)
    supernet.train_supernets(sweep, poison(half, held_out), [unit], 1, lambda done, total: None)
    weights = supernet.supernet_file(sweep, unit).read_bytes()
    assert weights == supernet.supernet_file(clean.evolution.sweep, unit).read_bytes()


def test_the_winner_as_settings_of_a_run(flowset: FlowSet, tmp_path: Path) -> None:
    evolution = Evolution.of(toy_config("training.batch=10"), flowset, tmp_path)
    found = Evolved(evolution, pd.DataFrame(), BEST, Fitness(0.5, 0.7))
    settings = found.settings(clips=24)
    options = {"alpha": 4.0, "ratios": [0.4, 0.7, 0.3, 0.8], "super_steps": 6 * 3 // 2}
    assert settings == {f"model.{name}": value for name, value in options.items()}
    assert found.settings(24, 1.0)["model.super_steps"] == 0
    keep_evolved(found, settings)
    record = read_json(evolution.sweep.folder / "winner.json")
    assert toy_config(*record["overrides"]).model.options == options


def test_what_cannot_be_searched(flowset: FlowSet, tmp_path: Path) -> None:
    for system, settings, message in (
        ("hmrm", {}, "has no alpha, ratios, super_steps"),
        ("mute_toy", {}, "cannot choose"),
        (NAME, {"alphas": Range(2.0, 1.0)}, "range of alpha is empty"),
        (NAME, {"generations": 0}, "cannot be bred"),
        (NAME, {"alphas": Range(1.0, 16.5)}, "alpha cannot be searched from 1 to 16.5, for super-"),
        ("ammsm_temporal", {"ratios": Range(0.1, 0.9)}, "ammsm_temporal draw from 0.2 to 1"),
    ):
        with pytest.raises(ConfigError, match=message):
            Evolution.of(quick_config(system), flowset, tmp_path, **settings)
    with pytest.raises(ConfigError, match="peeks best"):
        Evolution.of(toy_config("evaluation.epoch_rule=oracle_test"), flowset, tmp_path)
