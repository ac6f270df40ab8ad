"""The explorer: sliders and buttons choose a cell, and what lies behind it is shown."""

from pathlib import Path

import pandas as pd
import pytest
from conftest import make_flowset, quick_config

from hmrm_lab.api.result import Study
from hmrm_lab.errors import InputError
from hmrm_lab.records import FlowSet
from hmrm_lab.studies.jobs import Job
from hmrm_lab.studies.search import run_grid
from hmrm_lab.studies.space import grid
from hmrm_lab.studies.trials import Sweep

pytest.importorskip("ipywidgets", reason="the extra 'jupyter' is not installed")

from hmrm_widgets import HeatmapExplorer

VALUES = {"model.depth": (1, 2), "model.width": (8, 16)}


@pytest.fixture
def flowset() -> FlowSet:
    return make_flowset(subjects=6, per_subject=3)


@pytest.fixture
def sweep(flowset: FlowSet, tmp_path: Path) -> Sweep:
    return Sweep.of(quick_config("hmrm", "training.epochs=2"), flowset, tmp_path)


def study_of(sweep: Sweep, values: dict[str, tuple[int, ...]] = VALUES) -> Study:
    return Study({}, pd.DataFrame(), pd.DataFrame(), sweep=sweep, axes=values)


@pytest.fixture
def explorer(sweep: Sweep, flowset: FlowSet) -> HeatmapExplorer:
    """With all cells but the last."""
    run_grid(sweep, flowset, grid(VALUES)[:3])
    return HeatmapExplorer(study_of(sweep))


def test_an_empty_sweep_is_a_grid_of_empty_cells(sweep: Sweep) -> None:
    explorer = HeatmapExplorer(study_of(sweep))
    assert [button.description for button in explorer.grid.cells.values()] == ["·"] * 4
    assert "not done yet" in explorer.cell.value
    assert explorer.curves.value == explorer.confusion.value == ""
    assert "0 of 4 settings" in explorer.progress.value
    assert "not a test result" in explorer.progress.value


def test_every_cell_tells_its_score_on_hovering(explorer: HeatmapExplorer, sweep: Sweep) -> None:
    button = explorer.grid.cells[(2, 8)]
    score = sweep.trial({"model.depth": 2, "model.width": 8}).score
    assert button.description == f"{score:.3f}".lstrip("0")
    assert f"Depth 2, Width 8\nUF1 {score:.3f}" in button.tooltip
    assert "parameters" in button.tooltip
    assert explorer.grid.cells[(2, 16)].description == "·"


@pytest.mark.parametrize(("control", "value"), [("row", 2), ("column", 16)])
def test_each_slider_chooses_another_cell(
    explorer: HeatmapExplorer, control: str, value: int
) -> None:
    before = explorer.cell.value, explorer.curves.value
    getattr(explorer, control).value = value
    assert explorer.cell.value != before[0]
    assert explorer.curves.value != before[1]
    assert "Group" in explorer.cell.value
    assert "Confusion" in explorer.confusion.value


def test_a_button_of_the_grid_moves_the_sliders(explorer: HeatmapExplorer) -> None:
    explorer.grid.cells[(2, 8)].click()
    assert (explorer.row.value, explorer.column.value) == (2, 8)
    assert "Depth 2, Width 8" in explorer.cell.value
    assert explorer.grid.cells[(2, 8)].style.font_weight == "bold"
    assert explorer.grid.cells[(1, 8)].style.font_weight == "normal"


def test_cells_arrive(explorer: HeatmapExplorer, sweep: Sweep, flowset: FlowSet) -> None:
    explorer.grid.cells[(2, 16)].click()
    assert "not done yet" in explorer.cell.value
    run_grid(sweep, flowset, grid(VALUES))
    assert explorer.update() is False
    assert "UF1" in explorer.cell.value
    assert explorer.grid.cells[(2, 16)].description != "·"
    assert explorer.button.disabled, "nothing is left to do"


def test_start_and_stop(explorer: HeatmapExplorer, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(Job, "start", lambda self, **_: asked.append("start"))
    explorer.button.click()
    assert asked == ["start"]


def test_a_refusal_is_told_and_the_views_are_empty(
    explorer: HeatmapExplorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: object, **_: object) -> None:
        raise InputError("no <locks> here", hint="run it yourself")

    monkeypatch.setattr(Job, "start", refuse)
    explorer.button.click()
    assert "no &lt;locks&gt; here" in explorer.problem.value
    assert explorer.cell.value == ""
    assert {button.description for button in explorer.grid.cells.values()} == {"·"}
    explorer.update()
    assert explorer.cell.value


def test_two_settings_and_no_other_number(sweep: Sweep) -> None:
    with pytest.raises(InputError, match="two settings, not 1"):
        HeatmapExplorer(study_of(sweep, {"model.depth": (1, 2)}))
