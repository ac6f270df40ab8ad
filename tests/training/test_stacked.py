"""Folds stacked in one model: what each has alone, up to rounding."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import make_flowset, quick_config

from hmrm_lab.errors import ConfigError, DivergedError
from hmrm_lab.evaluation import fold
from hmrm_lab.preparation import load_flowset
from hmrm_lab.runtime.store import RunFolder
from hmrm_lab.studies.experiment import run_experiment
from hmrm_lab.training.learner import Learner
from hmrm_lab.training.stacked import FoldToFit, Stack, check_stackable, fit_stack, try_stack
from hmrm_lab.training.trainer import fit

EVERYTHING = (
    *("model.dropout=0.3", "model.drop_path=0.3", "model.ffn_ratio=2", "augment.rotate_deg=5"),
    *("augment.flip=true", "loss.class_weight_power=0.7", "training.batch=8"),
    *("training.ema=0.9", "training.clip_norm=0.5"),
)  # that draws random numbers, or depends on the clips of a fold
AMMSM = ("ammsm_temporal", "model.magnifier=none")
TOY = make_flowset(subjects=4, per_subject=5)
CLIPS = (15, 14, 11)  # of three folds, whose last batches differ
FOLDS = [FoldToFit(TOY.take(np.arange(count)), 7 + count, 0) for count in CLIPS]


@pytest.mark.parametrize("system", [("hmrm",), ("hmrm", *EVERYTHING), AMMSM])
def test_a_step_has_the_losses_and_gradients_of_the_folds_alone(system: tuple[str, ...]) -> None:
    config = quick_config(*system)
    rows = [torch.arange(count) for count in CLIPS]
    stack = Stack(config, FOLDS, device="cpu")
    losses = stack.step(rows)
    gradients = [parameter.grad for parameter in stack.all.loss.parameters()]
    for number, (one, own) in enumerate(zip(FOLDS, rows, strict=True)):
        torch.manual_seed(one.seed)
        alone = Learner(config, one.train, device="cpu")
        torch.testing.assert_close(losses[number], alone.step(own), rtol=1e-5, atol=1e-6)
        for stacked, parameter in zip(gradients, alone.loss.parameters(), strict=True):
            close = {"rtol": 1e-4, "atol": 1e-6 + 1e-5 * float(parameter.grad.abs().max())}
            torch.testing.assert_close(stacked[number], parameter.grad, **close)


def test_folds_stay_apart_and_one_that_diverges_stops_no_other() -> None:
    config = quick_config("hmrm", *EVERYTHING, "training.epochs=3", "input.normalise=none")
    wild = replace(FOLDS[1].train, maps=FOLDS[1].train.maps * np.float32(1e30))
    told: list[tuple[int, int, float]] = []
    folds = [
        FOLDS[0],
        FOLDS[1]._replace(train=wild),
        FOLDS[0]._replace(tell=lambda *a: told.append(a)),
    ]
    first, error, again = fit_stack(config, folds)
    assert isinstance(error, DivergedError)
    assert str(error) == "the loss is nan in epoch 1; lower training.lr"
    alone = fit(config, FOLDS[0].train, seed=FOLDS[0].seed, run_seed=0)
    assert first.losses == again.losses == pytest.approx(alone.losses, rel=1e-5)
    assert first.partners == alone.partners
    assert told == [(epoch, 3, loss) for epoch, loss in enumerate(again.losses, start=1)]
    answers = [one.probabilities(TOY) for one in (first, again, alone)]
    np.testing.assert_array_equal(*answers[:2])
    np.testing.assert_allclose(*answers[1:], atol=1e-3)


@pytest.mark.parametrize("system", [("hmrm",), ("mlp",), AMMSM])
def test_a_whole_loso_scores_the_same_to_the_last_printed_digit(
    system: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On built-in faces. Folds that are there are kept, and a stack that fails is tried alone."""
    config = quick_config(*system, "training.epochs=6")
    flowset = load_flowset(config)

    def run(out: str, stack: int) -> RunFolder:
        where = {"out": tmp_path / out, "flowset": flowset, "final_model": False}
        return run_experiment(config, stack=stack, **where)

    alone, stacked = run("alone", 1), run("stacked", 3)
    scores = [
        {name: f"{one.metrics()['all'][name]:.3f}" for name in ("uf1", "uar")}
        for one in (alone, stacked)
    ]
    assert scores[0] == scores[1]
    assert sorted(record["stacked"] for record in stacked.records()) == [1, 3, 3, 3]
    assert not any("stacked" in record for record in alone.records())
    if system == ("mlp",):
        next(stacked.folds.iterdir()).unlink()
        monkeypatch.setattr(fold, "fit_stack", full)
        sizes = [record.get("stacked") for record in run("stacked", 3).records()]
        assert len(sizes) == 4
        assert sizes.count(None) == 1


def full(*_: object, **__: object) -> None:
    raise RuntimeError("CUDA out of memory")


def test_what_cannot_be_stacked_is_refused() -> None:
    for system, words in (
        (("ststnet",), "ststnet normalises over the clips of a batch"),
        (("svm",), "svm has no epochs to stack"),
        (("hmrm", "evaluation.epoch_rule=oracle_test"), r"needs evaluation\.epoch_rule=last"),
        (("hmrm", "training.cuda_graphs=true"), "exclude one another"),
        (("hmrm", "model.scan=mamba_ssm"), "kernels of mamba-ssm"),
        ((*AMMSM, "model.super_steps=3"), "does what torch.vmap cannot do"),
        (("slstt",), "slstt does what torch.vmap cannot do"),
    ):
        config = quick_config(*system)
        with pytest.raises(ConfigError, match=f"{words}.*; leave --stack out"):
            check_stackable(config)
            try_stack(config, TOY)
