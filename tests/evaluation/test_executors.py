import json
from pathlib import Path

import numpy as np
import pytest
from conftest import quick_config
from evaluation import troubles
from joblib.externals.loky.process_executor import BrokenProcessPool
from reporting.made_runs import make_run

from hmrm_lab.errors import DiskFullError, IncompleteRunError, InputError
from hmrm_lab.evaluation import loso, workers
from hmrm_lab.evaluation.fold import CRASHED, MEMORY, FoldRun, failure_of
from hmrm_lab.evaluation.protocols import Fold
from hmrm_lab.evaluation.summary import describe_failures, stamp
from hmrm_lab.evaluation.workers import InProcess, Processes, processes
from hmrm_lab.reporting.report import render_report
from hmrm_lab.reporting.tables import note, paired_differences
from hmrm_lab.runtime.store import RunFolder
from hmrm_lab.studies.experiment import run_experiment

FILES = ("metrics.json", "predictions.csv", "history.csv")


@pytest.fixture
def marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "marks"
    folder.mkdir()
    monkeypatch.setenv(troubles.MARKS, str(folder))
    return folder


def run(out: Path, jobs: int, system: str = "ststnet") -> RunFolder:
    config, flowset = quick_config(system), troubles.eight_subjects()
    return run_experiment(config, out=out, jobs=jobs, flowset=flowset)


def content(folder: RunFolder) -> list[bytes]:
    return [(folder.path / name).read_bytes() for name in FILES]


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
def test_units_are_dealt_round_the_devices() -> None:
    assert processes(1) == InProcess("cpu")
    assert processes(1, ["cuda:0"]) == InProcess("cuda:0")
    assert processes(1, ["cuda:0", "cuda:1"]) == Processes(("cuda:0", "cuda:1"))
    assert processes(5, ["a", "b"]) == Processes(("a", "b", "a", "b", "a"))
    nobody = np.empty(0, np.int64)
    units = [FoldRun(Fold(f"toy/{number}", nobody, nobody), 0) for number in range(7)]
    found = list(processes(2, ["a", "b"])(troubles.where, units))
    assert {unit.fold.name for unit, _ in found} == {unit.fold.name for unit in units}
    homes = {(outcome["process"], outcome["device"]) for _, outcome in found}
    assert sorted(device for _, device in homes) == ["a", "b"]
    assert all(outcome["threads"] == [1, "1"] for _, outcome in found)


@pytest.mark.slow
def test_a_worker_that_dies_with_nothing_to_do_costs_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nobody = np.empty(0, np.int64)
    units = [FoldRun(Fold(f"toy/{number}", nobody, nobody), 0) for number in range(6)]
    submit, dead = workers._Lane.submit, []

    def found_dead(lane: workers._Lane, unit: FoldRun) -> object:
        if unit.fold.name == "toy/4" and not dead:
            dead.append(lane)
            raise BrokenProcessPool("a process in the process pool was terminated abruptly")
        return submit(lane, unit)

    monkeypatch.setattr(workers._Lane, "submit", found_dead)
    found = list(processes(2)(troubles.where, units))
    assert sorted(unit.fold.name for unit, _ in found) == [unit.fold.name for unit in units]
    assert len({outcome["process"] for _, outcome in found}) == 3
    assert len(dead) == 1


@pytest.mark.slow
def test_failed_units_are_recorded_and_the_others_go_on(
    tmp_path: Path, marks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = content(run(tmp_path / "whole", 1))
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
    assert diverged["traceback"] is None
    tried = troubles.turns()
    counts = [len(tried[f"toy-s0{number}"]) for number in range(1, 9)]
    assert counts == [1, 2, 2, 2, 2, 1, 1, 1]
    assert not (folder.path / "model.safetensors").exists()
    assert "INCOMPLETE: 5 of 8 folds, 3 failed" in stamp(folder.metrics())
    assert note(folder.metrics()) == "INCOMPLETE 5/8 (3 failed)"
    page = render_report([folder], None)
    assert "3 of 8 folds failed" in page
    assert "the process died (SIGKILL(-9)) (1 x)" in page

    whole = run(tmp_path / "runs", 1)  # the same command, and this time nothing happens
    assert content(whole) == expected
    assert whole.failures() == []
    assert list((whole.path / "failed").iterdir()) == []
    assert (whole.path / "model.safetensors").is_file()


def test_a_run_in_which_all_fails_says_why(
    tmp_path: Path, marks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loso, "run_fold", diverge)
    with pytest.raises(IncompleteRunError, match=r"8 of 8 folds failed \(diverged: .* \(8 x\)\)"):
        run(tmp_path / "runs", 1)


def diverge(*_: object, **__: object) -> dict[str, object]:
    raise troubles.DivergedError("the loss is nan in epoch 1")


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_what_no_unit_would_escape_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jobs: int
) -> None:
    monkeypatch.setattr(loso, "run_fold", troubles.fatal)
    with pytest.raises(InputError, match="no unit can do this; change the settings"):
        run(tmp_path, jobs)
    monkeypatch.setattr(loso, "run_fold", troubles.full_disk)
    with pytest.raises(DiskFullError, match=r"/tmp: the disk is full \(\d+\.\d MiB free\)") as full:
        run(tmp_path, jobs)
    assert full.value.__notes__ == ["0 of 8 folds are kept"]
    assert not (RunFolder.of(quick_config("ststnet"), tmp_path).path / "failed").exists()


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
    flowset = troubles.eight_subjects()
    two_seeds = "evaluation.seeds=[0, 1]"
    ours = make_run(tmp_path, flowset, two_seeds)
    theirs = make_run(tmp_path, flowset, two_seeds, system="ststnet")
    assert len(paired_differences([ours, theirs])) == 1
    theirs.fold_file("toy/s01", 1).unlink()  # its clips are all there still, by the other seed
    theirs.write_failure("toy/s01", 1, {"kind": "memory", "reason": "much", "attempts": 2})
    from hmrm_lab.studies.experiment import write_figures

    write_figures(theirs)
    assert paired_differences([ours, theirs]) == paired_differences([theirs, ours]) == []
    assert describe_failures(theirs).startswith("1 of 16 folds failed (memory: much (1 x))")
    for kind, traceback, advice in [
        ("memory", None, "free memory or lower --jobs; the same command tries them again"),
        ("diverged", None, "would diverge again: lower training.lr or set training.clip_norm"),
        ("crashed", "Traceback", "a traceback kept there is a fault of the program: report it"),
        ("crashed", None, "the same command tries them again"),
    ]:
        record = {"kind": kind, "reason": "much", "attempts": 2, "traceback": traceback}
        theirs.write_failure("toy/s01", 1, record)
        assert describe_failures(theirs).endswith(advice)
    assert json.loads((theirs.path / "metrics.json").read_text())["units_failed"] == 1
