"""Executors: the same bytes from any, and a fold that fails stops no other."""

import json
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import quick_config
from evaluation import troubles
from joblib.externals.loky.process_executor import BrokenProcessPool
from reporting.made_runs import make_run

from hmrm_lab.errors import ConfigError, DiskFullError, IncompleteRunError, InputError
from hmrm_lab.evaluation import loso
from hmrm_lab.evaluation.fold import CRASHED, MEMORY, FoldRun, failure_of
from hmrm_lab.evaluation.loso import Executor, processes
from hmrm_lab.evaluation.protocols import Fold
from hmrm_lab.evaluation.summary import describe_failures, stamp
from hmrm_lab.reporting.report import render_report
from hmrm_lab.reporting.tables import note, paired_differences
from hmrm_lab.runtime.store import RunFolder
from hmrm_lab.studies.experiment import run_experiment, write_figures

FILES = ("metrics.json", "predictions.csv", "history.csv")
ABSENT = "tcp://127.0.0.1:9"  # nobody listens at the port of "discard"
NOBODY = np.empty(0, np.int64)


@pytest.fixture(autouse=True)
def marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "marks"
    folder.mkdir()
    monkeypatch.setenv(troubles.MARKS, str(folder))


@pytest.fixture
def dask() -> Iterator[Executor]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # sockets of workers that were killed
        with loso.open_executor("dask", jobs=2, devices=("cpu",)) as execute:
            yield execute


def run(
    out: Path, jobs: int = 1, system: str = "ststnet", execute: Executor | None = None
) -> RunFolder:
    config, flowset = quick_config(system, "training.epochs=2"), troubles.eight_subjects()
    return run_experiment(config, out=out, jobs=jobs, flowset=flowset, execute=execute)


def content(folder: RunFolder) -> list[bytes]:
    return [(folder.path / name).read_bytes() for name in FILES]


def units(count: int) -> list[FoldRun]:
    return [FoldRun(Fold(f"toy/{number}", NOBODY, NOBODY), 0) for number in range(count)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("jobs", "system"), [(2, "ststnet"), pytest.param(8, "hmrm", marks=pytest.mark.full)]
)
def test_any_number_of_workers_gives_the_same_bytes(tmp_path: Path, jobs: int, system: str) -> None:
    there = run(tmp_path / "there", jobs, system)
    assert content(there) == content(run(tmp_path / "here", 1, system))
    used = {unit["process"] for unit in there.records()}
    assert len(used) == jobs  # so that it was no single process that agreed with itself


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
    found = list(processes(2, ["a", "b"])(troubles.where, units(7)))
    assert sorted(unit.fold.name for unit, _ in found) == [f"toy/{n}" for n in range(7)]
    homes = {(outcome["process"], outcome["device"]) for _, outcome in found}
    assert {device for _, device in homes} == {"a", "b"}
    assert len(homes) == 3 and len(dead) == 1
    assert all(outcome["threads"] == [1, "1"] for _, outcome in found)
    for jobs, devices, expected in ((1, ["c"], "c"), (1, ["c", "d"], "cd"), (5, "cd", "cdcdc")):
        assert "".join(processes(jobs, devices).args[0]) == expected


@pytest.mark.slow
def test_failed_folds_are_recorded_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = content(run(tmp_path / "whole"))
    with monkeypatch.context() as patch:
        patch.setattr(loso, "run_fold", troubles.troubled)
        folder = run(tmp_path / "runs", 2)
    kinds = {failure["fold"]: failure["kind"] for failure in folder.failures()}
    assert kinds == {"toy/s01": "diverged", "toy/s04": "crashed", "toy/s05": "crashed"}
    diverged, killed, raised = folder.failures()
    assert (diverged["attempts"], killed["attempts"], raised["attempts"]) == (1, 2, 2)
    assert killed["reason"] == "the process died (SIGKILL(-9))"
    assert raised["reason"] == "ZeroDivisionError: nobody expected this"
    assert "troubles.py" in raised["traceback"]
    assert diverged["traceback"] is killed["traceback"] is None
    tried = troubles.turns()
    assert [len(tried[f"toy-s0{number}"]) for number in range(1, 9)] == [1, 2, 2, 2, 2, 1, 1, 1]
    assert not (folder.path / "model.safetensors").exists()
    assert "INCOMPLETE: 5 of 8 folds, 3 failed" in stamp(folder.metrics())
    assert note(folder.metrics()) == "INCOMPLETE 5/8 (3 failed)"
    page = render_report([folder], None)
    assert "3 of 8 folds failed" in page
    assert "the process died (SIGKILL(-9)) (1 x)" in page

    whole = run(tmp_path / "runs")  # the same command, and this time nothing happens
    assert content(whole) == expected
    assert whole.failures() == list((whole.path / "failed").iterdir()) == []
    assert (whole.path / "model.safetensors").is_file()


@pytest.mark.full
def test_workers_of_dask_that_die_cost_nothing_but_their_own_fold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dask: Executor
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(loso, "run_fold", troubles.troubled)
        folder = run(tmp_path / "dask", execute=dask)
    found = [(one["fold"], one["kind"], one["attempts"]) for one in folder.failures()]
    crashed = [("toy/s04", "crashed", 2), ("toy/s05", "crashed", 2)]
    assert found == [("toy/s01", "diverged", 1), *crashed]
    assert folder.failures()[1]["reason"] == "the worker died"
    turns = troubles.turns()
    assert len(turns["toy-s03"]) >= 2
    assert len({process for tries in turns.values() for process in tries}) > 1
    assert content(run(tmp_path / "dask", execute=dask)) == content(run(tmp_path / "here"))


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("dask", {"scheduler": ABSENT}, rf"no Dask scheduler answers at '{ABSENT}'.*; start"),
        ("dusk", {}, "did you mean 'dask'"),
        ("processes", {"scheduler": ABSENT}, "add --executor dask"),
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
    monkeypatch.setattr(loso, "run_fold", troubles.fatal)
    with pytest.raises(InputError, match="no unit can do this; change the settings"):
        run(tmp_path, jobs)
    monkeypatch.setattr(loso, "run_fold", troubles.full_disk)
    with pytest.raises(DiskFullError, match=r"/tmp: the disk is full \(\d+\.\d MiB free\)") as full:
        run(tmp_path, jobs)
    assert full.value.__notes__ == ["0 of 8 folds are kept"]
    (folder,) = tmp_path.glob("ststnet-*")
    assert not (folder / "failed").exists()
    monkeypatch.setattr(loso, "run_fold", troubles.diverge)
    with pytest.raises(IncompleteRunError, match=r"8 of 8 folds failed \(diverged: .* \(8 x\)\)"):
        run(tmp_path, jobs)


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
