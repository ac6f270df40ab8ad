"""Live progress of a run, read from its folder."""

from pathlib import Path

import pytest
from conftest import make_flowset, quick_config
from evaluation.test_desk import write_status
from reporting.made_runs import make_run

from hmrm_lab.evaluation.live_progress import NOTHING, FoldProgress, SnapshotReader
from hmrm_lab.evaluation.summary import stamp
from hmrm_lab.runtime.store import RunFolder

FAILURE = {"kind": "diverged", "reason": "the loss is nan", "attempts": 1, "traceback": None}


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """Five subjects of six clips: two done, one in work, one failed, one waits."""
    run = make_run(tmp_path, make_flowset(subjects=5), right=1.0, unfinished=3)
    write_status(run, "toy/s03", epoch=15, loss=0.8)
    run.write_failure("toy/s04", 0, FAILURE)
    return run


def test_every_held_out_subject_has_its_state(run: RunFolder) -> None:
    arrived = SnapshotReader(run).read()
    assert arrived.folds == (
        FoldProgress("toy/s01", "done", 1.0, 6, right=6, answered=6),
        FoldProgress("toy/s02", "done", 1.0, 6, right=6, answered=6),
        FoldProgress("toy/s03", "in work", 0.25, 6),
        FoldProgress("toy/s04", "failed", 0.0, 6, reason="diverged: the loss is nan"),
        FoldProgress("toy/s05", "waiting", 0.0, 6),
    )
    assert (arrived.done, arrived.expected) == (2, 5)
    assert "INCOMPLETE: 2 of 5 folds, 1 failed" in arrived.stamp
    assert arrived.score == f"UF1 1.000 so far: not a result yet. {arrived.stamp}"


def test_nothing_has_arrived_before_the_run_begins(tmp_path: Path) -> None:
    assert SnapshotReader(RunFolder.of(quick_config(), tmp_path)).read() == NOTHING
    assert NOTHING.score == "No fold is done yet."


def test_what_has_arrived_in_the_end_is_the_result(tmp_path: Path) -> None:
    run = make_run(tmp_path, make_flowset(), "evaluation.seeds=[0, 1]", right=0.6)
    arrived, metrics = SnapshotReader(run).read(), run.metrics()
    assert arrived.counts.shape == (2, 3, 3)
    assert arrived.counts.sum(0).tolist() == metrics["all"]["confusion"]
    assert arrived.uf1 == pytest.approx(metrics["all"]["uf1"], abs=1e-6)
    assert arrived.stamp == stamp(metrics)
    assert arrived.score == f"UF1 {arrived.uf1:.3f}. {arrived.stamp}"


def test_a_fold_is_done_when_all_its_seeds_are(tmp_path: Path) -> None:
    run = make_run(tmp_path, make_flowset(), "evaluation.seeds=[0, 1]")
    run.fold_file("toy/s02", 1).unlink()
    arrived = SnapshotReader(run).read()
    assert [fold.state for fold in arrived.folds] == ["done", "waiting", "done", "done"]
    assert (arrived.folds[1].share, arrived.folds[1].answered) == (0.5, 6)


def test_the_curve_of_a_fold_in_work_grows_with_every_look(run: RunFolder) -> None:
    reader = SnapshotReader(run)
    reader.read()
    write_status(run, "toy/s03", epoch=17, loss=0.7)
    arrived = reader.read()
    assert arrived.in_work == ([(15, 0.8), (17, 0.7)],)
    assert arrived.finished == ([(1, 1.0), (2, 0.5)],) * 2
    write_status(run, "toy/s03", epoch=1, loss=1.1)  # a second training of the same unit
    arrived = reader.read()
    assert arrived.in_work == ([(1, 1.1)],)


def test_a_finished_unit_is_read_once(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    from hmrm_lab.evaluation import live_progress

    read: list[str] = []
    as_ever = live_progress.read_json
    monkeypatch.setattr(
        live_progress, "read_json", lambda path: (read.append(path.name), as_ever(path))[1]
    )
    reader = SnapshotReader(run)
    for _ in range(3):
        reader.read()
    assert sorted(read) == ["toy@s01.seed0.json", "toy@s02.seed0.json"]


def test_before_the_first_answer_there_is_no_score(tmp_path: Path) -> None:
    run = make_run(tmp_path, make_flowset())
    for file in run.folds.glob("*.json"):
        file.unlink()
    arrived = SnapshotReader(run).read()
    assert arrived.uf1 is None
    assert {fold.state for fold in arrived.folds} == {"waiting"}
