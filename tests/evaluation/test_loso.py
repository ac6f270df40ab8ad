"""Folds, and runs over all of them: each clip once, resumed to the same bytes, stamped."""

from pathlib import Path

import numpy as np
import pytest
from conftest import make_flowset, quick_config, tuned_config
from reporting.made_runs import make_run

from hmrm_lab.config import ExperimentConfig
from hmrm_lab.errors import IncompleteRunError, InputError
from hmrm_lab.evaluation import loso
from hmrm_lab.evaluation.protocols import inner_subject_folds, leave_one_subject_out
from hmrm_lab.evaluation.summary import collect_predictions, stamp, summarise_run
from hmrm_lab.records import ClipKey, FlowSet
from hmrm_lab.runtime.store import RunFolder
from hmrm_lab.studies.experiment import run_experiment

FILES = ("metrics.json", "predictions.csv", "history.csv")


def run(config: ExperimentConfig, flowset: FlowSet, out: Path, jobs: int = 1) -> RunFolder:
    return run_experiment(config, out=out, jobs=jobs, flowset=flowset, final_model=False)


def content(folder: RunFolder) -> list[bytes]:
    return [(folder.path / name).read_bytes() for name in FILES]


def test_every_clip_is_held_out_once_and_never_with_its_subject_in_training() -> None:
    flowset = make_flowset(subjects=5, per_subject=4)
    folds = leave_one_subject_out(flowset)
    assert sorted(np.concatenate([fold.test for fold in folds])) == list(range(20))
    persons = np.array(flowset.subjects)
    for fold in folds:
        assert set(persons[fold.test]) == {fold.name}
        assert fold.name not in persons[fold.train]
        assert len(fold.train) + len(fold.test) == 20
    keys = tuple(ClipKey(d, "s01", f"{i}") for d in ("smic", "casme2") for i in range(2))
    maps = np.zeros((4, 3, 28, 28), np.float32)
    same_id = FlowSet(maps, np.zeros(4, np.int64), keys, flowset.classes)
    assert [fold.name for fold in leave_one_subject_out(same_id)] == ["casme2/s01", "smic/s01"]


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


@pytest.mark.parametrize(
    ("config", "flowset", "problem"),
    [
        (tuned_config(), make_flowset(), "no frames to fine-tune a flow on"),
        (quick_config(), make_flowset(subjects=1), "at least two subjects"),
    ],
)
def test_nothing_is_written_for_data_that_cannot_be_used(
    config: ExperimentConfig, flowset: FlowSet, problem: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=problem):
        run(config, flowset, tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_a_run_that_was_cut_off_goes_on_to_the_same_bytes_and_then_computes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flowset, config = make_flowset(), quick_config("ststnet")
    whole = run(config, flowset, tmp_path)
    expected = content(whole)
    for survivors in (0, 3):
        for file in sorted(whole.folds.glob("*.json"))[survivors:]:
            file.unlink()
        (whole.folds / ".left.json.x.part").write_text("half a fi")
        for name in FILES:
            (whole.path / name).unlink()
        assert content(run(config, flowset, tmp_path)) == expected
    with pytest.raises(InputError, match="data have changed"):
        run(config, make_flowset(seed=1), tmp_path)
    monkeypatch.setattr(loso, "run_fold", lambda *_: pytest.fail("a fold was computed again"))
    assert content(run(config, flowset, tmp_path)) == expected


def test_incomplete_runs_peeking_and_controls_are_stamped(tmp_path: Path) -> None:
    stamped = quick_config(
        *("ststnet", "evaluation.epoch_rule=oracle_test"),
        "evaluation.control=shuffled_labels",
        "training.epochs=2",
    )
    metrics = run(stamped, make_flowset(subjects=2), tmp_path).metrics()
    assert metrics["peeking"] is True
    assert "PEEKS" in stamp(metrics) and "CONTROL: shuffled labels" in stamp(metrics)
    folder = make_run(tmp_path, make_flowset(), unfinished=1)
    metrics = summarise_run(folder)
    assert not metrics["complete"]
    assert "INCOMPLETE: 3 of 4" in stamp(metrics)
    for file in folder.folds.glob("*.json"):
        file.unlink()
    with pytest.raises(IncompleteRunError, match="no finished fold"):
        collect_predictions(folder)
