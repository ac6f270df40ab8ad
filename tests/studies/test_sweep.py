"""Sweeps: what they look at, what they keep, and what they refuse."""

import math
from pathlib import Path

import numpy as np
import pytest
from conftest import make_flowset, quick_config

from hmrm_lab.datasets.classes import MEGC3
from hmrm_lab.errors import ConfigError, DivergedError, InputError
from hmrm_lab.evaluation.metrics import confusion_of, uf1
from hmrm_lab.records import FlowSet
from hmrm_lab.runtime.store import read_json
from hmrm_lab.studies import background_sweep
from hmrm_lab.studies import sweep as sweep_module
from hmrm_lab.studies.background_sweep import BackgroundSweep
from hmrm_lab.studies.cells import cells_table
from hmrm_lab.studies.queue import Place
from hmrm_lab.studies.sweep import (
    PAPER_GRID,
    Sweep,
    development_half,
    grid,
    run_cells,
    whole_numbers,
)

POINTS = grid({"model.depth": (1,), "model.width": (8, 16)})


@pytest.fixture
def flowset() -> FlowSet:
    return make_flowset(subjects=8, per_subject=3)


@pytest.fixture
def sweep(flowset: FlowSet, tmp_path: Path) -> Sweep:
    return Sweep.of(quick_config("hmrm", "training.epochs=1"), flowset, tmp_path)


def test_the_papers_grid() -> None:
    points = grid(PAPER_GRID)
    assert len(points) == 36
    assert points[0] == {"model.width": 64, "model.depth": 2}
    assert {"model.width": 192, "model.depth": 4} in points
    assert points[-1] == {"model.width": 384, "model.depth": 12}


def test_cells_answer_for_the_development_subjects_alone(sweep: Sweep, flowset: FlowSet) -> None:
    run_cells(sweep, flowset, POINTS)
    record = read_json(sweep.folder / "sweep.json")
    half = record["development_subjects"]
    assert half == sorted(set(development_half(flowset).persons))
    assert len(half) == len(record["other_subjects"]) == 4
    assert set(half).isdisjoint(record["other_subjects"])
    cell = sweep.cell(POINTS[0])
    assert sorted(cell.predictions.persons.unique()) == half
    assert len(cell.predictions) == 4 * 3, "every clip of theirs once"
    assert cell.score == pytest.approx(float(uf1(confusion_of(cell.predictions))))
    assert cell.groups()["Clips"].sum() == 12
    assert "not a test result" in cell.caption()
    assert list(cell.history()["epoch"]) == [1] * 4


def test_the_other_half_changes_nothing(sweep: Sweep, flowset: FlowSet) -> None:
    """Poisoned maps and labels of all other subjects: the same answers, bit for bit."""
    others = ~np.isin(flowset.persons, development_half(flowset).persons)
    poisoned = FlowSet(
        np.where(others[:, None, None, None], np.float32(np.nan), flowset.maps),
        np.where(others, (flowset.labels + 1) % 3, flowset.labels),
        flowset.keys,
        MEGC3.classes,
    )
    clean = sweep_module.make_cell(sweep, development_half(flowset), POINTS[0])
    elsewhere = Sweep(sweep.base, sweep.folder.parent / "poisoned")
    dirty = sweep_module.make_cell(elsewhere, development_half(poisoned), POINTS[0])
    assert clean.predictions.table.equals(dirty.predictions.table)


def test_a_group_is_answered_by_a_model_that_has_not_met_it(
    sweep: Sweep, flowset: FlowSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def spy(config: object, half: FlowSet, unit: object) -> dict[str, object]:
        train, test = (
            {half.persons[row] for row in rows} for rows in (unit.fold.train, unit.fold.test)
        )
        seen.append((train, test))
        return real(config, half, unit)

    real = sweep_module.run_unit
    monkeypatch.setattr(sweep_module, "run_unit", spy)
    run_cells(sweep, flowset, POINTS[:1])
    assert len(seen) == 4
    assert all(train and test and train.isdisjoint(test) for train, test in seen)


def test_finished_cells_are_not_made_again(sweep: Sweep, flowset: FlowSet) -> None:
    run_cells(sweep, flowset, POINTS[:1])
    before = sweep.file(POINTS[0]).stat().st_mtime_ns
    told: list[tuple[int, int]] = []
    run_cells(sweep, flowset, POINTS, on_progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 2), (2, 2)]
    assert sweep.file(POINTS[0]).stat().st_mtime_ns == before
    table = cells_table(cell for point in POINTS if (cell := sweep.cell(point)))
    assert table["model.width"].tolist() == [8, 16]
    assert table["Parameters"].is_monotonic_increasing
    assert (table["UF1 low"] <= table["UF1"]).all()


def test_other_data_or_another_recipe_have_another_folder(sweep: Sweep, flowset: FlowSet) -> None:
    out = sweep.folder.parent
    assert Sweep.of(sweep.base, flowset, out) == sweep
    assert Sweep.of(sweep.base, make_flowset(subjects=6), out).folder != sweep.folder
    assert Sweep.of(quick_config("hmrm"), flowset, out).folder != sweep.folder


def test_a_training_that_diverges_has_a_cell_without_a_score(
    sweep: Sweep, flowset: FlowSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge(*_: object) -> None:
        raise DivergedError("the loss is nan in epoch 1")

    monkeypatch.setattr(sweep_module, "run_unit", diverge)
    run_cells(sweep, flowset, POINTS[:1])
    cell = sweep.cell(POINTS[0])
    assert cell.problem == "the loss is nan in epoch 1"
    assert math.isnan(cell.score)
    assert cells_table([cell])["Note"].iloc[0] == cell.problem


@pytest.mark.parametrize(
    ("point", "message"),
    [
        ({"model.widht": 8}, "did you mean 'width'"),
        ({"model.width": "wide"}, "width"),
        ({"evaluation.seeds": 1}, "cannot vary evaluation.seeds"),
        ({"flow.name": "tvl1"}, "cannot vary flow.name"),
        ({"model.name": "ststnet"}, "cannot vary model.name"),
    ],
)
def test_what_cannot_be_swept_is_refused_before_any_work(
    sweep: Sweep, flowset: FlowSet, point: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        run_cells(sweep, flowset, [*POINTS, point])
    assert not sweep.folder.exists()


def test_peeking_and_too_few_subjects_are_refused(flowset: FlowSet, tmp_path: Path) -> None:
    peeking = quick_config("hmrm", "evaluation.epoch_rule=oracle_test")
    with pytest.raises(ConfigError, match="choose what peeks best"):
        Sweep.of(peeking, flowset, tmp_path)
    with pytest.raises(InputError, match="3 subjects are too few"):
        development_half(make_flowset(subjects=3))


def test_in_a_process_of_its_own(tmp_path: Path) -> None:
    from hmrm_lab.preparation import load_flowset

    config = quick_config("hmrm", "training.epochs=1", "data.clips=8")
    sweep = Sweep.of(config, load_flowset(config), tmp_path)
    background = BackgroundSweep(sweep, POINTS)
    assert background.state().phase == "absent"
    background.start()
    assert background.state().going
    state = background.wait(120)
    assert (state.phase, state.done, state.expected) == ("complete", 2, 2)
    assert background.missing() == []
    background.stop()  # nothing is going


def test_no_number_of_processes_is_one_per_core(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hmrm_lab.preparation import load_flowset

    config = quick_config("hmrm", "data.clips=8")
    background = BackgroundSweep(Sweep.of(config, load_flowset(config), tmp_path), POINTS)
    used: list[int] = []
    monkeypatch.setattr(Place, "launch", lambda place, command: used.append(int(command[-1])))
    monkeypatch.setattr(background_sweep, "count_cores", lambda: 7)
    monkeypatch.setattr(background_sweep, "run_cells", lambda *_, jobs: used.append(jobs))
    background.start(jobs=0)
    assert background_sweep._work(background._study.place, None, used[0]) == ""
    assert used == [0, 7]
    with pytest.raises(InputError, match="-1 jobs; take one or more, or 0"):
        background.start(jobs=-1)


def test_values_as_they_are_typed() -> None:
    assert whole_numbers("widths", "128 64 64") == (64, 128)
    for text in ("", "64 wide", "0", "-2", "1.5"):
        with pytest.raises(ConfigError, match=f"widths: '{text}' are not whole numbers"):
            whole_numbers("widths", text)


def test_a_mistyped_setting_is_told_before_the_process_starts(sweep: Sweep) -> None:
    with pytest.raises(ConfigError, match="did you mean 'depth'"):
        BackgroundSweep(sweep, [{"model.dept": 1}]).start()
