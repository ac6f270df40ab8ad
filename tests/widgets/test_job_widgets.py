"""Widgets that show the work of other processes: what arrives, and what their buttons do."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import make_flowset, quick_config
from evaluation.test_live_progress import write_status
from loops import in_loop, until
from reporting.made_runs import make_run

from hmrm_lab.api.clips import Clips
from hmrm_lab.api.result import Result, Study
from hmrm_lab.api.system import System
from hmrm_lab.config import ExperimentConfig, load_config
from hmrm_lab.errors import InputError
from hmrm_lab.preparation import load_clips
from hmrm_lab.runtime.processes import held
from hmrm_lab.runtime.store import RunFolder
from hmrm_lab.studies.ablate import PAPER
from hmrm_lab.studies.evolve import JOURNAL, LOCK, Evolution, breed, name_of
from hmrm_lab.studies.jobs import Job, JobFiles, JobState
from hmrm_lab.studies.search import run_grid
from hmrm_lab.studies.space import Journal, grid
from hmrm_lab.studies.supernet import Fitness
from hmrm_lab.studies.trials import Sweep

pytest.importorskip("ipywidgets", reason="the extra 'jupyter' is not installed")
pytest.importorskip("optuna", reason="the extra 'sweep' is not installed")

from hmrm_widgets import AblationBoard, HeatmapExplorer, LosoMonitor, SearchMonitor, loso_monitor

QUICK = ("training.epochs=1", "data.subjects=2", "data.clips=6")
LISTED = ["M4", *(variant.name for variant in PAPER)]
SECONDS = 600.0  # so that a fault ends the test
VALUES = {"model.depth": (1, 2), "model.width": (8, 16)}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What was asked of jobs; none is started or stopped."""
    done: list[object] = []
    monkeypatch.setattr(Job, "start", lambda job, **how: done.append((job.recipe.digest(), how)))
    monkeypatch.setattr(Job, "stop", lambda job: done.append("stop"))
    return done


def monitor_of(out: Path, *, unfinished: int = 0, **options: Any) -> LosoMonitor:
    return LosoMonitor(Result(make_run(out, make_flowset(), unfinished=unfinished)), **options)


def buttons(monitor: LosoMonitor) -> tuple[str, bool, bool]:
    return monitor.start.description, not monitor.start.disabled, not monitor.stop.disabled


def views(monitor: LosoMonitor) -> list[str]:
    return [view.value for view in (monitor.subjects, monitor.curves, monitor.confusion)]


def test_before_the_start_there_is_a_button_and_in_the_end_a_result_with_its_interval(
    tmp_path: Path,
) -> None:
    complete = monitor_of(tmp_path)
    figures = complete.run.metrics()["all"]
    low, high = figures["uf1_interval"]
    assert f"UF1 {figures['uf1']:.3f}. epoch rule last" in complete.confusion.value
    assert f"95 % interval [{low:.3f}, {high:.3f}]" in complete.confusion.value
    assert "so far" not in complete.confusion.value
    assert buttons(complete) == ("Start", False, False)
    config = complete.run.config()
    monitor = LosoMonitor(Result(RunFolder.of(config, tmp_path / "other"), config=config))
    assert "Not started" in monitor.bar.value
    assert views(monitor) == ["", "", ""]
    assert buttons(monitor) == ("Start", True, False)
    assert not (tmp_path / "other").exists()


def test_a_run_is_stopped_going_failed_and_each_is_told(tmp_path: Path) -> None:
    monitor = monitor_of(tmp_path, unfinished=2)
    assert "Stopped; what is finished is kept: 2 of 4 folds" in monitor.bar.value
    assert buttons(monitor) == ("Resume", True, False)
    assert "2 waiting, 0 in work, 2 done" in monitor.subjects.value
    assert "2 finished" in monitor.curves.value
    assert "so far: not a result yet" in monitor.confusion.value
    assert "INCOMPLETE: 2 of 4 folds" in monitor.confusion.value
    JobFiles.of(monitor.run.path).write_status(ended="failed", problem="the loss is <nan>")
    assert monitor.update().phase == "failed"
    assert "the loss is &lt;nan&gt;" in monitor.alert.value
    assert buttons(monitor) == ("Resume", True, False)
    write_status(monitor.run, "toy/s03", epochs_per_s=6.0)
    assert monitor.update().phase == "running"
    assert "Running: 2 of 4 folds, 6 epochs/s, 15 s left" in monitor.bar.value
    assert 'aria-valuenow="62"' in monitor.bar.value
    assert buttons(monitor) == ("Resume", False, True)
    assert "toy/s03: in work, 50%" in monitor.subjects.value
    assert "1 in work" in monitor.curves.value


def test_the_buttons_start_and_stop(tmp_path: Path, asked: list[object]) -> None:
    run = make_run(tmp_path, make_flowset(), unfinished=1)
    monitor = LosoMonitor(Result(run, root=tmp_path, jobs=2))
    monitor.start.click()
    monitor.stop.click()
    assert asked == [(run.config().digest(), {"root": tmp_path, "jobs": 2}), "stop"]


def test_waiting_has_an_end_and_what_a_button_may_not_do_is_said_until_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monitor = monitor_of(tmp_path, unfinished=1, poll_s=0.01)
    assert monitor.wait().phase == "stopped"
    write_status(monitor.run, "toy/s04")
    assert monitor.wait(timeout_s=0.1).phase == "running"
    monitor.stop.click()
    monitor.update()
    assert "by a command of its own; stop it there" in monitor.alert.value
    assert monitor.subjects.value
    monkeypatch.setattr(Job, "stop", lambda job: None)
    monitor.stop.click()
    assert monitor.alert.value == ""


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
    monkeypatch.setattr(loso_monitor, "loss_curves", lambda arrived: 1 / 0)
    monkeypatch.setattr(type(monitor.trace), "__exit__", lambda *_: True)
    with pytest.raises(ZeroDivisionError):
        monitor.update()
    assert views(monitor) == ["", "", ""]


def test_the_timer_looks_by_itself_until_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def watch() -> None:
        monitor = monitor_of(tmp_path, unfinished=1, poll_s=0.01)
        write_status(monitor.run, "toy/s04")
        await until(lambda: "Running" in monitor.bar.value)
        told: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, what: told.append(what))
        monkeypatch.setattr(loso_monitor, "subject_cells", lambda folds: 1 / 0)
        await until(lambda: told)
        assert isinstance(told[0]["exception"], ZeroDivisionError)
        assert not monitor._poll.going

    in_loop(watch)


@pytest.fixture
def evolution(tmp_path: Path) -> Evolution:
    config = quick_config("ammsm_temporal", "model.width=8", "model.head=8")
    return Evolution.of(config, make_flowset(), tmp_path, population=4, generations=3)


def bred(evolution: Evolution, generations: int) -> None:
    """Trials of so many generations are there; who magnifies most is fittest."""
    evolution.sweep.folder.mkdir(parents=True, exist_ok=True)
    journal = Journal.open(evolution.sweep.folder / JOURNAL, name_of(evolution), ["maximize"])
    part = replace(evolution, generations=generations)
    breed(part, journal, lambda of: [Fitness(1 / c.alpha, c.alpha) for c in of], lambda *_: None)


def captions(monitor: SearchMonitor) -> str:
    return "".join(output["data"].get("text/html", "") for output in monitor.plot.outputs)


def test_trials_of_a_search_arrive(evolution: Evolution) -> None:
    monitor = SearchMonitor(evolution)
    assert "0 of 12 trials, not begun" in monitor.progress.value
    assert "not a test result" in monitor.progress.value
    assert (monitor.best.value, monitor.table.value, monitor.plot.outputs) == ("", "", ())
    assert (monitor.button.description, monitor.button.disabled) == ("Start the search", False)
    assert not evolution.sweep.folder.exists()
    sent: list[object] = []
    monitor.plot.observe(sent.append, "outputs")
    for generations, words in ((1, "4 of 12 trials, stopped"), (3, "12 of 12 trials, complete")):
        bred(evolution, generations)
        assert monitor.update() is (generations < 3)
        assert words in monitor.progress.value
        monitor.update()
    assert len(sent) == 2, "once for each news"
    assert monitor.button.disabled
    assert "Fittest of 12 trials" in monitor.best.value
    assert f"factor {evolution.found().winner.alpha:.2f}" in monitor.best.value
    assert monitor.table.value.count("<tr") == 1 + 5
    assert "The 10 fittest of 12 trials" in captions(monitor)
    monitor.count.value = 3
    assert "The 3 fittest of 12 trials" in captions(monitor)


def test_a_search_by_command_is_seen_waited_for_and_cannot_be_stopped_here(
    evolution: Evolution, monkeypatch: pytest.MonkeyPatch
) -> None:
    with held(evolution.sweep.folder / LOCK):
        monitor = SearchMonitor(evolution)
        assert "0 of 12 trials, training super-networks by a command" in monitor.progress.value
        bred(evolution, generations=1)
        monitor.update()
        assert "4 of 12 trials, running by a command" in monitor.progress.value
        assert monitor.button.disabled
    monitor.update()
    assert "4 of 12 trials, stopped" in monitor.progress.value
    assert not monitor.button.disabled
    monkeypatch.setattr(Job, "state", lambda job: JobState("running", expected=12))
    assert monitor.wait(timeout_s=0.01).phase == "running"
    monkeypatch.undo()
    bred(evolution, generations=3)
    assert monitor.wait().phase == "complete"
    assert "Fittest of 12 trials" in monitor.best.value


def test_a_monitor_looks_by_itself_until_it_is_closed(evolution: Evolution) -> None:
    async def watch() -> None:
        monitor = SearchMonitor(evolution)
        assert monitor._poll.going
        monitor._poll.end()
        monitor._poll._every_s = 0.01
        monitor._poll.begin()
        bred(evolution, generations=1)
        await until(lambda: "Fittest of 4 trials" in monitor.best.value)
        monitor.close()
        assert not monitor._poll.going

    in_loop(watch)


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    config = quick_config("hmrm", "training.epochs=1")
    return Sweep.of(config, make_flowset(subjects=6, per_subject=3), tmp_path)


def explorer_of(sweep: Sweep) -> HeatmapExplorer:
    return HeatmapExplorer(Study({}, pd.DataFrame(), pd.DataFrame(), sweep=sweep, axes=VALUES))


def test_cells_of_a_sweep_arrive(sweep: Sweep) -> None:
    explorer = explorer_of(sweep)
    assert [button.description for button in explorer.grid.cells.values()] == ["·"] * 4
    assert "not done yet" in explorer.cell.value
    assert explorer.curves.value == explorer.confusion.value == ""
    assert "0 of 4 settings" in explorer.progress.value
    assert "not a test result" in explorer.progress.value
    flowset = make_flowset(subjects=6, per_subject=3)
    run_grid(sweep, flowset, grid(VALUES)[:3])
    assert explorer.update() is True
    button = explorer.grid.cells[2, 8]
    score = sweep.trial({"model.depth": 2, "model.width": 8}).score
    assert button.description == f"{score:.3f}".lstrip("0")
    assert f"Depth 2, Width 8\nUF1 {score:.3f}" in button.tooltip
    assert "parameters" in button.tooltip
    button.click()
    assert (explorer.row.value, explorer.column.value) == (2, 8)
    assert f"Depth 2, Width 8</b>: UF1 {score:.3f}" in explorer.cell.value
    assert "Group" in explorer.cell.value
    assert "Confusion" in explorer.confusion.value
    assert button.style.font_weight == "bold"
    last = explorer.grid.cells[2, 16]
    assert (last.description, last.style.font_weight) == ("·", "normal")
    run_grid(sweep, flowset, grid(VALUES))
    assert explorer.update() is False
    assert last.description != "·"
    assert explorer.button.disabled, "nothing is left to do"


@pytest.mark.parametrize("kind", ["search", "sweep"])
def test_the_button_of_a_job_starts_stops_and_tells_a_refusal(
    kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, asked: list[object]
) -> None:
    made: dict[str, Callable[[], HeatmapExplorer | SearchMonitor]] = {
        "search": lambda: SearchMonitor(request.getfixturevalue("evolution"), jobs=2),
        "sweep": lambda: explorer_of(request.getfixturevalue("sweep")),
    }
    viewer = made[kind]()
    viewer.button.click()
    with monkeypatch.context() as patch:
        patch.setattr(Job, "state", lambda job: JobState("running", expected=12))
        viewer.update()
        assert (viewer.button.description, viewer.button.icon) == (f"Stop the {kind}", "stop")
        viewer.button.click()
    assert [what if what == "stop" else what[1]["jobs"] for what in asked] == [
        2 if kind == "search" else 1,
        "stop",
    ]

    def refuse(self: object, **_: object) -> None:
        raise InputError("no <locks> here", hint="run it yourself")

    monkeypatch.setattr(Job, "start", refuse)
    viewer.update()
    viewer.button.click()
    assert "no &lt;locks&gt; here" in viewer.problem.value
    assert viewer.progress.value == ""
    viewer.update()
    assert viewer.progress.value
    assert not viewer.problem.value


def board_of(config: ExperimentConfig, **options: Any) -> AblationBoard:
    clips = Clips(config, None, load_clips(config))
    return AblationBoard(System.of_settings(config), clips, seeds=[0], **options)


def test_the_board_opens_with_the_papers_models_and_each_switch_changes_what_is_queued(
    tmp_path: Path, asked: list[Any]
) -> None:
    board = board_of(load_config("smoke", overrides=QUICK), out=tmp_path)
    assert list(board.run_rows) == LISTED
    assert "M4" in board.choice.value
    assert board.table.value.count("not run yet") == len(LISTED)
    assert board.run_rows["M3"].button.description == "Queue M3"
    board.run_rows["M3"].button.click()
    assert [digest for digest, _ in asked] == [board._plan.configs["M3"].digest()]
    asked.clear()
    for control, value, name in (
        ("flow", "tvl1", "M1"),
        ("motionmix", 0.0, "M2"),
        ("fusion", "none", "M3"),
        ("width", 64, "width 64"),
        ("depth", 4, "depth 4"),
    ):
        switch = getattr(board.switches, control)
        start, switch.value = switch.value, value
        assert name in board.choice.value
        board.queue.click()
        switch.value = start
    assert len({digest for digest, _ in asked} - {board._plan.full_config.digest()}) == 5
    assert list(board.run_rows) == [*LISTED, "own 1", "own 2"]
    assert "width 64" in board.run_rows["own 1"].label.value
    board.switches.width.value = 64
    board.queue.click()
    assert len(board.run_rows) == len(LISTED) + 2, "what is new is listed once"


def test_results_that_are_there_are_shown_and_found_again(tmp_path: Path) -> None:
    config = load_config("smoke", overrides=QUICK)
    board = board_of(config, out=tmp_path, variants=PAPER[2:3])
    before = board.plot.outputs
    board.switches.width.value = 32
    board._add([board._chosen()[0]])
    board._plan.run(out=tmp_path)
    assert board.update() is False
    assert board.run_rows["M3"].button.layout.visibility == "hidden"
    assert board.plot.outputs != before
    drawn = board.plot.outputs[0]["data"]["application/vnd.plotly.v1+json"]["data"]
    assert len(drawn[0]["x"]) == 2
    again = board_of(config, out=tmp_path, variants=PAPER[2:3])
    assert list(again.run_rows)[-1] == "own 1"
    assert "width 32" in again.run_rows["own 1"].label.value


@pytest.mark.slow
def test_a_run_of_its_own_process_ends_up_in_the_table(tmp_path: Path) -> None:
    board = board_of(load_config("smoke", overrides=QUICK), out=tmp_path, variants=PAPER[1:2])
    board.queue.click()
    assert board.update() is True
    assert board.run_rows["M4"].button.description == "Stop M4"
    board._run("M4").wait(SECONDS)
    assert board.update() is False
    assert board.run_rows["M4"].button.layout.visibility == "hidden"
    assert board.table.value.count("not run yet") == 1
