"""Runs over all folds: each clip once, resumed to the same bytes, stamped, in the ledger."""

import csv
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import make_flowset, quick_config, tuned_config
from reporting.made_runs import FILES, figures_of, make_run
from test_cli import hmrm

from hmrm_lab.config import ExperimentConfig
from hmrm_lab.errors import InputError
from hmrm_lab.evaluation import loso
from hmrm_lab.evaluation.ledger import COLUMNS, LEDGER, count_evaluations, record_evaluation
from hmrm_lab.evaluation.protocols import inner_subject_folds
from hmrm_lab.records import FlowSet
from hmrm_lab.runtime.store import RunFolder
from hmrm_lab.studies.experiment import run_experiment

RENAMED = ("bad", "good", "surprise")


def run(config: ExperimentConfig, flowset: FlowSet, out: Path, jobs: int = 1) -> RunFolder:
    return run_experiment(config, out=out, jobs=jobs, flowset=flowset, final_model=False)


def test_inner_folds_are_disjoint_by_subject_complete_even_and_of_the_seed() -> None:
    flowset = make_flowset(subjects=11, per_subject=3)
    subjects = np.array(flowset.subjects)
    first = set()
    for seed in range(6):
        folds = list(inner_subject_folds(flowset, 4, seed))
        first.add(tuple(folds[0].test))
        for fold in folds:
            assert not set(subjects[fold.train]) & set(subjects[fold.test])
            assert 6 <= len(fold.test) <= 9
        assert sorted(np.concatenate([fold.test for fold in folds])) == list(range(33))
    assert len(first) >= 5
    with pytest.raises(InputError, match="fewer folds"):
        list(inner_subject_folds(make_flowset(subjects=3), 4, 0))


def test_nothing_is_written_for_data_that_cannot_be_used(tmp_path: Path) -> None:
    for config, flowset, problem in (
        (tuned_config(), make_flowset(), "no frames to fine-tune a flow on"),
        (quick_config(), make_flowset(subjects=1), "at least two subjects"),
    ):
        with pytest.raises(InputError, match=problem):
            run(config, flowset, tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_a_run_that_was_cut_off_goes_on_to_the_same_bytes_and_then_computes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flowset, config = make_flowset(), quick_config("ststnet")
    whole = run(config, flowset, tmp_path)
    expected = figures_of(whole)
    for survivors in (0, 3):
        for file in sorted(whole.folds.glob("*.json"))[survivors:]:
            file.unlink()
        (whole.folds / ".left.json.x.part").write_text("half a fi")
        for name in FILES:
            (whole.path / name).unlink()
        assert figures_of(run(config, flowset, tmp_path)) == expected
    for other, what in (
        (make_flowset(seed=1), "data"),
        (replace(flowset, classes=RENAMED), "classes"),
    ):
        with pytest.raises(InputError, match=f"the {what} have changed"):
            run(config, other, tmp_path)
    monkeypatch.setattr(loso, "run_fold", lambda *_: pytest.fail("a fold was computed again"))
    assert figures_of(run(config, flowset, tmp_path)) == expected


def rows(out: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((out / LEDGER).read_text(encoding="utf-8").splitlines()))


def test_a_run_has_one_row_however_often_it_is_started(tmp_path: Path) -> None:
    flowset, config = make_flowset(subjects=2), quick_config("mlp", "training.epochs=1")
    run = run_experiment(config, out=tmp_path, flowset=flowset, final_model=False)
    (row,) = rows(tmp_path)
    expected = {
        **{"run": run.path.name, "settings": config.digest(), "system": "mlp", "seeds": "0"},
        **{"epoch_rule": "last", "test_set": run.data()["test_set"]},
    }
    assert tuple(row) == COLUMNS and row.items() >= expected.items()
    next(run.folds.glob("*.json")).unlink()
    run_experiment(config, out=tmp_path, flowset=flowset, final_model=False)
    assert rows(tmp_path) == [row]
    for other, clips, expected_counts in (
        (config.model_copy(update={"name": "again"}), flowset, (2, 1)),
        (quick_config("ststnet", "training.epochs=1"), flowset, (3, 2)),
        (quick_config("mlp", "training.epochs=2"), make_flowset(subjects=3), (1, 1)),
    ):
        made = run_experiment(other, out=tmp_path, flowset=clips, final_model=False)
        assert count_evaluations(made) == expected_counts
    shutil.rmtree(run.path)
    record_evaluation(made)
    assert len(rows(tmp_path)) == 4, "what was seen stays seen"


def test_a_run_that_was_stopped_is_counted_if_a_fold_was_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, asked = loso.run_fold, []

    def once(*arguments, **settings):
        if len(asked) == folds:
            raise KeyboardInterrupt
        asked.append(1)
        return whole(*arguments, **settings)

    monkeypatch.setattr(loso, "run_fold", once)
    for folds in (0, 1):
        with pytest.raises(KeyboardInterrupt):
            run_experiment(quick_config("mlp"), out=tmp_path, flowset=make_flowset())
        assert (tmp_path / LEDGER).is_file() == bool(folds)


def test_writers_at_the_same_time_lose_and_double_nothing(tmp_path: Path) -> None:
    """Each opens the file for itself, as processes do."""
    runs = [make_run(tmp_path, make_flowset(), f"training.epochs={n}") for n in range(1, 4)]
    (tmp_path / LEDGER).unlink()
    with ThreadPoolExecutor(18) as threads:
        list(threads.map(record_evaluation, runs * 6))
    assert sorted(row["run"] for row in rows(tmp_path)) == sorted(run.path.name for run in runs)


def test_a_file_that_is_no_ledger_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loso, "run_fold", lambda *_, **__: pytest.fail("work was done"))
    header = ",".join(COLUMNS)
    for content in ("a,b\n1,2\n", f"{header}\n2026,x\n", "\0", f"{header},more\n"):
        (tmp_path / LEDGER).write_text(content, encoding="utf-8")
        with pytest.raises(InputError, match="not a ledger of test-set evaluations; move it away"):
            run_experiment(quick_config("mlp"), out=tmp_path, flowset=make_flowset())


def test_the_report_says_how_often(tmp_path: Path) -> None:
    config = quick_config("mlp", "training.epochs=1", "data.subjects=3", "data.clips=9")
    first, other = (
        run_experiment(config.model_copy(update={"name": name}), out=tmp_path, final_model=False)
        for name in ("first", "other")
    )
    told = "this test set has been evaluated 2 times from this folder, under 1 setting"
    assert told in hmrm("report", first.path, cwd=tmp_path).stdout
    page = (first.path / "report.html").read_text(encoding="utf-8")
    assert f"Test-set evaluations: {told}." in page
    record = json.loads(hmrm("report", other.path, "--json", cwd=tmp_path).stdout)
    assert record["runs"][0]["test_set_evaluations"] == {"runs": 2, "settings": 1}
