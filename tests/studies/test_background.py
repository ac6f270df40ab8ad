"""Runs in a process of their own: the same figures, stopped, killed, taken up, refused."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import quick_config

from hmrm_lab.errors import InputError
from hmrm_lab.studies import background, queue
from hmrm_lab.studies.background import BackgroundRun, RunState
from hmrm_lab.studies.experiment import run_experiment

LONG_S = 600  # so that a fault ends the test
FILES = ("metrics.json", "predictions.csv", "history.csv", "model.safetensors")
OVERRIDES = ("training.epochs=20", "evaluation.seeds=[0, 1, 2]")
CONFIG = quick_config("ststnet", *OVERRIDES)
FOLDS = 12


def until(run: BackgroundRun, wanted: Callable[[RunState], bool]) -> RunState:
    """The first state that is wanted."""
    end = time.monotonic() + LONG_S
    while not wanted(state := run.state()):
        assert time.monotonic() < end, state
        time.sleep(0.05)
    return state


def kept(run: BackgroundRun) -> dict[str, int]:
    """The finished folds, and when each was written."""
    return {file.name: file.stat().st_mtime_ns for file in run.folder.folds.glob("*.json")}


@pytest.mark.slow
def test_cut_off_twice_it_ends_in_the_figures_of_a_run_here(tmp_path: Path) -> None:
    """Killed, stopped, seen and taken up from another process, and complete in the end."""
    here = run_experiment(CONFIG, out=tmp_path / "here")
    out = tmp_path / "there"
    assert BackgroundRun.of(CONFIG, out).state().phase == "absent"
    assert not out.exists(), "looking writes nothing"

    run = BackgroundRun.start(CONFIG, out=out)
    assert run.state().going
    state = run.wait(LONG_S, folds=1)
    assert (state.phase, state.expected) == ("running", FOLDS)
    assert state.progress >= state.done / FOLDS
    os.kill(run._worker().process, signal.SIGKILL)
    state = run.wait(LONG_S)
    assert state.phase == "stopped"
    assert 1 <= state.done < FOLDS
    folds = kept(run)

    starts = (
        "import sys; from pathlib import Path\n"
        "from hmrm_lab.config import load_config\n"
        "from hmrm_lab.studies.background import BackgroundRun\n"
        "import hmrm_lab.studies.experiment\n"
        "config = load_config('smoke', system='ststnet', overrides=sys.argv[2:])\n"
        "print(BackgroundRun.start(config, out=Path(sys.argv[1])).state().phase, flush=True)\n"
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    )
    command = [sys.executable, "-c", starts, str(out), *OVERRIDES]
    done = subprocess.run(
        command, capture_output=True, text=True, env=queue._environment(), check=False
    )
    assert done.stdout.strip() in ("preparing", "running"), done.stderr
    state = run.state()
    assert state.going, "it has outlived the process that started it"
    worker = run._worker()
    assert BackgroundRun.start(CONFIG, out=out)._worker() == worker, "two starts are one process"

    until(run, lambda state: state.epochs_per_s > 0 or state.done > len(folds))
    run.stop()
    state = run.wait(LONG_S)
    assert state.phase == "stopped"
    assert folds.items() <= kept(run).items(), "a finished fold was written again"

    run = BackgroundRun.start(CONFIG, out=out)
    state = run.wait(LONG_S)
    assert (state.phase, state.done, state.failed, state.progress) == ("complete", FOLDS, 0, 1.0)
    assert folds.items() <= kept(run).items()
    for name in FILES:
        assert (run.folder.path / name).read_bytes() == (here.path / name).read_bytes(), name
    assert run.log.read_text() == ""
    assert BackgroundRun.start(CONFIG, out=out).state().phase == "complete"
    assert run._worker() is None, "a complete run is not started again"


@pytest.mark.slow
def test_the_second_waits_and_wrong_input_is_told(tmp_path: Path) -> None:
    """The first fails in a sentence; the second, which waited for it, is stopped in the queue."""
    lost = quick_config("ststnet", "data.name=flowmaps")
    first = BackgroundRun.start(lost, root=tmp_path / "nowhere", out=tmp_path / "runs")
    second = BackgroundRun.start(CONFIG, out=tmp_path / "runs")
    assert second.state().phase == "waiting"
    until(second, lambda state: bool(state.note))
    assert second.state().note == f"1 run ahead: {first.folder.path.name}"
    second.stop()
    assert second.wait(LONG_S).phase == "stopped"
    state = first.wait(LONG_S)
    assert state.phase == "failed"
    assert "nowhere" in state.problem
    assert not first.folder.path.exists(), "nothing is written for data that are not there"


def test_a_run_by_another_command_is_seen_and_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = run_experiment(CONFIG, out=tmp_path, final_model=False)
    run = BackgroundRun.of(CONFIG, tmp_path)
    assert run.state().phase == "complete"
    unit = next(folder.units())
    folder.unit_file(unit["fold"], unit["seed"]).unlink()
    assert run.state().phase == "stopped"
    from evaluation.test_desk import write_status

    write_status(folder, unit["fold"])
    assert run.state().phase == "running"
    monkeypatch.setattr(background, "_command", lambda *_: pytest.fail("started again"))
    BackgroundRun.start(CONFIG, out=tmp_path)
    with pytest.raises(InputError, match="by a command of its own; stop it there"):
        run.stop()


def test_a_process_on_another_machine_is_not_signalled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = BackgroundRun.of(CONFIG, tmp_path)
    monkeypatch.setattr(run, "_worker", lambda: queue.Worker(os.getpid(), "elsewhere", 1))
    with pytest.raises(InputError, match="is run on elsewhere; stop it there"):
        run.stop()


def test_waiting_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = BackgroundRun.of(CONFIG, tmp_path)
    going = RunState("running", 1, 0, 4, 0.3, 2.0, 9.0)
    monkeypatch.setattr(run, "state", lambda: going)
    assert run.wait(0.05) == run.wait(folds=1) == going


def test_jobs_are_not_negative(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="-1 jobs; take one or more"):
        BackgroundRun.start(CONFIG, out=tmp_path / "runs", jobs=-1)
    assert not (tmp_path / "runs").exists()


def test_stopping_what_does_not_go_is_nothing(tmp_path: Path) -> None:
    BackgroundRun.of(CONFIG, tmp_path).stop()
    assert BackgroundRun.of(CONFIG, tmp_path).wait().phase == "absent"
    assert list(tmp_path.iterdir()) == []
