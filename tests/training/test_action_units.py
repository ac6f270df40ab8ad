"""Action units learnt beside the class: what is known, what is learnt, what a run tells of it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import make_flowset, quick_config
from sklearn.metrics import f1_score
from torch.nn.functional import binary_cross_entropy_with_logits

from hmrm_lab import result
from hmrm_lab.errors import ConfigError, InputError
from hmrm_lab.evaluation.fold import control_labels
from hmrm_lab.evaluation.summary import summarise
from hmrm_lab.records import UNITS, ClipKey, FlowSet
from hmrm_lab.reporting.report import write_report
from hmrm_lab.reporting.tables import results_table
from hmrm_lab.studies.experiment import run_experiment
from hmrm_lab.training.action_units import unit_loss
from hmrm_lab.training.learner import Learner
from hmrm_lab.training.trainer import fit, load_model, save_model

LEARN = "loss.action_units=0.5"


def coded(flowset: FlowSet, unknown: slice = slice(0)) -> FlowSet:
    """The first class moves 4, the second 6 and 12, the third 12; one clip alone moves 45."""
    table = np.zeros((len(flowset), len(UNITS)), dtype=np.int8)
    for label, units in enumerate(((4,), (6, 12), (12,))):
        table[np.ix_(flowset.labels == label, [UNITS.index(unit) for unit in units])] = 1
    table[0, UNITS.index(45)] = 1
    table[unknown] = -1
    return replace(flowset, action_units=table)


CLIPS = coded(make_flowset())


def test_what_is_unknown_has_no_part_in_the_loss() -> None:
    logits, nan = torch.randn(2, 2, 3), torch.nan
    targets = torch.tensor([[1.0, nan, 0.25], [nan, nan, 0.0]])
    known = [(0, 0, 1.0), (0, 2, 0.25), (1, 2, 0.0)]
    losses = [
        binary_cross_entropy_with_logits(
            logits[row, :, unit], torch.full((2,), truth), reduction="none"
        )
        for row, unit, truth in known
    ]
    expected = (torch.stack(losses).mean(0) * torch.tensor([1.0, 0.3])).sum()
    torch.testing.assert_close(unit_loss(logits, targets, torch.tensor([1.0, 0.3])), expected)
    assert unit_loss(logits, torch.full((2, 3), nan), torch.ones(2)) == 0


def test_a_mixture_knows_what_its_clips_share() -> None:
    """MotionMix: 4, 6 or 12 where both have it or not; mixup: shares, which add up over classes."""
    clips = coded(make_flowset(), unknown=slice(12, 15))
    clips.action_units[6::3, UNITS.index(4)] = 0  # half of the first class
    for mix in ("motionmix=1", "mixup=1"):
        learner = Learner(quick_config("hmrm", LEARN, f"augment.{mix}"), clips, device="cpu")
        seen: list[torch.Tensor] = []
        learner.gradients = lambda *batch, seen=seen: (seen.append(batch), torch.zeros(()))[1]
        rows = torch.arange(24)
        learner.step(rows)
        _, labels, units = seen[0]
        if mix.startswith("motion"):
            partner = dict(learner.mix.provenance)
            theirs = learner.targets[[partner[row] for row in range(24)]]
            same = learner.targets == theirs
            assert units[same].equal(learner.targets[same]) and units[~same].isnan().all()
            assert 0 < units[::3, 0].isnan().sum() < 8
        else:
            known = ~units.isnan().any(1)
            assert 0 < known.sum() < 24
            torch.testing.assert_close(units[known, 2], labels[known, 1:].sum(1))


@pytest.mark.parametrize("system", ["hmrm", "mlp", "capsulenet", "ammsm_temporal"])
def test_any_network_learns_units_and_comes_back_with_them(system: str, tmp_path: Path) -> None:
    config = quick_config(system, LEARN, "training.epochs=12", "training.batch=8")
    fitted = fit(config, CLIPS, seed=0)
    assert fitted.action_units == (4, 6, 12), "of 45 there is nothing to learn from one subject"
    everything = fitted.probabilities(CLIPS)
    assert (everything[:, :3] == fitted.classify(CLIPS)).all()
    np.testing.assert_allclose(everything[:, :3].sum(1), 1, atol=1e-5)
    assert ((everything[:, 3:] > 0.5) == CLIPS.coding_of((4, 6, 12))).mean() > 0.8
    save_model(tmp_path / "m", fitted)
    assert (load_model(tmp_path / "m", config, 28).probabilities(CLIPS) == everything).all()
    with pytest.raises(InputError, match="other settings"):
        load_model(tmp_path / "m", quick_config(system), 28)


def test_a_run_scores_its_units_where_they_are_coded(tmp_path: Path) -> None:
    keys = tuple(
        ClipKey("smic", *key[1:]) if row < 6 else key for row, key in enumerate(CLIPS.keys)
    )
    clips = replace(coded(make_flowset(), unknown=slice(6)), keys=keys)
    config = quick_config("mlp", LEARN, "training.epochs=20", "evaluation.epoch_rule=oracle_test")
    run = run_experiment(config, out=tmp_path, flowset=clips)
    found = result(run.path)
    table = found.predictions
    assert list(table)[-6:] == ["AU4", "AU4_truth", "AU6", "AU6_truth", "AU12", "AU12_truth"]
    assert (table["AU4_truth"].isna() == (table["dataset"] == "smic")).all()
    known = table[table["dataset"] == "toy"]
    units, scores = found.units.set_index("Unit"), found.scores["action_units"]
    for name in ("AU4", "AU6", "AU12"):
        right = f1_score(known[f"{name}_truth"].astype(int), known[name] >= 0.5)
        assert units.loc[name, "F1"] == pytest.approx(right, abs=1e-6)
        assert units.loc[name, "F1 low"] <= right <= units.loc[name, "F1 high"]
    assert units["F1"].iloc[:3].mean() == pytest.approx(units.loc["mean", "F1"], abs=1e-6)
    assert (scores["AU12"]["clips"], scores["mean"]["clips"]) == (12, 18)
    assert scores["AU12"]["always"] == pytest.approx(2 * 12 / (12 + 18))
    assert "action_units" not in found.metrics["datasets"]["smic"]
    assert summarise(found.answers)["all"] == found.scores
    assert results_table([run])["AU F1"].notna().tolist() == [True, False, True]
    page = write_report([run], tmp_path / "report.html", clips).read_text("utf-8")
    assert "Learnt beside the class" in page and "AU12" in page


def test_a_control_permutes_units_with_their_labels() -> None:
    for control in ("shuffled_labels", "shuffled_within_subjects"):
        mixed = control_labels(quick_config("hmrm", f"evaluation.control={control}"), CLIPS, 0)
        assert (mixed.labels != CLIPS.labels).any()
        assert ((mixed.coding_of([4])[:, 0] == 1) == (mixed.labels == 0)).all()


def test_what_cannot_be_learnt_is_refused() -> None:
    config = quick_config("hmrm", LEARN)
    for clips, words in (
        (make_flowset(), "no action unit is coded for two subjects of 'toy'; leave"),
        (coded(make_flowset(), unknown=slice(12)).take(range(12)), "no training clip of this fold"),
    ):
        with pytest.raises(InputError, match=words):
            fit(config, clips, seed=0)
    with pytest.raises(ConfigError, match="no use for loss"):
        quick_config("svm", LEARN)
    assert quick_config("hmrm", "loss.action_units=0").digest() == quick_config().digest()
