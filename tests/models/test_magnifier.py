"""Motion is enlarged where there is motion: in closed form, and on faces whose motion is known."""

import numpy as np
import pytest
import torch
from conftest import quick_config

from hmrm_lab.config import FlowConfig
from hmrm_lab.datasets.classes import MEGC3
from hmrm_lab.datasets.synthetic import synthetic
from hmrm_lab.evaluation.magnification import growth_of, moving_region
from hmrm_lab.flow.normalise import normalise_maps
from hmrm_lab.models.ammsm.inspection import magnified
from hmrm_lab.models.ammsm.magnifier import Magnified, Magnifier, UNet, magnification_loss
from hmrm_lab.preparation.motion import MAP_SIDE_PX, clip_motion
from hmrm_lab.records import PX, FlowSet
from hmrm_lab.training.trainer import fit


def with_gate(flow: torch.Tensor, gate: torch.Tensor, alpha: float) -> Magnified:
    return Magnified(alpha * gate * flow, gate)


@pytest.mark.parametrize("alpha", [1.0, 4.0])
def test_a_gate_opens_where_motion_is_above_its_price_and_nowhere_else(alpha: float) -> None:
    flow = torch.tensor([[0.7, 0.9], [1.1, 3.0]]).expand(1, 2, 2, 2) * torch.tensor([1.0, -1.0])
    gate = torch.full((1, 1, 2, 2), 0.5, requires_grad=True)
    loss = magnification_loss(flow, with_gate(flow, gate, alpha), alpha, price=1.0)
    (downhill,) = torch.autograd.grad(-loss, gate)
    assert downhill[0, 0].gt(0).tolist() == [[False, False], [True, True]]
    torch.testing.assert_close(downhill, alpha / 4 * (flow.abs().mean(1, keepdim=True) - 1))


def test_without_a_price_it_is_the_published_loss_and_all_gates_open() -> None:
    flow, gate = torch.randn(2, 2, 4, 4), torch.rand(2, 1, 4, 4)
    seen = with_gate(flow, gate, 3.0)
    loss = magnification_loss(flow, seen, 3.0, price=0.0)
    torch.testing.assert_close(loss, (3.0 * flow - seen.flow).abs().mean())
    everything = with_gate(flow, torch.ones_like(gate), 3.0)
    assert magnification_loss(flow, everything, 3.0, price=0.0) == 0


def test_motion_keeps_its_direction_and_grows_at_most_by_alpha() -> None:
    torch.manual_seed(0)
    flow = torch.randn(3, 2, 28, 28)
    seen = Magnifier(width=4)(flow, 5.0)
    grown = seen.flow / flow
    torch.testing.assert_close(grown[:, 0], grown[:, 1], rtol=1e-4, atol=1e-4)
    assert grown.min() > 0
    assert grown.max() < 5
    assert not Magnifier(width=4)(torch.zeros(1, 2, 28, 28), 5.0).flow.any()


@pytest.mark.parametrize("side", [4, 28, 56])
def test_the_u_net_keeps_the_size_and_sees_all_around(side: int) -> None:
    torch.manual_seed(0)
    net = UNet(3, 1, width=4).eval()
    maps = torch.randn(1, 3, side, side, requires_grad=True)
    answer = net(maps)
    assert answer.shape == (1, 1, side, side)
    (seen,) = torch.autograd.grad(answer[0, 0, side // 2, side // 2], maps)
    reach = seen.abs().sum((0, 1)) > 0
    assert reach.sum() > min(side, 12) ** 2 / 2


def test_after_a_training_moving_regions_are_magnified_more_on_faces_not_seen() -> None:
    """By the exact flow: a region moves if it has over half of the face's largest motion."""
    clips = synthetic(subjects=6, clips=36, seed=3)
    found = np.stack([clip_motion(clip, FlowConfig(name="dis"))[0] for clip in clips])
    flowset = FlowSet(
        found,
        np.array([clip.label for clip in clips]),
        tuple(clip.key for clip in clips),
        MEGC3.classes,
    )
    seen_before = np.array([clip.key.subject in ("s01", "s02", "s03", "s04") for clip in clips])
    plan = ("training.epochs=20", "training.batch=12", "training.lr=1e-2")
    config = quick_config("ammsm_temporal", "model.magnifier_width=8", *plan)
    model = fit(config, flowset.take(np.flatnonzero(seen_before)), seed=0).model
    held_out = np.flatnonzero(~seen_before)
    flow = torch.from_numpy(normalise_maps(found[held_out], "median_rms", PX)[:, :2])
    moving = np.stack([moving_region(clips[row], MAP_SIDE_PX) for row in held_out])
    assert 0.02 < moving.mean() < 0.3
    growth = growth_of(flow.numpy(), magnified(model, flow, 4.0).flow.numpy(), moving)
    assert growth.ratio >= 1.5, growth
