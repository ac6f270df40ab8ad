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
from hmrm_lab.records import UNITS, ClipKey, FlowSet
from hmrm_lab.reporting.report import write_report
from hmrm_lab.studies.experiment import run_experiment
from hmrm_lab.training.action_units import unit_loss
from hmrm_lab.training.learner import Learner
from hmrm_lab.training.trainer import fit, load_model, save_model

LEARN, MOVED = "loss.action_units=0.5", ((4,), (6, 12), (12,))


def coded(unknown: range = range(0), **changes: object) -> FlowSet:
    """The first class moves 4, the second 6 and 12, the third 12; one clip alone moves 45."""
    flowset = replace(make_flowset(), **changes)
    table = np.array([[u in MOVED[label] for u in UNITS] for label in flowset.labels], np.int8)
    table[0, UNITS.index(45)] = 1
    table[unknown] = -1
    return replace(flowset, action_units=table)


CLIPS = coded()


def test_what_is_unknown_has_no_part_in_the_loss() -> None:
    logits, nan, weights = torch.randn(2, 2, 3), torch.nan, torch.tensor([1.0, 0.3])
    targets = torch.tensor([[1.0, nan, 0.25], [nan, nan, 0.0]])
    known = torch.stack([logits[0, :, 0], logits[0, :, 2], logits[1, :, 2]])
    truth = torch.tensor([1.0, 0.25, 0.0])[:, None].expand(3, 2)
    losses = binary_cross_entropy_with_logits(known, truth, reduction="none").mean(0)
    torch.testing.assert_close(unit_loss(logits, targets, weights), (losses * weights).sum())
    assert unit_loss(logits, torch.full((2, 3), nan), weights) == 0


@pytest.mark.parametrize("mix", ["motionmix", "mixup"])
def test_a_mixture_knows_what_its_clips_share(mix: str) -> None:
    """MotionMix: a unit that both move, or neither; mixup: the share of those that move it."""
    clips = coded(unknown=range(12, 15))
    clips.action_units[6::3, UNITS.index(4)] = 0
    learner = Learner(quick_config("mlp", LEARN, f"augment.{mix}=1"), clips, device="cpu")
    seen: list[torch.Tensor] = []
    learner.gradients = lambda *batch: (seen.extend(batch), torch.zeros(()))[1]
    learner.step(learner.draw(torch.arange(24)))
    _, labels, units = seen
    known = ~units.isnan()
    assert 0 < known.sum() < known.numel()
    if mix == "mixup":
        torch.testing.assert_close(units[known[:, 2], 2], labels[known[:, 2], 1:].sum(1))
    else:
        partner = dict(learner.mix.provenance)
        same = learner.targets == learner.targets[[partner[row] for row in range(24)]]
        assert same.equal(known) and units[same].equal(learner.targets[same])


@pytest.mark.parametrize("system", ["hmrm", "mlp", "capsulenet", "ammsm_temporal"])
def test_any_network_learns_units_and_comes_back_with_them(system: str, tmp_path: Path) -> None:
    config = quick_config(system, LEARN, "training.epochs=12", "training.batch=8")
    fitted = fit(config, CLIPS, seed=0)
    assert fitted.action_units == (4, 6, 12), "of 45 there is nothing to learn from one subject"
    found = fitted.probabilities(CLIPS)
    assert (found[:, :3] == fitted.classify(CLIPS)).all()
    np.testing.assert_allclose(found[:, :3].sum(1), 1, atol=1e-5)
    assert ((found[:, 3:] > 0.5) == CLIPS.coding_of((4, 6, 12))).mean() > 0.8
    save_model(tmp_path / "m", fitted)
    assert (load_model(tmp_path / "m", config, 28).probabilities(CLIPS) == found).all()


def test_a_run_scores_its_units_where_they_are_coded(tmp_path: Path) -> None:
    keys = [ClipKey("smic", *key[1:]) for key in CLIPS.keys[:6]]
    clips = coded(unknown=range(6), keys=(*keys, *CLIPS.keys[6:]))
    config = quick_config("mlp", LEARN, "training.epochs=9", "evaluation.epoch_rule=oracle_test")
    run = run_experiment(config, out=tmp_path, flowset=clips)
    found = result(run.path)
    table, units, scores = found.predictions, found.units.set_index("Unit"), found.scores
    assert (table["AU4_truth"].isna() == (table["dataset"] == "smic")).all()
    known = table[table["dataset"] == "toy"]
    for name in ("AU4", "AU6", "AU12"):
        right = f1_score(known[f"{name}_truth"].astype(int), known[name] >= 0.5)
        assert units.loc[name, "F1"] == pytest.approx(right, abs=1e-6)
        assert units.loc[name, "F1 low"] <= right <= units.loc[name, "F1 high"]
    assert units["F1"].iloc[:3].mean() == pytest.approx(units.loc["mean", "F1"], abs=1e-6)
    assert units["Clips"].to_dict() == {"AU4": 6, "AU6": 6, "AU12": 12, "mean": 18}
    assert scores["action_units"]["AU12"]["always"] == pytest.approx(2 * 12 / (12 + 18))
    assert "action_units" not in found.metrics["datasets"]["smic"]
    assert found.table["AU F1"].notna().tolist() == [True, False, True]
    page = write_report([run], tmp_path / "report.html", clips).read_text("utf-8")
    assert "Learnt beside the class" in page and "AU12" in page


def test_what_cannot_be_learnt_is_refused() -> None:
    with pytest.raises(InputError, match="is coded for two subjects of 'toy'; leave"):
        fit(quick_config("hmrm", LEARN), make_flowset(), seed=0)
    with pytest.raises(InputError, match="no training clip of this fold has coded"):
        fit(quick_config("hmrm", LEARN), coded(unknown=range(12)).take(range(12)), seed=0)
    with pytest.raises(ConfigError, match="no use for loss"):
        quick_config("svm", LEARN)
    assert quick_config("hmrm", "loss.action_units=0").digest() == quick_config().digest()
