"""How far a run is, as its files say; every rule resumes; nothing is left in the end."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import Mock

import pytest
from conftest import make_flowset, quick_config
from reporting.made_runs import make_run

from hmrm_lab.errors import IncompleteRunError
from hmrm_lab.evaluation import live_progress
from hmrm_lab.evaluation.fold import RULES, Task
from hmrm_lab.evaluation.live_progress import (
    NOTHING,
    FoldProgress,
    RunStatus,
    SnapshotReader,
    read_status,
    watching,
)
from hmrm_lab.evaluation.summary import collect_predictions, stamp
from hmrm_lab.runtime.progress import describe_speed
from hmrm_lab.runtime.store import RunFolder, read_json
from hmrm_lab.studies.experiment import run_experiment
from hmrm_lab.training.checkpoint import RunningFold

FAILURE = {"kind": "diverged", "reason": "the loss is nan", "attempts": 1, "traceback": None}


def write_status(run: RunFolder, fold: str, **changes: object) -> None:
    status = {"fold": fold, "seed": 0, "epoch": 30, "epochs": 60, "loss": 1.0, "epochs_per_s": 6.0}
    status |= {"process": os.getpid(), "host": socket.gethostname(), "updated": time.time()}
    run.running.mkdir(exist_ok=True)
    RunningFold(run, fold, 0).status_file.write_text(json.dumps(status | changes))


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """Five subjects of six clips: two done, one in work, one failed, one waits."""
    run = make_run(tmp_path, make_flowset(subjects=5), right=1.0, unfinished=3)
    write_status(run, "toy/s03", epoch=15, loss=0.8)
    run.write_failure("toy/s04", 0, FAILURE)
    return run


def test_folds_in_work_count_in_part_and_every_fold_has_its_state(run: RunFolder) -> None:
    status = read_status(run)
    assert (status.done, status.folds, status.epochs_per_s) == (2, 2.25, 6.0)
    assert status.seconds_left == pytest.approx((5 - 1 - 2.25) * 60 / 6)
    assert describe_speed(status.epochs_per_s, status.seconds_left) == "6 epochs/s, 18 s left"
    snapshot = SnapshotReader(run).read()
    assert snapshot.folds == (
        FoldProgress("toy/s01", "done", 1.0, 6, right=6, answered=6),
        FoldProgress("toy/s02", "done", 1.0, 6, right=6, answered=6),
        FoldProgress("toy/s03", "in work", 0.25, 6),
        FoldProgress("toy/s04", "failed", 0.0, 6, reason="diverged: the loss is nan"),
        FoldProgress("toy/s05", "waiting", 0.0, 6),
    )
    assert (snapshot.done, snapshot.expected) == (2, 5)
    assert "INCOMPLETE: 2 of 5 folds, 1 failed" in snapshot.stamp
    assert snapshot.score == f"UF1 1.000 so far: not a result yet. {snapshot.stamp}"


def test_the_dead_and_the_done_are_not_in_work(run: RunFolder) -> None:
    with subprocess.Popen([sys.executable, "-S", "-c", ""], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.read()  # until it ends; nobody has asked for its status yet
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        write_status(run, "toy/s01")  # its result is there
        write_status(run, "toy/s03", process=child.pid)
        write_status(run, "toy/s04", process=2**22 + 1)  # no such process
        write_status(run, "toy/s05", host="elsewhere", updated=time.time() - 3600)
        RunningFold(run, "toy/s06", 0).status_file.write_text("{half")
        assert read_status(run).in_work == ()
    assert describe_speed(0.0, read_status(run).seconds_left) == ""


def test_a_watcher_hears_of_epochs_and_of_the_end(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_progress, "WATCH_SECONDS", 0.05)
    heard: list[tuple[object, ...]] = []
    with watching(run, lambda *state: heard.append(state), "folds"):
        time.sleep(0.3)
    assert heard[0] == ("folds", 2.25, 5, "6 epochs/s, 18 s left")
    assert heard[-1] == ("folds", 2, 5)


def test_before_the_first_fold_there_is_no_score_and_in_the_end_it_is_the_result(
    tmp_path: Path,
) -> None:
    assert SnapshotReader(RunFolder.of(quick_config(), tmp_path)).read() == NOTHING
    assert NOTHING.score == "No fold is done yet."
    run = make_run(tmp_path, make_flowset(), "evaluation.seeds=[0, 1]", right=0.6)
    snapshot, metrics = SnapshotReader(run).read(), run.metrics()
    assert snapshot.counts.sum(0).tolist() == metrics["all"]["confusion"]
    assert snapshot.uf1 == pytest.approx(metrics["all"]["uf1"], abs=1e-6)
    assert snapshot.stamp == stamp(metrics)
    assert snapshot.score == f"UF1 {snapshot.uf1:.3f}. {snapshot.stamp}"
    run.fold_file("toy/s02", 1).unlink()  # one of its two seeds
    folds = SnapshotReader(run).read().folds
    assert [fold.state for fold in folds] == ["done", "waiting", "done", "done"]
    assert (folds[1].share, folds[1].answered) == (0.5, 6)
    for file in run.folds.glob("*.json"):
        file.unlink()
    assert SnapshotReader(run).read().uf1 is None
    with pytest.raises(IncompleteRunError, match="no finished fold"):
        collect_predictions(run)


def test_curves_grow_with_every_look_and_finished_folds_are_read_once(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = Mock(side_effect=read_json)
    monkeypatch.setattr(live_progress, "read_json", note)
    reader = SnapshotReader(run)
    reader.read()
    write_status(run, "toy/s03", epoch=17, loss=0.7)
    snapshot = reader.read()
    assert snapshot.in_work == ([(15, 0.8), (17, 0.7)],)
    assert snapshot.finished == ([(1, 1.0), (2, 0.5)],) * 2
    write_status(run, "toy/s03", epoch=1, loss=1.1)  # a second training of the same fold
    assert reader.read().in_work == ([(1, 1.1)],)
    assert sum(call.args[0].parent == run.folds for call in note.call_args_list) == 2


@pytest.mark.parametrize("rule", sorted(RULES))
def test_every_rule_resumes_after_any_epoch(
    tmp_path: Path, rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut off after each epoch in turn, each time resumed from what the last one left."""
    config = quick_config("mlp", "training.epochs=3", f"evaluation.epoch_rule={rule}")
    train, test = make_flowset(), make_flowset(subjects=1, seed=9)
    whole = RULES[rule](Task(config, train, lambda: test, seed=0))
    told, trained = RunningFold._tell, []

    def stop_once(files: RunningFold, done: int, epochs: int, loss: float) -> None:
        told(files, done, epochs, loss)
        trained.append(done)
        if done < epochs:
            raise KeyboardInterrupt

    monkeypatch.setattr(RunningFold, "_tell", stop_once)
    for _ in range(10):
        files = RunningFold(RunFolder(tmp_path), "toy/s09", 0, every_s=0)
        try:
            answer = RULES[rule](Task(config, train, lambda: test, seed=0, files=files))
        except KeyboardInterrupt:
            continue
        break
    assert answer.epoch == whole.epoch
    assert (answer.probabilities == whole.probabilities).all()
    assert answer.fitted.losses == whole.fitted.losses
    again = answer.epoch if rule == "inner_subjects" else 0
    assert len(trained) == 3 + again, "an epoch was trained twice"
    status = json.loads(files.status_file.read_text())
    assert (status["epoch"], status["process"]) == (trained[-1], os.getpid())
    assert status["epochs_per_s"] > 0
    files.clear()
    assert list(files.run.running.iterdir()) == []


def test_curves_are_written_for_tensorboard_and_nothing_is_left_running(tmp_path: Path) -> None:
    config = quick_config("ststnet")
    run = run_experiment(config, out=tmp_path, flowset=make_flowset(), final_model=False)
    assert list(run.running.iterdir()) == []
    assert read_status(run) == RunStatus(done=4, failed=0, expected=4, in_work=())
    pytest.importorskip("tensorboard", reason="the extra 'curves' is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    unit = next(run.records())
    folder = run.path / "tensorboard" / run.fold_file(unit["fold"], unit["seed"]).stem
    events = EventAccumulator(str(folder))
    events.Reload()
    read = [(event.step, event.value) for event in events.Scalars("training loss")]
    assert read == [(step, pytest.approx(loss)) for step, loss in enumerate(unit["losses"], 1)]
