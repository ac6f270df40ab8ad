from pathlib import Path

import pytest
from conftest import make_flowset, make_framed_flowset, quick_config, tuned_config

from hmrm_lab.config import ExperimentConfig
from hmrm_lab.errors import IncompleteRunError, InputError
from hmrm_lab.evaluation import loso
from hmrm_lab.evaluation.summary import collect_predictions, stamp, summarise_run
from hmrm_lab.records import FlowSet
from hmrm_lab.runtime.store import RunFolder
from hmrm_lab.studies.experiment import run_experiment, write_figures

FILES = ("metrics.json", "predictions.csv", "history.csv")


def run(config: ExperimentConfig, flowset: FlowSet, out: Path, jobs: int = 1) -> RunFolder:
    return run_experiment(config, out=out, jobs=jobs, flowset=flowset)


def content(folder: RunFolder) -> list[bytes]:
    return [(folder.path / name).read_bytes() for name in FILES]


def test_a_fine_tuned_flow_gives_the_same_bytes_with_any_processes_and_after_a_cut(
    tmp_path: Path,
) -> None:
    flowset, config = make_framed_flowset(), tuned_config("augment.motionmix=0.5")
    one = run(config, flowset, tmp_path / "one", jobs=1)
    expected = content(one)
    assert content(run(config, flowset, tmp_path / "two", jobs=2)) == expected
    for file in sorted(one.folds.glob("*.json"))[1:]:
        file.unlink()
    assert content(run(config, flowset, tmp_path / "one")) == expected
    assert one.metrics()["flow"] == "gru_attention, fine-tuned"
    frozen = run(tuned_config("flow.finetune=false"), flowset, tmp_path)
    assert one.data()["parameters"] > frozen.data()["parameters"]


def test_a_fine_tuned_flow_under_the_rule_that_peeks(tmp_path: Path) -> None:
    config = tuned_config("evaluation.epoch_rule=oracle_test", "training.epochs=3")
    metrics = run(config, make_framed_flowset(subjects=2), tmp_path).metrics()
    assert metrics["complete"]
    assert metrics["peeking"]


def test_nothing_is_written_where_there_are_no_frames_to_learn_from(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no frames to fine-tune a flow on"):
        run(tuned_config(), make_flowset(), tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_a_run_that_was_cut_off_goes_on_to_the_same_bytes_and_then_computes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flowset, config = make_flowset(), quick_config("ststnet")
    whole = run(config, flowset, tmp_path)
    expected = content(whole)
    for survivors in (0, 1, 3):
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


def test_an_incomplete_run_is_labelled(tmp_path: Path) -> None:
    folder = run(quick_config("ststnet"), make_flowset(), tmp_path)
    next(folder.folds.glob("*.json")).unlink()
    write_figures(folder)
    metrics = summarise_run(folder)
    assert not metrics["complete"]
    assert "INCOMPLETE: 3 of 4" in stamp(metrics)


def test_a_run_without_folds_has_no_figures(tmp_path: Path) -> None:
    folder = run(quick_config("ststnet"), make_flowset(), tmp_path)
    for file in folder.folds.glob("*.json"):
        file.unlink()
    with pytest.raises(IncompleteRunError, match="no finished fold"):
        collect_predictions(folder)


def test_nothing_is_written_for_data_that_cannot_be_split(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least two subjects"):
        run(quick_config(), make_flowset(subjects=1), tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_peeking_and_control_are_stamped(tmp_path: Path) -> None:
    config = quick_config(
        "ststnet", "evaluation.epoch_rule=oracle_test", "evaluation.control=shuffled_labels"
    )
    metrics = run(config, make_flowset(), tmp_path).metrics()
    assert metrics["peeking"] is True
    assert "PEEKS" in stamp(metrics)
    assert "CONTROL: shuffled labels" in stamp(metrics)


def test_every_clip_is_predicted_once_per_seed(tmp_path: Path) -> None:
    flowset = make_flowset()
    table = collect_predictions(
        run(quick_config("ststnet", "evaluation.seeds=[4, 7]"), flowset, tmp_path)
    ).table
    assert len(table) == 2 * len(flowset)
    assert not table.duplicated(["dataset", "subject", "clip", "seed"]).any()
    truth = dict(zip(flowset.keys, flowset.labels, strict=True))
    for row in table.itertuples():
        assert truth[(row.dataset, row.subject, row.clip)] == row.truth
        assert row.fold == f"{row.dataset}/{row.subject}"
        assert row.p_negative + row.p_positive + row.p_surprise == pytest.approx(1, abs=1e-4)
