"""The ledger of test-set evaluations: one row for a run, whoever writes, and never one less."""

import csv
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import make_flowset, quick_config
from reporting.made_runs import make_run
from test_cli import hmrm

from hmrm_lab.errors import InputError
from hmrm_lab.evaluation import loso
from hmrm_lab.evaluation.ledger import COLUMNS, LEDGER, count_evaluations, record_evaluation
from hmrm_lab.studies.experiment import run_experiment


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
