"""A flow that is trained together with its classifier."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import make_framed_flowset, tuned_config
from torch import nn

from hmrm_lab.flow.gru_attention import save_weights
from hmrm_lab.flow.gru_attention.gru_flow import GRUFlow
from hmrm_lab.flow.motion_maps import learnt_network
from hmrm_lab.training.learner import build_learner, parameter_groups
from hmrm_lab.training.system_inputs import FineTuned, map_source
from hmrm_lab.training.trainer import Fitted, fit

FRAMED = make_framed_flowset()


def flow_weights(network: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in network.parameters()])


def shipped() -> torch.Tensor:
    return flow_weights(learnt_network(tuned_config().flow))


def all_weights(fitted: Fitted) -> torch.Tensor:
    return torch.cat([v.flatten() for v in fitted.model.state_dict().values()])


@pytest.mark.parametrize("normalise", ["none", "median_rms"])
def test_the_gradient_reaches_every_parameter_of_the_flow(normalise: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    weights = tmp_path / "new.safetensors"
    save_weights(weights, GRUFlow(), subjects=[])  # has no unit that never answers
    config = tuned_config(f"input.normalise={normalise}", f"flow.weights={weights}")
    model = build_learner(config, 28, 3)
    source = map_source(config, model, FRAMED, "cpu")
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


def test_the_flow_moves_a_little_and_the_pre_trained_one_and_a_frozen_one_do_not() -> None:
    config, before = tuned_config("training.epochs=3"), shipped()
    fitted = fit(config, FRAMED, seed=0)
    assert isinstance(fitted.model, FineTuned)
    farthest = 3 * config.training.lr * config.flow.finetune_lr_scale  # Adam: one step, one rate
    assert 0 < (flow_weights(fitted.model.motion) - before).abs().max() < 2 * farthest
    frozen = tuned_config("flow.finetune=false")
    with_frames, without = (
        fit(frozen, clips, seed=0) for clips in (FRAMED, replace(FRAMED, frames=None))
    )
    assert not [name for name, _ in with_frames.model.named_parameters() if "motion" in name]
    assert torch.equal(all_weights(with_frames), all_weights(without))
    assert torch.equal(shipped(), before)


def test_stored_maps_are_not_looked_at() -> None:
    other = replace(FRAMED, maps=np.zeros_like(FRAMED.maps))
    first, second = (fit(tuned_config(), flowset, seed=1) for flowset in (FRAMED, other))
    assert torch.equal(all_weights(first), all_weights(second))
    assert (first.classify(FRAMED) == second.classify(other)).all()


def test_the_flow_takes_smaller_steps_and_no_decay() -> None:
    config = tuned_config("flow.finetune_lr_scale=0.03", "training.lr=0.01")
    model, loss = build_learner(config, 28, 3), nn.Linear(1, 1)
    system, flow = parameter_groups(config, model, loss)
    assert flow["lr"] == pytest.approx(3e-4)
    assert flow["weight_decay"] == 0
    count = sum(p.numel() for group in (system, flow) for p in group["params"])
    assert count == sum(p.numel() for p in [*model.parameters(), *loss.parameters()])
