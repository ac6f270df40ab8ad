"""`hmrm compare`, `inputs`, `ablate`, `effects`, `sweep` and `evolve` as a person meets them."""

import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from searched_toy import NAME, registered
from test_cli import REFUSED, hmrm, printed, refused

from hmrm_lab.config import read_config
from hmrm_lab.studies import study as study_module

QUICK = ("--preset", "smoke", "--jobs", 1, "--set", "training.epochs=1", "--set", "data.clips=8")
TWO = (*QUICK, "--set", "data.subjects=2")
TOY = ("evolve", "--preset", "smoke", "--jobs", 1, "--set", "data.clips=12", "--system", NAME)
SMALL = (*TOY, "--population", 3, "--generations", 2)


@pytest.fixture(autouse=True)
def toys() -> Iterator[None]:
    with registered():
        yield


def told(folder: Path, *arguments: object) -> tuple[dict[str, Any], str]:
    """What the command says to programs, and then, with all runs there, to a person."""
    record = json.loads(printed(*arguments, "--json", cwd=folder))
    return record, printed(*arguments, cwd=folder)


def runs_in(folder: Path, system: str = "*") -> int:
    return len(list((folder / "runs").glob(f"{system}-*/config.toml")))


def test_compare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ("compare", *TWO, "--systems", "hmrm,ststnet")
    record, words = told(tmp_path, *command)
    assert {row["System"] for row in record["systems"]} == {"hmrm", "ststnet"}
    assert "epoch rule last" in words
    (folder,) = (tmp_path / "runs").glob("compare-synthetic-*")
    files = {f"comparison.{suffix}" for suffix in ("csv", "html", "json", "tex")}
    assert {path.name for path in folder.iterdir()} == files
    assert runs_in(tmp_path) == 2, "finished runs are taken up"
    run_one = study_module.run_experiment

    def failing(config: Any, **options: Any) -> Any:
        if config.model.name == "hmrm":
            raise ArithmeticError("no such layer")
        return run_one(config, **options)

    monkeypatch.setattr(study_module, "run_experiment", failing)
    failed = hmrm(*command, "--out", "failed", cwd=tmp_path)
    assert failed.returncode == 1
    assert "no such layer" in failed.stderr
    page = (tmp_path / "failed" / "comparison.html").read_text(encoding="utf-8")
    assert "hmrm (honest) failed" in page
    failed = hmrm("ablate", *TWO, "--variant", "slow:training.lr=1e-4", "--json", cwd=tmp_path)
    assert failed.returncode == 1
    assert "FAILED" in json.loads(failed.stdout)["variants"][0]["Note"]


def test_inputs(tmp_path: Path) -> None:
    record, words = told(tmp_path, "inputs", *TWO, "--systems", "ststnet", "--inputs", "flow,mesti")
    assert [cell["Input"] for cell in record["cells"]] == ["onset-apex flow", "MESTI"]
    assert record["cells"][0]["p (Holm)"] == record["cells"][0]["p"]
    assert sorted(record["files"]) == ["csv", "html", "json"]
    assert all((tmp_path / path).is_file() for path in record["files"].values())
    assert "epoch rule last; 2 subjects, 1 seed" in words
    assert "MESTI minus" in words
    assert runs_in(tmp_path) == 2


def test_ablate_with_variants_of_ones_own(tmp_path: Path) -> None:
    system, variant = "ammsm_temporal", "all:model.ratios=[1,1,1,1],training.lr=1e-3"
    chosen = ("--system", system, "--set", "model.width=16", "--variant", variant)
    record, words = told(tmp_path, "ablate", *TWO, *chosen)
    full, changed = record["variants"]
    assert (record["system"], full["Variant"], changed["Variant"]) == (system, "full", "all")
    assert changed["Model"] == "model.ratios=[1, 1, 1, 1], training.lr=0.001"
    assert changed["Difference"] == pytest.approx(changed["UF1"] - full["UF1"], abs=1e-6)
    assert full["Difference"] is None
    assert "UF1 minus full" in words
    assert "flow dis: SMOKE" in words, "the preset, as it stands"
    assert "Paper" not in words, "it claims nothing of this"
    assert runs_in(tmp_path, system) == 2


def test_effects_are_read_on_inner_folds(tmp_path: Path) -> None:
    changes = ("--variant", "thin:model.width=8", "--variant", "same:model.width=16")
    record, words = told(tmp_path, "effects", *QUICK, *changes)
    recipe, thin, same = record["changes"]
    assert thin["Difference"] == pytest.approx(thin["UF1"] - recipe["UF1"], abs=1e-6)
    assert same["UF1"] is None
    assert "not a test result" in words
    assert "the same as recipe" in words
    assert len(list((tmp_path / record["sweep"] / "cells").iterdir())) == 2


def test_sweep_says_that_it_is_no_result(tmp_path: Path) -> None:
    over = ("--space", "augment.flip=true|false", "--space", 'input.channels=["u"]|["u", "v"]')
    record, words = told(tmp_path, "sweep", *QUICK, *over)
    assert "not a test result" in words
    assert [(cell["augment.flip"], cell["input.channels"]) for cell in record["cells"]] == [
        *((True, '["u"]'), (True, '["u", "v"]')),
        *((False, '["u"]'), (False, '["u", "v"]')),
    ]
    assert record["cells"][0]["Parameters"] < record["cells"][1]["Parameters"]
    assert record["outer_score_seen"] == 0
    grid, _ = told(tmp_path, "sweep", *QUICK, "--widths", "8 16", "--depths", "1")
    assert [cell["model.width"] for cell in grid["cells"]] == [8, 16]


def test_a_search_of_two_aims_and_its_outer_score(tmp_path: Path) -> None:
    pytest.importorskip("optuna", reason="the extra 'sweep' is not installed")
    over = ("--space", "model.width=8..16:8", "--space", "model.tokens=windows|pixels")
    search = ("sweep", *QUICK, *over, "--sampler", "nsga2", "--trials", 3, "--population", 2)
    sealed = hmrm(*search, cwd=tmp_path).stdout
    assert "Pareto front of UF1 (up) and parameters (down)" in sealed
    assert "Outer score" not in sealed
    record, words = told(tmp_path, *search, "--outer-score")
    assert [cell["Trial"] for cell in record["cells"]] == [1, 2, 3], "the trials are taken up"
    best = max(record["cells"], key=lambda cell: cell["UF1"])
    outer = record["outer"]
    assert outer["settings"] == {name: best[name] for name in ("model.width", "model.tokens")}
    assert record["outer_score_seen"] == outer["seen"] == 1
    metrics = json.loads((tmp_path / outer["run"] / "metrics.json").read_text())
    assert outer["parts"]["all subjects"] == metrics["all"]
    assert "outer score seen 1 time; after the first look it is no longer unseen" in words
    assert "held-out half, not used for selection  UF1" in words
    assert outer["first_look"] in words


def test_evolve_ends_with_a_run(tmp_path: Path) -> None:
    pytest.importorskip("optuna", reason="the extra 'sweep' is not installed")
    where = ("--out", "my runs")
    record, words = told(tmp_path, *SMALL, "--outer-score", *where)
    assert "not a test result" in words
    assert "the fittest of 6 trials" in words
    assert record["command"] in words, "the same winner"
    assert len(record["trials"]) == 6
    best = max(record["trials"], key=lambda trial: (trial["UF1"], -trial["Cross-entropy"]))
    assert record["winner"]["model.alpha"] == best["alpha"]
    assert record["winner"]["model.ratios"] == [best[f"ratio {n}"] for n in (1, 2, 3, 4)]
    assert record["outer_score_seen"] == record["outer"]["seen"] == 1
    runs = tmp_path.glob("my runs/*-*/config.toml")
    steps = sorted(read_config(path).model.options["super_steps"] for path in runs)
    assert steps == [0, record["winner"]["model.super_steps"]], "the recipe itself, and the winner"
    assert "all subjects" in record["outer"]["gains"]
    files = {path.name for path in (tmp_path / record["sweep"]).iterdir()}
    assert {"trials.csv", "winner.json", "choices.html", "sweep.json"} <= files
    command = shlex.split(record["command"])
    assert command[command.index("--out") + 1] == "my runs"
    again, _ = told(tmp_path, *command[1:], "--set", "data.clips=12", "--jobs", 1)
    assert again["runs"][0]["run"] == record["outer"]["run"], "that very run"


def test_a_search_is_refused_before_flow_is_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    never = lambda *_, **__: pytest.fail("flow was computed")  # noqa: E731
    monkeypatch.setattr("hmrm_lab.api.clips.Clips.maps", never)
    for arguments, message in REFUSED["evolve"].items():
        assert message in refused(tmp_path, "evolve", *QUICK, *shlex.split(arguments))
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert "install the extra" in hmrm(*SMALL, cwd=tmp_path).stderr


def test_what_is_wrong_is_one_sentence(tmp_path: Path) -> None:
    for arguments, message in REFUSED["studies"].items():
        command, *options = shlex.split(arguments)
        assert message in refused(tmp_path, command, *QUICK, *options)
