"""Folds stacked in one model: what each has alone, up to rounding."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import make_flowset, quick_config
from torch.utils._python_dispatch import TorchDispatchMode

from hmrm_lab.config import ExperimentConfig, load_config
from hmrm_lab.errors import ConfigError, DivergedError
from hmrm_lab.evaluation import fold
from hmrm_lab.models import scan
from hmrm_lab.models.hmrm import grained_mamba
from hmrm_lab.preparation import load_flowset
from hmrm_lab.runtime.store import RunFolder
from hmrm_lab.studies.experiment import run_experiment
from hmrm_lab.training.checkpoint import Checkpoint
from hmrm_lab.training.learner import Learner
from hmrm_lab.training.stacked import FoldToFit, Stack, fit_stack, stack_size
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
    losses = stack.steps(stack.draws(rows))
    gradients = [parameter.grad for parameter in stack.loss.parameters()]
    for number, (one, own) in enumerate(zip(FOLDS, rows, strict=True)):
        torch.manual_seed(one.seed)
        alone = Learner(config, one.train, device="cpu")
        torch.testing.assert_close(
            losses[number], alone.step(alone.draw(own)), rtol=1e-5, atol=1e-6
        )
        for stacked, parameter in zip(gradients, alone.loss.parameters(), strict=True):
            close = {"rtol": 1e-4, "atol": 1e-6 + 1e-5 * float(parameter.grad.abs().max())}
            torch.testing.assert_close(stacked[number], parameter.grad, **close)


class Cost(TorchDispatchMode):
    """Count operators and the bytes that they make: all, or without views those of a card."""

    def __init__(self, *, card: bool = False) -> None:
        super().__init__()
        self.card, self.operators, self.made = card, 0, 0

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None) -> object:
        result = operator(*args, **(kwargs or {}))
        tensors = result if isinstance(result, (tuple, list)) else [result]
        made = [one for one in tensors if isinstance(one, torch.Tensor)]
        if not self.card or (any(one.is_meta for one in made) and not operator.is_view):
            self.made += sum(one.nbytes for one in made)
            self.operators += 1
        return result


def test_a_fold_more_is_more_data_and_few_more_operators() -> None:
    """Of the 1,650 of a step it has only what it draws: an order, MotionMix, moves, dropout."""
    costs = []
    for count in (2, 6):
        stack = Stack(load_config("default", system="hmrm"), FOLDS[:1] * count, device="cpu")
        with Cost() as cost:
            stack.steps(stack.draws([torch.arange(15)] * count))
        costs.append(cost)
    two, six = costs
    assert 0 < six.operators - two.operators <= 4 * 100
    assert two.operators <= 1900
    assert six.made / two.made == pytest.approx(3, rel=0.02)


@pytest.mark.parametrize(("tokens", "most_bytes"), [("windows", 16e6), ("pixels", 600e6)])
def test_a_fold_more_is_more_data_and_few_more_launches(
    tokens: str, most_bytes: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the paper's size, by shapes alone: a step with the operators of a card, on no card."""
    for module in (scan, grained_mamba):
        monkeypatch.setattr(module, "choose_backend", lambda *_: "cuda")
    monkeypatch.setattr(Stack, "advance", lambda _: None)
    changes = (f"model.tokens={tokens}", "model.dropout=0.3", "model.drop_path=0.1")
    config, costs = load_config("paper-literal", system="hmrm", overrides=changes), []
    for count in (2, 6):
        stack = Stack(config, FOLDS[:1] * count, device="meta")
        with Cost(card=True) as cost:
            stack.steps(stack.draws([torch.arange(15)] * count))
        costs.append(cost)
    two, six = costs
    assert two.operators <= 1100
    assert 0 < six.operators - two.operators <= 4 * 15
    assert six.made / two.made == pytest.approx(3, rel=0.02)
    assert six.made <= 6 * 15 * most_bytes


def test_drawn_ahead_or_between_steps_the_numbers_of_a_fold_are_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without dropout, which on the CPU draws from the same numbers, and on a card from others."""
    config = quick_config("hmrm", *EVERYTHING, "model.dropout=0", "model.drop_path=0")
    between = fit_stack(config, FOLDS)
    monkeypatch.setattr(Stack, "ahead", lambda _, drawn: list(drawn))
    for one, other in zip(between, fit_stack(config, FOLDS), strict=True):
        assert one.losses == other.losses
        assert one.partners == other.partners
    assert Learner(quick_config("hmrm"), TOY, device="meta").ahead(iter("ab")) == ["a", "b"]


def test_folds_stay_apart_go_on_where_they_were_and_one_that_diverges_stops_no_other(
    tmp_path: Path,
) -> None:
    config = quick_config("hmrm", *EVERYTHING, "training.epochs=3", "input.normalise=none")
    wild = replace(FOLDS[1].train, maps=FOLDS[1].train.maps * np.float32(1e30))
    folds = [FOLDS[0], FOLDS[1]._replace(train=wild), FOLDS[0]]
    told: list[int] = []

    def stop(done: int, epochs: int, losses: list[float]) -> None:
        told.append(done)
        if told == [1, 2]:
            raise KeyboardInterrupt

    checkpoint = Checkpoint(tmp_path / "stack.safetensors", every_s=0, tell=stop)
    with pytest.raises(KeyboardInterrupt):
        fit_stack(config, folds, checkpoint=checkpoint)
    first, error, again = fit_stack(config, folds, checkpoint=checkpoint)
    assert told == [1, 2, 3]
    assert isinstance(error, DivergedError)
    assert str(error) == "the loss is nan in epoch 1; lower training.lr"
    alone = fit(config, FOLDS[0].train, seed=FOLDS[0].seed, run_seed=0)
    assert first.losses == again.losses == pytest.approx(alone.losses, rel=1e-5)
    assert first.partners == alone.partners
    answers = [one.probabilities(TOY) for one in (first, again, alone)]
    np.testing.assert_array_equal(*answers[:2])
    np.testing.assert_allclose(*answers[1:], atol=1e-3)


@pytest.mark.parametrize("system", [("hmrm",), ("mlp",), AMMSM])
def test_a_whole_loso_scores_the_same_to_the_last_printed_digit(
    system: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On built-in faces. Folds that are there are kept; a stack is halved until it fits."""
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
        for number in range(1, 4):
            stacked.fold_file(f"synthetic/s0{number}", 0).unlink()
        monkeypatch.setattr(fold, "fit_stack", one_that_fits)
        assert [record["stacked"] for record in run("stacked", 3).records()] == [1] * 4


def one_that_fits(config: ExperimentConfig, folds: list[FoldToFit], **how: object) -> object:
    if len(folds) > 1:
        raise RuntimeError("CUDA out of memory")
    return fit_stack(config, folds, **how)


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
            stack_size(2, config, TOY, ["cpu"])
        assert stack_size(None, config, TOY, ["cuda:0"]) == 1
    sizes = [stack_size(None, quick_config("hmrm"), TOY, [device]) for device in ("cpu", "cuda:0")]
    assert sizes == [1, len(TOY)], "on a card as many as there are"
