"""AMMSM: what is kept and magnified, passes by and is drawn; its scan; where the streams meet."""

import math
from random import Random

import pytest
import torch
from models.scan_cases import check_agreement, normal, positive
from torch import Tensor

from hmrm_lab.errors import ConfigError
from hmrm_lab.models.ammsm.ammsm import AMMSM, magnified, surviving_tokens
from hmrm_lab.models.ammsm.magnifier import Magnified, Magnifier, magnification_loss
from hmrm_lab.models.ammsm.sparse_activation import (
    count_kept,
    halve_motion,
    motion_of_tokens,
    select_moving,
)
from hmrm_lab.models.ammsm.ssd import CHUNK, SSD, SSSDBlock, ssd, ssd_chunked
from hmrm_lab.models.ammsm.temporal_stream import SIDES
from hmrm_lab.models.scan import selective_scan

SMALL = {"width": 16, "magnifier_width": 4, "spatial_width": 0.1}
SCAN = {"expand": 2, "head": 4, "state": 3, "backend": "auto"}


def model(size: int = 28, **options: object) -> AMMSM:
    torch.manual_seed(0)
    return AMMSM(3, size, 3, **{**SMALL, **options}).eval()


def maps(size: int = 28, clips: int = 3) -> Tensor:
    torch.manual_seed(1)
    return torch.randn(clips, 3, size, size)


@pytest.mark.parametrize("ratio", [1e-9, 0.05, 0.3, 0.5, 1.0])
def test_the_tokens_with_most_motion_are_kept_in_the_order_of_the_face(ratio: float) -> None:
    torch.manual_seed(0)
    motion = torch.rand(5, 49)
    selection = select_moving(motion, ratio)
    count = max(1, math.ceil(49 * ratio))
    strongest = motion.argsort(dim=1, descending=True)[:, :count]
    assert torch.equal(selection.kept, strongest.sort(dim=1).values)
    assert selection.mask().sum(1).tolist() == [count] * 5
    assert [count_kept(100, hundredth / 100) for hundredth in range(1, 101)] == [*range(1, 101)]


def test_tokens_that_are_not_kept_have_the_convolution_alone() -> None:
    torch.manual_seed(0)
    layer = SSSDBlock(8, 4, **SCAN, ffn_ratio=2.0, dropout=0.0, reverse=False)
    tokens, selection = torch.randn(2, 16, 8), select_moving(torch.rand(2, 16), 0.5)
    mixed, passed = tokens + layer.local(tokens), ~selection.mask()
    answer = layer(tokens, selection)
    assert torch.equal(answer[passed], mixed[passed])
    assert (answer != mixed)[selection.mask()].all()
    kept = selection.gather(mixed)
    assert torch.equal(selection.scatter(mixed, kept), mixed)
    mixed[passed] += 1  # what is not kept is not read by what is
    assert torch.equal(selection.gather(mixed), kept)


def test_motion_of_tokens_is_that_of_their_patch() -> None:
    flow = torch.zeros(1, 2, 56, 56)
    flow[0, :, 20:24, 40:44] = torch.tensor([3.0, 4.0])[:, None, None]  # one patch of 14 x 14
    motion = motion_of_tokens(flow, 14)
    assert motion[0, 0, 5, 10] == motion.sum() == 5
    torch.testing.assert_close(halve_motion(torch.ones(1, 1, 7, 7)), torch.ones(1, 1, 4, 4))


@pytest.mark.parametrize("size", [28, 56])
def test_surviving_tokens_lie_where_the_magnified_motion_is(size: int) -> None:
    net = model(size, ratios=(0.25, 0.5, 0.75, 1.0))
    survivors = surviving_tokens(net, maps(size))
    assert [mask.shape[1:] for mask in survivors] == [(side, side) for side in SIDES]
    assert [int(mask[0].sum()) for mask in survivors] == [49, 25, 12, 4]
    motion = motion_of_tokens(magnified(net, maps(size), 4.0).flow, 14)[:, 0]
    for clip, kept in zip(motion, survivors[0], strict=True):
        assert clip[kept].min() >= clip[~kept].max() > 0


def test_the_choice_decides_what_is_read_and_an_impossible_one_is_refused() -> None:
    net, clips = model(), maps()
    before = net(clips)
    net.choose(8.0, (1.0, 1.0, 1.0, 1.0))
    assert all(mask.all() for mask in surviving_tokens(net, clips))
    assert (net(clips) - before).abs().max() > 1e-4
    net.choose(4.0, (0.5, 0.5, 0.5, 0.5))
    assert torch.equal(net(clips), before)
    whole = (1, 1, 1, 1)
    for alpha, ratios in ((0.5, whole), (math.nan, whole), (4, (1, 1, 1)), (4, (0, 1, 1, 1))):
        with pytest.raises(
            ConfigError, match="give an alpha from 1 to 64 and 4 ratios above 0, at most 1"
        ):
            net.choose(alpha, ratios)


def test_a_super_network_draws_for_its_steps_and_then_is_itself() -> None:
    net, clips = model(super_steps=3, dropout=0.0), maps()
    own = net(clips)
    assert torch.equal(net(clips), own)
    net.training = True  # and its parts are not: what is drawn shall be all that differs
    drawn = [net.forward_tasks(clips)[0].detach() for _ in range(3)]
    assert all((answer - own).abs().max() > 1e-5 for answer in drawn)
    assert (drawn[0] - drawn[1]).abs().max() > 1e-5
    torch.testing.assert_close(net.forward_tasks(clips)[0], own)
    assert net.state_dict()["steps"] == 4, "a training that goes on counts on"


def test_without_a_magnifier_the_flow_itself_is_read() -> None:
    assert model().forward_tasks(maps())[1] > 0
    net = model(magnifier="none")
    before, extra_loss = net.forward_tasks(maps())
    assert extra_loss == 0
    assert torch.equal(magnified(net, maps(), 8.0).flow, maps()[:, :2])
    net.choose(8.0, net.choice.ratios)
    assert torch.equal(net(maps()), before)


def test_the_onset_is_read_by_the_spatial_stream_alone() -> None:
    clips, other = maps(), maps()
    other[:, 2] = torch.randn(3, 28, 28)
    for spatial in (True, False):
        net = model(spatial=spatial)
        assert torch.equal(net(other), net(clips)) != spatial


@pytest.mark.parametrize("size", [28, 56])
def test_the_streams_meet_place_by_place(size: int) -> None:
    """A change at one corner of the face reaches the tokens of that corner of 7 x 7."""
    net, onset = model(size), torch.randn(1, 1, size, size)
    changed = onset.clone()
    changed[..., : size // 14, : size // 14] += 5
    apart = (net.spatial(changed) - net.spatial(onset)).abs().sum(2).unflatten(1, (7, 7))[0]
    assert apart[:3, :3].mean() > 20 * apart[4:, 4:].mean() > 0


@pytest.mark.parametrize("alpha", [1.0, 4.0])
def test_a_gate_opens_where_motion_is_above_its_price_and_nowhere_else(alpha: float) -> None:
    flow = torch.tensor([[0.7, 0.9], [1.1, 3.0]]).expand(1, 2, 2, 2) * torch.tensor([1.0, -1.0])
    gate = torch.full((1, 1, 2, 2), 0.5, requires_grad=True)
    loss = magnification_loss(flow, Magnified(alpha * gate * flow, gate), alpha, price=1.0)
    (downhill,) = torch.autograd.grad(-loss, gate)
    assert downhill[0, 0].gt(0).tolist() == [[False, False], [True, True]]
    torch.testing.assert_close(downhill, alpha / 4 * (flow.abs().mean(1, keepdim=True) - 1))


def test_the_published_loss_of_a_plain_network_is_how_far_it_is_from_alpha_times_the_flow() -> None:
    net, clips = model(price=3.0), maps()
    seen = magnified(net, clips, 4.0)
    assert (seen.gate == 1).all()
    away = (4.0 * clips[:, :2] - seen.flow).abs().mean()
    torch.testing.assert_close(net.forward_tasks(clips)[1], away)
    torch.testing.assert_close(magnified(net, clips, 8.0).flow, 2 * seen.flow)


def test_motion_keeps_its_direction_and_grows_at_most_by_alpha() -> None:
    flow = maps()[:, :2]
    gates = Magnifier(width=4, gated=True)
    grown = gates(flow, 5.0).flow / flow
    torch.testing.assert_close(grown[:, 0], grown[:, 1], rtol=1e-4, atol=1e-4)
    assert 0 < grown.min() < grown.max() < 5
    assert not gates(torch.zeros(1, 2, 28, 28), 5.0).flow.any()


def draw(sequences: int, length: int, heads: int, channels: int, state: int) -> list[Tensor]:
    return [
        normal(sequences, length, heads, channels),
        positive(sequences, length, heads),
        -torch.rand(heads, dtype=torch.float64) - 0.1,
        normal(sequences, length, state),
        normal(sequences, length, state),
        normal(heads),
    ]


def test_ssd_is_the_selective_scan_with_one_decay_for_all_channels_and_states() -> None:
    torch.manual_seed(0)
    x, dt, A, B, C, skip = draw(3, 9, 2, 4, 5)
    wide = dt.repeat_interleave(4, dim=2), A.repeat_interleave(4)[:, None].expand(8, 5)
    theirs = selective_scan(x.flatten(2), *wide, B, C, skip.repeat_interleave(4))
    torch.testing.assert_close(ssd_chunked(x, dt, A, B, C, skip, 4).flatten(2), theirs)


def test_a_hundred_random_shapes_of_ssd_agree_with_float64() -> None:
    for number in range(100):
        random = Random(number)
        length = 1 if number % 10 == 0 else random.choice([2, 3, 7, 16, 25, 33, 49, 98])
        torch.manual_seed(number)
        heads, channels = random.choice([1, 2, 5]), random.choice([1, 3, 16])
        arguments = draw(random.randint(1, 3), length, heads, channels, 4)
        chunk = random.choice([1, 4, 7, CHUNK])
        check_agreement(
            lambda *tensors, chunk=chunk: ssd_chunked(*tensors, chunk),
            lambda *tensors: ssd(*tensors, backend="reference"),
            arguments,
        )


def test_long_steps_of_ssd_forget_and_never_overflow() -> None:
    """What came before is forgotten at once: y_t = C_t B_t dt_t x_t, four states of one each."""
    x, dt, B = torch.ones(1, 9, 2, 3), torch.full((1, 9, 2), 50.0), torch.ones(1, 9, 4)
    arguments = [x, dt, torch.full((2,), -30.0), B, B.clone(), torch.zeros(2)]
    arguments = [argument.requires_grad_() for argument in arguments]
    y = ssd_chunked(*arguments, 4)
    torch.testing.assert_close(y, torch.full_like(y, 200.0))
    assert all(g.isfinite().all() for g in torch.autograd.grad(y.sum(), arguments))


def test_the_layer_backwards_is_the_layer_over_turned_tokens() -> None:
    forwards, backwards = (SSD(6, reverse=turned, **SCAN) for turned in (False, True))
    backwards.load_state_dict(forwards.state_dict())
    tokens = torch.randn(2, 7, 6)
    torch.testing.assert_close(backwards(tokens), forwards(tokens.flip(1)).flip(1))


def test_what_cannot_be_computed_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"float32 on CUDA devices.*ssd=auto"):
        ssd(*(a.float() for a in draw(1, 3, 2, 4, 2)), backend="mamba_ssm")
    with pytest.raises(ConfigError, match="heads of 5 channels do not divide the 12"):
        SSD(6, reverse=False, **{**SCAN, "head": 5})
