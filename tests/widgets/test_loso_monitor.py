"""The monitor of a leave-one-subject-out: what it shows, its buttons, its timer."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from conftest import make_flowset
from evaluation.test_desk import write_status
from loops import in_loop, until
from reporting.made_runs import make_run

from hmrm_lab.api.result import Result
from hmrm_lab.errors import InputError
from hmrm_lab.runtime.store import RunFolder
from hmrm_lab.studies.jobs import Job, JobFiles

pytest.importorskip("ipywidgets", reason="the extra 'jupyter' is not installed")

from hmrm_widgets import LosoMonitor
from hmrm_widgets import loso_monitor as module

SUBJECTS = 4


def monitor_of(out: Path, *, unfinished: int = 0, **options: Any) -> LosoMonitor:
    run = make_run(out, make_flowset(SUBJECTS), unfinished=unfinished)
    return LosoMonitor(Result(run), **options)


def views(monitor: LosoMonitor) -> list[str]:
    return [view.value for view in (monitor.subjects, monitor.curves, monitor.confusion)]


def test_before_the_start_there_is_a_button(tmp_path: Path) -> None:
    config = make_run(tmp_path, make_flowset()).config()
    monitor = LosoMonitor(Result(RunFolder.of(config, tmp_path / "other"), config=config))
    assert "Not started" in monitor.bar.value
    assert views(monitor) == ["", "", ""]
    assert (monitor.start.description, monitor.start.disabled, monitor.stop.disabled) == (
        "Start",
        False,
        True,
    )
    assert not (tmp_path / "other").exists()


def test_what_was_stopped_can_be_resumed(tmp_path: Path) -> None:
    monitor = monitor_of(tmp_path, unfinished=2)
    assert "Stopped; what is finished is kept: 2 of 4 folds" in monitor.bar.value
    assert (monitor.start.description, monitor.start.disabled) == ("Resume", False)
    assert "2 waiting, 0 in work, 2 done" in monitor.subjects.value
    assert "2 finished" in monitor.curves.value
    assert "so far: not a result yet" in monitor.confusion.value
    assert "INCOMPLETE: 2 of 4 folds" in monitor.confusion.value


def test_what_is_going_can_be_stopped_and_arrives(tmp_path: Path) -> None:
    monitor = monitor_of(tmp_path, unfinished=2)
    write_status(monitor.run, "toy/s03", epochs_per_s=6.0)
    state = monitor.update()
    assert state.phase == "running"
    assert "Running: 2 of 4 folds, 6 epochs/s, 15 s left" in monitor.bar.value
    assert 'aria-valuenow="62"' in monitor.bar.value
    assert (monitor.start.disabled, monitor.stop.disabled) == (True, False)
    assert "toy/s03: in work, 50%" in monitor.subjects.value
    assert "1 in work" in monitor.curves.value


def test_the_result_of_a_complete_run_has_its_interval(tmp_path: Path) -> None:
    monitor = monitor_of(tmp_path)
    figures = monitor.run.metrics()["all"]
    low, high = figures["uf1_interval"]
    assert f"UF1 {figures['uf1']:.3f}. epoch rule last" in monitor.confusion.value
    assert f"95 % interval [{low:.3f}, {high:.3f}]" in monitor.confusion.value
    assert "so far" not in monitor.confusion.value
    assert (monitor.start.disabled, monitor.stop.disabled) == (True, True)


def test_the_buttons_start_and_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[object] = []
    monkeypatch.setattr(Job, "start", lambda job, **how: done.append(how))
    monkeypatch.setattr(Job, "stop", lambda job: done.append("stop"))
    run = make_run(tmp_path, make_flowset(SUBJECTS), unfinished=1)
    monitor = LosoMonitor(Result(run, root=tmp_path, jobs=2))
    monitor.start.click()
    monitor.stop.click()
    assert done == [{"root": tmp_path, "jobs": 2}, "stop"]


def test_what_a_button_may_not_do_is_said_until_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monitor = monitor_of(tmp_path, unfinished=1)
    write_status(monitor.run, "toy/s04")
    monitor.update()
    monitor.stop.click()
    monitor.update()
    assert "by a command of its own; stop it there" in monitor.alert.value
    assert monitor.subjects.value
    monkeypatch.setattr(Job, "stop", lambda job: None)
    monitor.stop.click()
    assert monitor.alert.value == ""


def test_a_failed_run_says_why(tmp_path: Path) -> None:
    monitor = monitor_of(tmp_path, unfinished=1)
    JobFiles.of(monitor.run.path).write_status(ended="failed", problem="the loss is <nan>")
    assert monitor.update().phase == "failed"
    assert "the loss is &lt;nan&gt;" in monitor.alert.value
    assert monitor.start.description == "Resume"


def test_a_damaged_file_is_told_and_raised_and_the_views_are_empty(tmp_path: Path) -> None:
    monitor = monitor_of(tmp_path, unfinished=1)
    (monitor.run.path / "data.json").write_text("{")
    with pytest.raises(InputError, match="not readable as JSON"):
        monitor.update()
    assert "not readable as JSON" in monitor.problem.value
    assert views(monitor) == ["", "", ""]


def test_a_fault_is_raised_even_where_the_page_shows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a kernel the output widget keeps the exception; here it is made to."""
    monitor = monitor_of(tmp_path, unfinished=1)
    monkeypatch.setattr(module, "loss_curves", lambda arrived: 1 / 0)
    monkeypatch.setattr(type(monitor.trace), "__exit__", lambda *_: True)
    with pytest.raises(ZeroDivisionError):
        monitor.update()
    assert views(monitor) == ["", "", ""]


def test_the_timer_looks_by_itself_until_the_widget_is_closed(tmp_path: Path) -> None:
    async def watch() -> None:
        monitor = monitor_of(tmp_path, unfinished=1, poll_s=0.01)
        assert monitor._poll.going
        write_status(monitor.run, "toy/s04")
        await until(lambda: "Running" in monitor.bar.value)
        monitor.close()
        assert not monitor._poll.going

    in_loop(watch)


def test_a_fault_in_the_timer_does_not_vanish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def watch() -> None:
        monitor = monitor_of(tmp_path, unfinished=1, poll_s=0.01)
        monkeypatch.setattr(module, "subject_cells", lambda folds: 1 / 0)
        told: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, what: told.append(what))
        await until(lambda: told)
        assert isinstance(told[0]["exception"], ZeroDivisionError)
        assert not monitor._poll.going

    in_loop(watch)


def test_waiting_ends_with_the_run_or_the_patience(tmp_path: Path) -> None:
    monitor = monitor_of(tmp_path, unfinished=1, poll_s=0.01)
    assert monitor.wait().phase == "stopped"
    write_status(monitor.run, "toy/s04")
    assert monitor.wait(timeout_s=0.1).phase == "running"
