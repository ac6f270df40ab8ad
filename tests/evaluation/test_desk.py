"""How far a run is, as its files say; curves; and that the desk is clear in the end."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import make_flowset, quick_config

from hmrm_lab.evaluation.epoch_rules import RULES, Task
from hmrm_lab.evaluation.fold_progress import RunningFold, RunStatus, read_status, watching
from hmrm_lab.runtime.progress import describe_speed
from hmrm_lab.runtime.store import RunFolder
from hmrm_lab.studies.experiment import run_experiment


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return run_experiment(
        quick_config("ststnet"), out=tmp_path, flowset=make_flowset(), final_model=False
    )


def write_status(run: RunFolder, fold: str, **changes: object) -> None:
    status = {"fold": fold, "seed": 0, "epoch": 30, "epochs": 60, "loss": 1.0, "epochs_per_s": 6.0}
    status |= {"process": os.getpid(), "host": socket.gethostname(), "updated": time.time()}
    run.running.mkdir(exist_ok=True)
    RunningFold(run, fold, 0).status_file.write_text(json.dumps(status | changes))


def test_the_desk_is_clear_when_the_run_is_done(run: RunFolder) -> None:
    assert list(run.running.iterdir()) == []
    assert read_status(run) == RunStatus(done=4, failed=0, expected=4, in_work=())


def test_units_in_work_count_in_part(run: RunFolder) -> None:
    for fold in ("toy/s01", "toy/s02"):
        run.fold_file(fold, 0).unlink()
        write_status(run, fold)
    status = read_status(run)
    assert (status.done, status.folds, status.epochs_per_s) == (2, 3.0, 12.0)
    assert status.seconds_left == pytest.approx(1.0 * 60 / 12)
    assert describe_speed(status) == "12 epochs/s, 5 s left"


def test_the_dead_and_the_done_are_not_in_work(run: RunFolder) -> None:
    write_status(run, "toy/s01")  # its result is there
    run.fold_file("toy/s02", 0).unlink()
    write_status(run, "toy/s02", process=2**22 + 1)  # no such process
    run.fold_file("toy/s03", 0).unlink()
    write_status(run, "toy/s03", host="elsewhere", updated=time.time() - 3600)
    run.fold_file("toy/s04", 0).unlink()
    RunningFold(run, "toy/s04", 0).status_file.write_text("{half")
    assert read_status(run).in_work == ()
    assert describe_speed(read_status(run)) == ""


def test_hours_are_said_as_hours() -> None:
    unit = {"epoch": 0, "epochs": 1000, "epochs_per_s": 2.0}
    assert describe_speed(RunStatus(0, 0, 10, (unit,))) == "2 epochs/s, 1 h 23 min left"


def test_a_watcher_hears_of_epochs_and_of_the_end(run: RunFolder) -> None:
    heard: list[tuple[object, ...]] = []
    run.fold_file("toy/s01", 0).unlink()
    write_status(run, "toy/s01")
    with watching(run, lambda *state: heard.append(state), "folds"):
        time.sleep(1.2)
    assert heard[0] == ("folds", 3.5, 4, "6 epochs/s, 5 s left")
    assert heard[-1] == ("folds", 3, 4)


def test_a_unit_tells_its_epochs_while_it_trains(tmp_path: Path) -> None:
    config = quick_config("ststnet", "training.epochs=5")
    run = RunFolder(tmp_path)
    flowset = make_flowset()
    desk = RunningFold(run, "toy/s01", 0)
    RULES["last"](Task(config, flowset, lambda: flowset, seed=0, files=desk))
    status = json.loads(desk.status_file.read_text())
    assert (status["epoch"], status["epochs"], status["process"]) == (5, 5, os.getpid())
    assert status["epochs_per_s"] > 0
    desk.clear()
    assert list(run.running.iterdir()) == []


@pytest.mark.parametrize("rule", sorted(RULES))
def test_every_rule_goes_on_from_the_desk(
    tmp_path: Path, rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut off after each epoch in turn, each time going on from what the last one left."""
    config = quick_config("hmrm", "training.epochs=3", f"evaluation.epoch_rule={rule}")
    train, test = make_flowset(), make_flowset(subjects=1, seed=9)
    whole = RULES[rule](Task(config, train, lambda: test, seed=0))
    told = RunningFold._tell
    trained: list[int] = []

    def stop_once(desk: RunningFold, done: int, epochs: int, loss: float) -> None:
        told(desk, done, epochs, loss)
        trained.append(done)
        if done < epochs:
            raise KeyboardInterrupt

    monkeypatch.setattr(RunningFold, "_tell", stop_once)
    for _ in range(10):
        desk = RunningFold(RunFolder(tmp_path), "toy/s09", 0, every_s=0)
        try:
            answer = RULES[rule](Task(config, train, lambda: test, seed=0, files=desk))
        except KeyboardInterrupt:
            continue
        break
    assert answer.epoch == whole.epoch
    assert (answer.probabilities == whole.probabilities).all()
    assert answer.fitted.losses == whole.fitted.losses
    again = answer.epoch if rule == "inner_subjects" else 0
    assert len(trained) == 3 + again, "an epoch was trained twice"


def test_tensorboard_can_read_the_curves(run: RunFolder) -> None:
    pytest.importorskip("tensorboard", reason="the extra 'curves' is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    unit = next(run.records())
    folder = run.path / "tensorboard" / run.fold_file(unit["fold"], unit["seed"]).stem
    events = EventAccumulator(str(folder))
    events.Reload()
    read = [(event.step, event.value) for event in events.Scalars("training loss")]
    assert [step for step, _ in read] == list(range(1, len(unit["losses"]) + 1))
    assert [value for _, value in read] == pytest.approx(unit["losses"])


def test_a_process_that_has_ended_and_nobody_asked_for_is_dead(run: RunFolder) -> None:
    run.fold_file("toy/s01", 0).unlink()
    child = subprocess.Popen([sys.executable, "-S", "-c", ""], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.read()  # until it ends
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    write_status(run, "toy/s01", process=child.pid)
    assert read_status(run).in_work == ()
    child.communicate()
