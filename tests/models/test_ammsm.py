"""AMMSM's parts: what is kept, what passes by, what is drawn, and where the streams meet."""

import math

import pytest
import torch
from torch import Tensor

from hmrm_lab.errors import ConfigError
from hmrm_lab.models.ammsm.ammsm import AMMSM, magnified, surviving_tokens
from hmrm_lab.models.ammsm.sparse_activation import (
    ALPHA_RANGE,
    RATIO_RANGE,
    count_kept,
    draw_choice,
    halve_motion,
    motion_of_tokens,
    select_moving,
)
from hmrm_lab.models.ammsm.ssd import SSSDBlock
from hmrm_lab.models.ammsm.temporal_stream import SIDES

SMALL = {"width": 16, "magnifier_width": 4, "spatial_width": 0.1}


def model(size: int = 28, **options: object) -> AMMSM:
    torch.manual_seed(0)
    return AMMSM(3, size, 3, **{**SMALL, **options}).eval()


def maps(size: int = 28, clips: int = 3) -> Tensor:
    torch.manual_seed(1)
    return torch.randn(clips, 3, size, size)


def block(width: int = 8, side: int = 4) -> SSSDBlock:
    torch.manual_seed(0)
    settings = {"expand": 2, "head": 4, "state": 3, "ffn_ratio": 2.0, "dropout": 0.0}
    return SSSDBlock(width, side, **settings, reverse=False, backend="auto")


@pytest.mark.parametrize("ratio", [1e-9, 0.05, 0.3, 0.5, 1.0])
def test_the_tokens_with_most_motion_are_kept_in_the_order_of_the_face(ratio: float) -> None:
    torch.manual_seed(0)
    motion = torch.rand(5, 49)
    selection = select_moving(motion, ratio)
    count = max(1, math.ceil(49 * ratio))
    for kept, of in zip(selection.kept.tolist(), motion.tolist(), strict=True):
        strongest = sorted(range(49), key=lambda place: -of[place])[:count]
        assert kept == sorted(strongest)
    assert selection.mask().sum(1).tolist() == [count] * 5


def test_rounding_keeps_no_token_too_many() -> None:
    assert [count_kept(100, hundredth / 100) for hundredth in range(1, 101)] == [*range(1, 101)]
    assert count_kept(7, 0.5) == 4


def test_what_is_scattered_back_is_what_was_gathered() -> None:
    tokens = torch.randn(3, 16, 5)
    selection = select_moving(torch.rand(3, 16), 0.4)
    kept = selection.gather(tokens)
    for clip, places in enumerate(selection.kept):
        assert torch.equal(kept[clip], tokens[clip, places])
    assert torch.equal(selection.scatter(tokens, kept), tokens)
    changed = selection.scatter(tokens, kept + 1)
    assert torch.equal((changed != tokens).all(2), selection.mask())


def test_tokens_that_are_not_kept_have_the_convolution_alone() -> None:
    layer, tokens = block(), torch.randn(2, 16, 8)
    selection = select_moving(torch.rand(2, 16), 0.5)
    mixed = tokens + layer.local(tokens)
    passed = ~selection.mask()
    answer = layer(tokens, selection)
    assert torch.equal(answer[passed], mixed[passed])
    assert (answer != mixed)[selection.mask()].all()
    other = mixed.clone()
    other[passed] += 1  # what is not kept is not read by what is
    again = selection.gather(other)
    assert torch.equal(again, selection.gather(mixed))


def test_motion_of_tokens_is_that_of_their_patch_at_every_stage() -> None:
    flow = torch.zeros(1, 2, 56, 56)
    flow[0, :, 20:24, 40:44] = torch.tensor([3.0, 4.0])[:, None, None]  # one patch of 14 x 14
    motion = motion_of_tokens(flow, 14)
    assert motion[0, 0, 5, 10] == 5
    assert motion.sum() == 5
    sides = [motion.shape[-1]]
    for _ in SIDES[1:]:
        motion = halve_motion(motion)
        sides.append(motion.shape[-1])
    assert tuple(sides) == SIDES
    torch.testing.assert_close(halve_motion(torch.ones(1, 1, 7, 7)), torch.ones(1, 1, 4, 4))


@pytest.mark.parametrize("size", [28, 56])
def test_surviving_tokens_lie_where_the_magnified_motion_is(size: int) -> None:
    net = model(size, ratios=(0.25, 0.5, 0.75, 1.0))
    survivors = surviving_tokens(net, maps(size))
    assert [mask.shape[1:] for mask in survivors] == [(side, side) for side in SIDES]
    assert [int(mask[0].sum()) for mask in survivors] == [49, 25, 12, 4]
    motion = motion_of_tokens(magnified(net, maps(size), 4.0).flow, 14)[:, 0]
    assert motion[survivors[0]].min(0).values > 0
    for clip in range(3):
        kept = survivors[0][clip]
        assert motion[clip][kept].min() >= motion[clip][~kept].max()


def test_the_choice_decides_what_is_read() -> None:
    net, clips = model(), maps()
    before = net(clips)
    net.choose(8.0, (1.0, 1.0, 1.0, 1.0))
    assert all(mask.all() for mask in surviving_tokens(net, clips))
    assert (net(clips) - before).abs().max() > 1e-4
    net.choose(4.0, (0.5, 0.5, 0.5, 0.5))
    assert torch.equal(net(clips), before)


@pytest.mark.parametrize(
    ("alpha", "ratios"),
    [(0.5, (1, 1, 1, 1)), (float("nan"), (1, 1, 1, 1)), (4, (1, 1, 1)), (4, (0, 1, 1, 1))],
)
def test_an_impossible_choice_is_refused(alpha: float, ratios: tuple[float, ...]) -> None:
    with pytest.raises(ConfigError, match="give an alpha from 1 to 64 and 4 ratios up to 1"):
        model().choose(alpha, ratios)


def test_drawn_choices_lie_in_their_ranges_and_fill_them() -> None:
    torch.manual_seed(0)
    drawn = [draw_choice() for _ in range(300)]
    for values, (low, high) in (
        ([math.log(choice.alpha) for choice in drawn], map(math.log, ALPHA_RANGE)),
        ([ratio for choice in drawn for ratio in choice.ratios], RATIO_RANGE),
    ):
        span = high - low
        assert low <= min(values) < low + 0.1 * span
        assert high - 0.1 * span < max(values) <= high


def test_a_super_network_draws_for_its_steps_and_then_is_itself() -> None:
    net, clips = model(super_steps=3, dropout=0.0), maps()
    own = net(clips)
    assert torch.equal(net(clips), own)
    net.train()
    for part in net.modules():  # what is drawn shall be all that differs
        if isinstance(part, torch.nn.BatchNorm2d):
            part.eval()
    drawn = [net.forward_tasks(clips)[0].detach() for _ in range(3)]
    assert all((answer - own).abs().max() > 1e-5 for answer in drawn)
    assert (drawn[0] - drawn[1]).abs().max() > 1e-5
    torch.testing.assert_close(net.forward_tasks(clips)[0], own)
    assert net.steps == 4
    again = model(super_steps=3, dropout=0.0)
    again.load_state_dict(net.state_dict())  # as a training that goes on
    again.train()
    again(clips)
    assert again.steps == 5


def test_the_logits_of_both_tasks_are_those_of_one() -> None:
    net, clips = model(), maps()
    logits, extra = net.forward_tasks(clips)
    assert torch.equal(logits, net(clips))
    assert extra > 0
    assert model(magnifier="none").forward_tasks(clips)[1] == 0


def test_without_a_magnifier_the_flow_itself_is_read() -> None:
    net = model(magnifier="none")
    assert torch.equal(magnified(net, maps(), 8.0).flow, maps()[:, :2])
    before = net(maps())
    net.choose(8.0, net.choice.ratios)
    assert torch.equal(net(maps()), before)


def test_the_onset_is_read_by_the_spatial_stream_alone() -> None:
    clips = maps()
    other = clips.clone()
    other[:, 2] = torch.randn(3, 28, 28)
    with_face, without = model(), model(spatial=False)
    assert (with_face(other) - with_face(clips)).abs().max() > 1e-5
    assert torch.equal(without(other), without(clips))


@pytest.mark.parametrize("size", [28, 56])
def test_the_streams_meet_place_by_place(size: int) -> None:
    """A change at one corner of the face reaches the tokens of that corner of 7 x 7."""
    net = model(size)
    onset = torch.randn(1, 1, size, size)
    changed = onset.clone()
    changed[..., : size // 14, : size // 14] += 5
    apart = (net.spatial(changed) - net.spatial(onset)).abs().sum(2).unflatten(1, (7, 7))[0]
    assert apart[:3, :3].mean() > 20 * apart[4:, 4:].mean() > 0


def test_attention_ends_the_last_two_stages_in_place_of_a_block() -> None:
    stages = model(depths=(1, 2, 3, 1)).temporal.stages
    assert [len(stage.blocks) for stage in stages] == [1, 2, 2, 0]
    assert [len(stage.attention) for stage in stages] == [0, 0, 1, 1]
    assert [stage.blocks[1].mix[1].reverse for stage in stages[1:3]] == [True, True]
