"""AMMSM's magnifier and its scan."""

import math
from random import Random

import numpy as np
import pytest
import torch
from conftest import quick_config
from torch import Tensor

from hmrm_lab.config import FlowConfig
from hmrm_lab.datasets.classes import MEGC3
from hmrm_lab.datasets.synthetic import synthetic
from hmrm_lab.errors import ConfigError
from hmrm_lab.evaluation.magnification import growth_of, moving_region
from hmrm_lab.flow.motion_maps import normalise_maps
from hmrm_lab.models.ammsm.ammsm import magnified
from hmrm_lab.models.ammsm.magnifier import Magnified, Magnifier, UNet, magnification_loss
from hmrm_lab.models.ammsm.ssd import CHUNK, SSD, ssd, ssd_chunked, ssd_reference
from hmrm_lab.models.scan import selective_scan
from hmrm_lab.preparation.clip_arrays import MAP_SIDE_PX, clip_motion
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


CHUNKS = (1, 4, 7, CHUNK)


def draw(sequences: int, length: int, heads: int, channels: int, state: int) -> list[Tensor]:
    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64)

    return [
        normal(sequences, length, heads, channels),
        torch.nn.functional.softplus(normal(sequences, length, heads)),
        -torch.rand(heads, dtype=torch.float64) - 0.1,
        normal(sequences, length, state),
        normal(sequences, length, state),
        normal(heads),
    ]


def naive(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, skip: Tensor) -> Tensor:
    """One number at a time, for a single sequence."""
    y = skip[None, :, None] * x
    for head in range(x.shape[1]):
        for p in range(x.shape[2]):
            for n in range(B.shape[1]):
                h = 0.0
                for t in range(len(x)):
                    decay = math.exp(dt[t, head] * A[head])
                    h = decay * h + float(dt[t, head] * B[t, n] * x[t, head, p])
                    y[t, head, p] += C[t, n] * h
    return y


@pytest.mark.parametrize("length", [1, 2, 7])
def test_the_recurrence_is_the_naive_loop(length: int) -> None:
    torch.manual_seed(length)
    x, dt, A, B, C, skip = draw(1, length, 2, 3, 2)
    ours = ssd_reference(x, dt, A, B, C, skip)[0]
    torch.testing.assert_close(ours, naive(x[0], dt[0], A, B[0], C[0], skip))


def test_it_is_the_selective_scan_with_one_decay_for_all_channels_and_states() -> None:
    torch.manual_seed(0)
    x, dt, A, B, C, skip = draw(3, 9, 2, 4, 5)
    wide = dt.repeat_interleave(4, dim=2), A.repeat_interleave(4)[:, None].expand(8, 5)
    theirs = selective_scan(x.flatten(2), *wide, B, C, skip.repeat_interleave(4))
    torch.testing.assert_close(ssd_chunked(x, dt, A, B, C, skip, 4).flatten(2), theirs)


def test_a_hundred_random_shapes_agree_with_float64() -> None:
    for number in range(100):
        random = Random(number)
        length = 1 if number % 10 == 0 else random.choice([2, 3, 7, 16, 25, 33, 49, 98])
        torch.manual_seed(number)
        arguments = draw(
            random.randint(1, 3), length, random.choice([1, 2, 5]), random.choice([1, 3, 16]), 4
        )
        check_agreement(arguments, chunk=random.choice(CHUNKS))


def check_agreement(arguments: list[Tensor], chunk: int) -> None:
    """Values and gradients in float32, which must be those of the reference in float64."""
    single = [a.float().requires_grad_() for a in arguments]
    exact = [a.detach().double().requires_grad_() for a in single]
    y, truth = ssd(*single, backend="chunked", chunk=chunk), ssd(*exact, backend="reference")
    assert (y - truth).abs().max() <= 1e-6 * truth.abs().max()
    weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(0))
    gradients = torch.autograd.grad((y * weights).sum(), single, materialize_grads=True)
    true = torch.autograd.grad((truth * weights).sum(), exact, materialize_grads=True)
    for ours, theirs in zip(gradients, true, strict=True):
        assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max() + 1e-12


def test_long_steps_forget_and_never_overflow() -> None:
    """What came before is forgotten at once: y_t = C_t B_t dt_t x_t, four states of one each."""
    ones = torch.ones(1, 9, 2, 3), torch.full((1, 9, 2), 50.0)
    B = torch.ones(1, 9, 4)
    arguments = [*ones, torch.full((2,), -30.0), B, B, torch.zeros(2)]
    for leaf in arguments:
        leaf.requires_grad_()
    y = ssd(*arguments, chunk=4)
    torch.testing.assert_close(y, torch.full_like(y, 200.0))
    assert all(g.isfinite().all() for g in torch.autograd.grad(y.sum(), arguments))


def test_the_layer_backwards_is_the_layer_over_turned_tokens() -> None:
    settings = {"expand": 2, "head": 4, "state": 3, "backend": "auto"}
    forwards, backwards = (SSD(6, reverse=turned, **settings) for turned in (False, True))
    backwards.load_state_dict(forwards.state_dict())
    tokens = torch.randn(2, 7, 6)
    torch.testing.assert_close(backwards(tokens), forwards(tokens.flip(1)).flip(1))


def test_what_cannot_be_computed_is_refused() -> None:
    arguments = [a.float() for a in draw(1, 3, 2, 4, 2)]
    with pytest.raises(ConfigError, match=r"float32 on CUDA devices.*ssd=auto"):
        ssd(*arguments, backend="mamba_ssm")
    with pytest.raises(ConfigError, match="heads of 5 channels do not divide the 12"):
        SSD(6, expand=2, head=5, state=3, reverse=False, backend="auto")
