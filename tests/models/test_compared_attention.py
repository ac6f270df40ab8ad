"""Compared transformers and the perceptron: sizes, what attends to what, the order of tokens."""

import pytest
import torch
from torch import nn

from hmrm_lab.config import load_config
from hmrm_lab.errors import ConfigError
from hmrm_lab.evaluation.cost import count_parameters
from hmrm_lab.models.networks.frl_dgt import FRLDGT
from hmrm_lab.models.networks.htnet import HTNet
from hmrm_lab.models.networks.mfdan import MFDAN
from hmrm_lab.models.networks.mlp import RegionMLP
from hmrm_lab.models.networks.mobilevit import MobileViT, fold_places, split_places
from hmrm_lab.models.networks.slstt import SLSTT
from hmrm_lab.models.transformer import Attention, blocks_of, from_blocks, patches
from hmrm_lab.training.learner import build_model

SMALL = {"width": 12, "repeats": (1, 1, 2)}


def small_htnet(**options: object) -> HTNet:
    torch.manual_seed(0)
    return HTNet(3, 28, 3, **{**SMALL, **options}).eval()


def attentions(model: nn.Module) -> list[Attention]:
    return [module for module in model.modules() if isinstance(module, Attention)]


def test_htnet_has_the_published_parameters() -> None:
    with torch.device("meta"):
        published, areas = HTNet(3, 28, 3), HTNet(3, 28, 3, attention="areas")
    assert round(count_parameters(published) / 1e6, 1) == 139.6
    assert count_parameters(areas) == count_parameters(published) + 9


def test_htnet_parameters_in_closed_form() -> None:
    width, heads, repeats, channels = 18, 4, (1, 3, 2), 2
    expected = channels * 49 * width + width  # patches
    for level, count in enumerate(repeats):
        d, h = width * 2**level, heads * 2**level
        inner = h * (d // h)  # 16 of 18: what heads do not divide is lost
        attention = 2 * d + 3 * d * inner + inner * d + d
        feed_forward = 2 * d + 4 * d * d + 4 * d + 4 * d * d + d
        expected += 1 + count * (attention + feed_forward)
        if level < 2:
            expected += 9 * d * 2 * d + 2 * d + 2 * 2 * d  # convolution, norm
    expected += 2 * 4 * width + 3 * 4 * width + 3  # norm and head
    model = HTNet(channels, 28, 3, width=width, heads=heads, repeats=repeats)
    assert count_parameters(model) == expected


def test_the_paper_preset_keeps_the_published_htnet() -> None:
    config = load_config("paper", system="htnet")
    with torch.device("meta"):
        assert round(count_parameters(build_model(config, 28, 3)) / 1e6, 1) == 139.6
    assert (config.training.epochs, config.training.batch, config.training.lr) == (800, 256, 5e-5)


def queries_and_keys_matter(model: HTNet) -> bool:
    """Whether other queries and keys, everywhere, give other logits."""
    maps = torch.randn(4, 3, 28, 28)
    before = model(maps)
    for layer in attentions(model):
        inner = layer.project_in.weight.shape[0] // 3
        layer.project_in.weight.data[: 2 * inner] = torch.randn_like(
            layer.project_in.weight[: 2 * inner]
        )
    return not torch.equal(model(maps), before)


def test_published_htnet_never_attends() -> None:
    model = small_htnet()
    model(torch.randn(4, 3, 28, 28)).square().sum().backward()
    for layer in attentions(model):
        inner = layer.project_in.weight.shape[0] // 3
        assert not layer.project_in.weight.grad[: 2 * inner].any()
        assert layer.project_in.weight.grad[2 * inner :].any(), "values are learnt"
    assert not queries_and_keys_matter(small_htnet())


def test_htnet_attends_within_areas() -> None:
    model = small_htnet(attention="areas")
    model(torch.randn(4, 3, 28, 28)).square().sum().backward()
    for layer in attentions(model):
        inner = layer.project_in.weight.shape[0] // 3
        assert layer.project_in.weight.grad[:inner].any()
    assert queries_and_keys_matter(small_htnet(attention="areas"))


@pytest.mark.parametrize(("attention", "reached"), [("published", 1), ("areas", 4)])
def test_first_level_of_htnet_stays_within_its_blocks(attention: str, reached: int) -> None:
    level = small_htnet(attention=attention).levels[0]
    tokens = torch.randn(1, 16, 12)
    changed = tokens.clone()
    changed[0, 0] += torch.randn(12)  # top left
    moved = (level(changed) != level(tokens)).any(-1)[0].reshape(4, 4)
    half = {1: 1, 4: 2}[reached]
    assert moved[:half, :half].all()
    assert moved.sum() == reached


def test_blocks_and_patches_go_where_they_should() -> None:
    maps = torch.arange(64.0).reshape(1, 1, 8, 8)
    tokens = patches(maps, 2)  # (1, 16, 4)
    assert tokens[0, 0].tolist() == [0, 1, 8, 9]
    assert tokens[0, 5].tolist() == [18, 19, 26, 27]  # second row, second column
    blocks = blocks_of(tokens, 4, 2)
    assert blocks.shape == (4, 4, 4)
    assert torch.equal(blocks[1], tokens[0, [2, 3, 6, 7]])  # top right
    batch = torch.randn(3, 16, 5)
    for count in (1, 2, 4):
        assert torch.equal(from_blocks(blocks_of(batch, 4, count), 4, count), batch)


def test_attention_is_that_of_torch() -> None:
    torch.manual_seed(0)
    ours = Attention(12, heads=3).eval()
    theirs = nn.MultiheadAttention(12, 3, batch_first=True).eval()
    theirs.in_proj_weight.data = ours.project_in.weight.data
    theirs.in_proj_bias.data = ours.project_in.bias.data
    theirs.out_proj.weight.data = ours.project_out.weight.data
    theirs.out_proj.bias.data = ours.project_out.bias.data
    tokens = torch.randn(2, 5, 12)
    torch.testing.assert_close(ours(tokens), theirs(tokens, tokens, tokens)[0])
    guide = torch.zeros(2, 3, 5, 5)
    guide[..., 2] = 50.0  # look at the third token, whatever it is
    assert ours.weights(tokens, guide)[..., 2].min() > 0.99


def test_hidden_keys_get_no_weight_while_training() -> None:
    torch.manual_seed(0)
    layer, tokens = Attention(8, heads=2, drop_key=0.5).train(), torch.randn(4, 6, 8)
    weights = layer.weights(tokens)
    assert 0.3 < (weights == 0).float().mean() < 0.7
    torch.testing.assert_close(weights.sum(-1), torch.ones(4, 2, 6))
    assert (layer.eval().weights(tokens) > 0).all()
    everything = Attention(8, heads=2, drop_key=1.0).train()(tokens)
    assert everything.isfinite().all()


def test_mobilevit_has_the_published_parameters() -> None:
    """1.3 M with the 1000 classes of ImageNet (its Table 1)."""
    published = count_parameters(MobileViT(3, 28, 3)) + (1000 - 3) * (320 + 1)
    assert round(published / 1e6, 1) == 1.3


def test_a_pixel_attends_to_its_own_place_in_other_patches() -> None:
    grid = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert split_places(grid)[..., 0].tolist() == [
        [0, 2, 8, 10],
        [1, 3, 9, 11],
        [4, 6, 12, 14],
        [5, 7, 13, 15],
    ]
    batch = torch.randn(2, 3, 8, 8)
    assert torch.equal(fold_places(split_places(batch), 8), batch)


def test_slstt_sees_steady_motion_up_to_the_apex() -> None:
    torch.manual_seed(0)
    maps = torch.randn(2, 3, 28, 28)
    three = SLSTT(3, 28, 3, frames=3, aggregator="mean").eval()
    seen: list[torch.Tensor] = []
    three.embed.register_forward_hook(lambda module, given, _: seen.append(given[0]))
    answer = three(maps)
    frames = seen[0].unflatten(0, (2, 3))
    for step in range(3):
        torch.testing.assert_close(frames[:, step], patches(maps, 7) * (step + 1) / 3)
    assert not torch.allclose(answer, three(maps / 2)), "strength matters"


def test_frl_dgt_fuses_sub_regions_of_one_core_region_at_a_time() -> None:
    torch.manual_seed(0)
    model = FRLDGT(3, 28, 3).eval()
    seen: list[torch.Tensor] = []
    model.local.register_forward_hook(lambda module, _, answer: seen.append(answer))
    maps = torch.zeros(1, 3, 28, 28)
    changed = maps.clone()
    changed[..., :5, :5] = 1.0  # within the top left sub-region, beyond the reach of the edges
    model.correction.requires_grad_(False)
    for layer in model.correction:
        if isinstance(layer, nn.Conv2d):
            layer.weight.zero_()
    model(maps), model(changed)
    moved = (seen[0] != seen[1]).any(-1)  # (4 core regions, 4 sub-regions)
    assert moved.tolist() == [[True] * 4] + [[False] * 4] * 3


def test_flow_tells_mfdan_where_to_look() -> None:
    torch.manual_seed(0)
    model = MFDAN(3, 28, 3).eval()
    projected = torch.randn(2, 16, 128)
    queries, keys = (part.unflatten(-1, (4, 16)) for part in projected.split(64, dim=-1))
    naive = torch.einsum("bihd,bjhd->bhij", queries, keys) / 4
    torch.testing.assert_close(model.guide(projected), naive)
    given: list[torch.Tensor] = []
    model.layers[0].register_forward_pre_hook(lambda module, inputs: given.append(inputs[1]))
    maps = torch.randn(1, 3, 28, 28)
    strained, moved = maps.clone(), maps.clone()
    strained[:, 2] += 1.0
    moved[:, 0] += 1.0
    model(maps), model(strained), model(moved)
    assert torch.equal(given[0], given[1]), "strain is no flow"
    assert not torch.equal(given[0], given[2])


def test_tokens_of_the_perceptron_are_core_regions_and_then_sub_regions() -> None:
    row, column = torch.meshgrid(torch.arange(28), torch.arange(28), indexing="ij")
    place = 100.0 * (row // 7) + column // 7  # window (r, c) holds 100 r + c
    tokens = RegionMLP(1, 28).tokens(place[None, None])
    assert tokens.shape == (1, 20, 49)
    windows = [100 * r + c for r, c in ((0, 0), (0, 1), (1, 0), (1, 1))]
    core = [200 * (r > 0) + 2 * (c > 0) for r, c in ((0, 0), (0, 1), (1, 0), (1, 1))]
    expected = [first + inner for first in core for inner in windows]
    assert tokens[0, 4:, 0].tolist() == expected
    assert (tokens[0, 4:] == tokens[0, 4:, :1]).all(), "a sub-region is one window"
    assert tokens[0, :4, 0].tolist() == core, "a core region begins with its first window"
    maps = place[None, None]
    core_alone = RegionMLP(1, 28, regions="core").tokens(maps)
    sub_alone = RegionMLP(1, 28, regions="sub").tokens(maps)
    assert torch.equal(torch.cat([core_alone, sub_alone], 1), tokens)


@pytest.mark.parametrize(
    ("system", "override", "message"),
    [
        ("htnet", "model.heads=64", "64 heads do not fit into a width of 36"),
        ("hmrm", "model.heads=3", "64 cannot be shared out among 3 heads"),
        ("slstt", "model.frames=0", "frames: Input should be greater than or equal to 1"),
        ("htnet", "model.attention=all", "attention"),
        ("mlp", "model.regions=some", "regions"),
    ],
)
def test_options_that_make_no_sense_are_one_sentence(
    system: str, override: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        build_model(load_config("default", system=system, overrides=[override]), 28, 3)
