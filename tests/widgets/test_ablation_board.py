"""The board: what the switches say, what its buttons start, and what it shows of the results."""

from pathlib import Path
from typing import Any

import pytest
from conftest import quick_config

from hmrm_lab.api.clips import Clips
from hmrm_lab.api.system import System
from hmrm_lab.config import ExperimentConfig
from hmrm_lab.errors import InputError
from hmrm_lab.preparation import load_clips
from hmrm_lab.studies.ablate import PAPER
from hmrm_lab.studies.jobs import Job

pytest.importorskip("ipywidgets", reason="the extra 'jupyter' is not installed")

from hmrm_widgets import AblationBoard

QUICK = ("training.epochs=1", "data.subjects=2", "data.clips=6")
SECONDS = 600.0  # so that a fault ends the test


def board_of(config: ExperimentConfig, **options: Any) -> AblationBoard:
    clips = Clips(config, None, load_clips(config))
    return AblationBoard(System.of_settings(config), clips, seeds=[0], **options)


@pytest.fixture
def board(tmp_path: Path) -> AblationBoard:
    return board_of(quick_config("hmrm", *QUICK), out=tmp_path)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The digests of runs that were asked for; none is started."""
    asked: list[str] = []

    def start(job: Job, **where: object) -> None:
        asked.append(job.recipe.digest())

    monkeypatch.setattr(Job, "start", start)
    return asked


def test_it_opens_with_the_papers_models_and_nothing_run(board: AblationBoard) -> None:
    assert list(board.runs.rows) == ["M4", "M1", "M2", "M3"]
    assert board.runs.rows["M2"].button.description == "Queue M2"
    assert "M4" in board.choice.value
    assert board.table.value.count("not run yet") == 4
    assert not board.problem.value


@pytest.mark.parametrize(
    ("control", "value", "name"),
    [
        ("flow", "tvl1", "M1"),
        ("motionmix", 0.0, "M2"),
        ("fusion", "none", "M3"),
        ("width", 64, "width 64"),
        ("depth", 4, "depth 4"),
    ],
)
def test_each_switch_changes_what_would_be_queued(
    board: AblationBoard, started: list[str], control: str, value: object, name: str
) -> None:
    getattr(board.switches, control).value = value
    assert name in board.choice.value
    board.queue.click()
    assert len(started) == 1
    assert started[0] != board._plan.full_config.digest()
    assert not board.problem.value


def test_what_is_new_is_listed_once(board: AblationBoard, started: list[str]) -> None:
    board.switches.width.value = 64
    board.queue.click()
    board.queue.click()
    assert list(board.runs.rows) == ["M4", "M1", "M2", "M3", "own 1"]
    board.switches.motionmix.value = 0.2
    board.queue.click()
    assert list(board.runs.rows)[-1] == "own 2"
    assert "MotionMix 0.2, width 64" in board.runs.rows["own 2"].label.value
    assert len(started) == 3


def test_the_button_of_a_row_starts_that_run(board: AblationBoard, started: list[str]) -> None:
    board.runs.rows["M3"].button.click()
    assert started == [board._plan.configs["M3"].digest()]


def test_results_that_are_there_are_shown_and_found_again(tmp_path: Path) -> None:
    config = quick_config("hmrm", *QUICK, "flow.name=gru_attention")
    board = board_of(config, out=tmp_path)
    before = board.plot.outputs
    board.switches.width.value = 32
    variant, _ = board._chosen()
    board._add([variant])
    plan = board._plan
    for name in list(plan.configs):
        if name not in ("M4", "M3", "own 1"):
            del plan.configs[name]
    plan.run(out=tmp_path)
    assert board.update() is False
    assert board.runs.rows["M3"].button.description == "Done"
    assert board.runs.rows["M3"].button.disabled
    assert board.plot.outputs != before
    drawn = board.plot.outputs[0]["data"]["application/vnd.plotly.v1+json"]["data"]
    assert len(drawn[0]["x"]) == 2
    again = board_of(config, out=tmp_path)
    assert list(again.runs.rows)[-1] == "own 1"
    assert "width 32" in again.runs.rows["own 1"].label.value


@pytest.mark.slow
def test_a_run_of_its_own_process_ends_up_in_the_table(tmp_path: Path) -> None:
    board = board_of(quick_config("hmrm", *QUICK), out=tmp_path, variants=PAPER[1:2])
    board.queue.click()
    assert board.update() is True
    assert board.runs.rows["M4"].button.description == "Stop M4"
    board._run("M4").wait(SECONDS)
    assert board.update() is False
    assert board.runs.rows["M4"].button.description == "Done"
    assert board.table.value.count("not run yet") == 1


@pytest.mark.slow
def test_stop(tmp_path: Path) -> None:
    config = quick_config("hmrm", *QUICK, "training.epochs=100000")
    board = board_of(config, out=tmp_path, variants=[])
    board.queue.click()
    board.runs.rows["M4"].button.click()
    board._run("M4").wait(SECONDS)
    board.update()
    assert board.runs.rows["M4"].button.description in ("Go on M4", "Queue M4")


def test_another_system_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'ststnet' lacks the components"):
        board_of(quick_config("ststnet"), out=tmp_path)


def test_a_refusal_of_a_start_is_told(
    board: AblationBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise InputError("no <locks> here", hint="run it yourself")

    monkeypatch.setattr(Job, "start", refuse)
    board.queue.click()
    assert "no &lt;locks&gt; here" in board.problem.value
    assert board.table.value == ""
    board.update()
    assert not board.problem.value
    assert board.table.value
