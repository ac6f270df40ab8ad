"""A flow that is trained together with its classifier."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import make_framed_flowset, tuned_config

from hmrm_lab.config import ExperimentConfig
from hmrm_lab.errors import InputError
from hmrm_lab.flow.gru_attention import save_weights
from hmrm_lab.flow.gru_attention.gru_flow import GRUFlow
from hmrm_lab.flow.motion_maps import learnt_network
from hmrm_lab.records import FlowSet
from hmrm_lab.training.finetune import FineTuned, map_source, parameter_groups
from hmrm_lab.training.learner import build_learner
from hmrm_lab.training.trainer import Fitted, fit


@pytest.fixture(scope="module")
def framed() -> FlowSet:
    return make_framed_flowset()


def flow_weights(network: torch.nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in network.parameters()])


def shipped(config: ExperimentConfig) -> torch.Tensor:
    return flow_weights(learnt_network(config.flow))


def all_weights(fitted: Fitted) -> torch.Tensor:
    return torch.cat([v.flatten() for v in fitted.model.state_dict().values()])


@pytest.mark.parametrize("normalise", ["none", "median_rms"])
def test_the_gradient_reaches_every_parameter_of_the_flow(
    normalise: str, framed: FlowSet, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    save_weights(
        tmp_path / "new.safetensors", GRUFlow(), subjects=[]
    )  # has no unit that never answers
    config = tuned_config(
        f"input.normalise={normalise}", f"flow.weights={tmp_path}/new.safetensors"
    )
    model = build_learner(config, 28, 3)
    source = map_source(config, model, framed, "cpu")
    optimizer = torch.optim.SGD(model.motion.parameters(), lr=1e-2)
    for _ in range(2):  # what ends in weights of zero learns from the second step on
        optimizer.zero_grad()
        logits = model(source[torch.arange(6)])
        (logits * torch.randn_like(logits)).sum().backward()
        optimizer.step()
    gradients = {name: p.grad for name, p in model.named_parameters()}
    assert [name for name, g in gradients.items() if g is None or not g.abs().any()] == []
    assert all(g.isfinite().all() for g in gradients.values())
    assert any(name.startswith("motion.network.feature_encoder") for name in gradients)


def test_fine_tuning_moves_the_flow_and_leaves_the_pre_trained_one(framed: FlowSet) -> None:
    config = tuned_config("training.epochs=3")
    before = shipped(config)
    fitted = fit(config, framed, seed=0)
    assert isinstance(fitted.model, FineTuned)
    tuned = flow_weights(fitted.model.motion.network)
    assert (tuned != before).any()
    farthest = 3 * config.training.lr * config.flow.finetune_lr_scale  # Adam: one step, one rate
    assert 0 < (tuned - before).abs().max() < 2 * farthest
    assert torch.equal(shipped(config), before)


def test_a_frozen_flow_is_no_part_of_what_is_trained(framed: FlowSet) -> None:
    frozen = tuned_config("flow.finetune=false")
    before = shipped(frozen)
    fitted = fit(frozen, framed, seed=0)
    assert not isinstance(fitted.model, FineTuned)
    assert not [name for name, _ in fitted.model.named_parameters() if "motion" in name]
    assert torch.equal(shipped(frozen), before)
    assert torch.equal(
        all_weights(fitted), all_weights(fit(frozen, replace(framed, frames=None), seed=0))
    )


def test_stored_maps_are_not_looked_at(framed: FlowSet) -> None:
    config = tuned_config()
    other = replace(framed, maps=np.zeros_like(framed.maps))
    first, second = (fit(config, flowset, seed=1) for flowset in (framed, other))
    assert torch.equal(all_weights(first), all_weights(second))
    assert (first.classify(framed) == second.classify(other)).all()


def test_learning_lowers_the_loss(framed: FlowSet) -> None:
    config = tuned_config("training.epochs=20", "training.lr=3e-3", "augment.motionmix=0")
    fitted = fit(config, framed, seed=0)
    assert fitted.losses[-1] < 0.5 * fitted.losses[0]
    assert (fitted.classify(framed).argmax(1) == framed.labels).mean() > 0.9


def test_the_average_of_weights_has_a_flow_of_its_own(framed: FlowSet) -> None:
    plain, averaged = (
        flow_weights(fit(tuned_config(f"training.ema={ema}"), framed, seed=0).model.motion)
        for ema in (0.0, 0.99)
    )
    start = shipped(tuned_config())
    assert 0 < (averaged - start).norm() < (plain - start).norm()


def test_the_flow_takes_smaller_steps_and_no_decay() -> None:
    config = tuned_config("flow.finetune_lr_scale=0.03", "training.lr=0.01")
    model, loss = build_learner(config, 28, 3), torch.nn.Linear(1, 1)
    system, flow = parameter_groups(config, model, loss)
    assert flow["lr"] == pytest.approx(3e-4)
    assert flow["weight_decay"] == 0
    count = sum(p.numel() for group in (system, flow) for p in group["params"])
    assert count == sum(p.numel() for p in [*model.parameters(), *loss.parameters()])


def test_maps_alone_are_refused(framed: FlowSet) -> None:
    with pytest.raises(InputError, match="has no frames to fine-tune a flow on"):
        fit(tuned_config(), replace(framed, frames=None), seed=0)
