"""Executors: the same bytes from any, and a fold that fails stops no other."""

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import quick_config
from evaluation import troubles
from joblib.externals.loky.process_executor import BrokenProcessPool
from reporting.made_runs import figures_of, make_run

from hmrm_lab.errors import ConfigError, DiskFullError, IncompleteRunError, InputError
from hmrm_lab.evaluation import loso
from hmrm_lab.evaluation.fold import CRASHED, MEMORY, FoldRun, failure_of
from hmrm_lab.evaluation.loso import Executor, processes
from hmrm_lab.evaluation.protocols import Fold
from hmrm_lab.evaluation.summary import describe_failures, stamp
from hmrm_lab.reporting.report import render_report
from hmrm_lab.reporting.tables import paired_differences
from hmrm_lab.runtime.store import RunFolder
from hmrm_lab.studies.experiment import run_experiment, write_figures

ABSENT = "tcp://127.0.0.1:9"  # nobody listens at the port of "discard"


@pytest.fixture(autouse=True)
def marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "marks"
    folder.mkdir()
    monkeypatch.setenv(troubles.MARKS, str(folder))


def run(out: Path, execute: Executor | None = None, jobs: int = 1) -> RunFolder:
    config, flowset = quick_config("ststnet", "training.epochs=2"), troubles.eight_subjects()
    return run_experiment(config, out=out, jobs=jobs, flowset=flowset, execute=execute)


@pytest.mark.slow
def test_folds_go_round_the_devices_and_an_idle_worker_that_dies_costs_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    submit, dead = loso._Lane.submit, []

    def found_dead(lane: loso._Lane, unit: FoldRun) -> object:
        if unit.fold.name == "toy/4" and not dead:
            dead.append(lane)
            raise BrokenProcessPool("a process in the process pool was terminated abruptly")
        return submit(lane, unit)

    monkeypatch.setattr(loso._Lane, "submit", found_dead)
    nobody = np.empty(0, np.int64)
    units = [FoldRun(Fold(f"toy/{number}", nobody, nobody), 0) for number in range(7)]
    found = list(processes(2, ["a", "b"])(troubles.where, units))
    assert {unit.fold.name for unit, _ in found} == {unit.fold.name for unit in units}
    homes = {(outcome["process"], outcome["device"]) for _, outcome in found}
    assert {device for _, device in homes} == {"a", "b"}
    assert len(homes) == 3 and len(dead) == 1
    assert all(outcome["threads"] == [1, "1"] for _, outcome in found)
    for jobs, devices, expected in ((1, ["c"], "c"), (1, ["c", "d"], "cd"), (5, "cd", "cdcdc")):
        assert "".join(processes(jobs, devices).args[0]) == expected


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["processes", pytest.param("dask", marks=pytest.mark.full)])
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # sockets of workers that were killed
def test_failed_folds_are_recorded_and_the_others_go_on_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    expected = figures_of(run(tmp_path / "whole"))
    with loso.open_executor(kind, jobs=2, devices=("cpu",)) as execute:
        with monkeypatch.context() as patch:
            patch.setattr(loso, "run_fold", troubles.troubled)
            folder = run(tmp_path / "runs", execute)
        failures, stamped = folder.failures(), stamp(folder.metrics())
        found = [(one["fold"], one["kind"], one["attempts"]) for one in failures]
        crashed = [("toy/s04", "crashed", 2), ("toy/s05", "crashed", 2)]
        assert found == [("toy/s01", "diverged", 1), *crashed]
        assert failures[1]["reason"].startswith(
            ("the process died (SIGKILL(-9))", "the worker died")
        )
        assert failures[2]["reason"] == "ZeroDivisionError: nobody expected this"
        assert "troubles.py" in failures[2]["traceback"]
        tried = troubles.turns()
        turns = [len(tried[f"toy-s0{number}"]) for number in (1, 2, 5, 6)]
        least = all(done >= asked for done, asked in zip(turns, (1, 2, 2, 1), strict=True))
        # a result that a dying worker of Dask still holds is computed once more
        assert turns == [1, 2, 2, 1] or (kind == "dask" and least)
        later = {one for number in (6, 7, 8) for one in tried[f"toy-s0{number}"]}
        assert kind == "dask" or tried["toy-s05"][0] not in later  # its process is not used again
        assert len(tried["toy-s03"]) >= 2 and len({one for of in tried.values() for one in of}) > 1
        assert not (folder.path / "model.safetensors").exists()
        assert "INCOMPLETE: 5 of 8 folds, 3 failed" in stamped
        assert "3 of 8 folds failed" in render_report([folder], None)
    whole = run(tmp_path / "runs")  # and this time nothing happens
    assert figures_of(whole) == expected
    assert whole.failures() == list((whole.path / "failed").iterdir()) == []
    assert (whole.path / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("dask", {"scheduler": ABSENT}, rf"no Dask scheduler answers at '{ABSENT}'.*; start"),
        ("dask", {"devices": ("cuda:0", "cuda:1")}, "takes one device"),
        ("dask", {"installed": False}, r"pip install 'hmrm-lab\[cluster\]'"),
    ],
)
def test_what_an_executor_lacks_is_one_sentence(
    name: str, options: dict[str, object], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hmrm_lab.evaluation.dask.PATIENCE", "1s")
    if not options.pop("installed", True):
        monkeypatch.setattr(loso, "find_spec", lambda name: None)
    with (
        pytest.raises(ConfigError, match=words),
        loso.open_executor(name, **{"jobs": 1, "devices": ("cpu",), **options}),
    ):
        pass


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.full)])
def test_what_no_fold_would_escape_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jobs: int
) -> None:
    for work, error, problem in (
        (troubles.fatal, InputError, "no unit can do this; change the settings"),
        (troubles.full_disk, DiskFullError, r"/tmp: the disk is full \(\d+\.\d MiB free\)"),
        (troubles.diverge, IncompleteRunError, r"8 of 8 folds failed \(diverged: .* \(8 x\)\)"),
    ):
        assert not [*tmp_path.glob("ststnet-*/failed")]
        monkeypatch.setattr(loso, "run_fold", work)
        with pytest.raises(error, match=problem) as caught:
            run(tmp_path, jobs=jobs)
        if error is DiskFullError:
            assert caught.value.__notes__ == ["0 of 8 folds are kept"]


def test_kinds_of_failures() -> None:
    for error, kind in (
        (MemoryError(), MEMORY),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 8 bytes"), MEMORY),
        (OSError(12, "Cannot allocate memory"), MEMORY),
        (RuntimeError("shapes differ"), CRASHED),
        (ValueError("out of memory of it"), CRASHED),
    ):
        assert failure_of(error).kind == kind


def test_an_incomplete_run_is_paired_with_none(tmp_path: Path) -> None:
    flowset, two_seeds = troubles.eight_subjects(), "evaluation.seeds=[0, 1]"
    ours = make_run(tmp_path, flowset, two_seeds)
    theirs = make_run(tmp_path, flowset, two_seeds, system="ststnet")
    assert len(paired_differences([ours, theirs])) == 1
    theirs.fold_file("toy/s01", 1).unlink()  # its clips are all there still, by the other seed
    for kind, traceback, advice in [
        ("memory", None, "free memory or lower --jobs; the same command tries them again"),
        ("diverged", None, "would diverge again: lower training.lr or set training.clip_norm"),
        ("crashed", "Traceback", "a traceback kept there is a fault of the program: report it"),
        ("crashed", None, "the same command tries them again"),
    ]:
        record = {"kind": kind, "reason": "much", "attempts": 2, "traceback": traceback}
        theirs.write_failure("toy/s01", 1, record)
        told = describe_failures(theirs)
        assert told.startswith(f"1 of 16 folds failed ({kind}: much (1 x))")
        assert told.endswith(advice)
    write_figures(theirs)
    assert paired_differences([ours, theirs]) == paired_differences([theirs, ours]) == []
    assert json.loads((theirs.path / "metrics.json").read_text())["units_failed"] == 1
