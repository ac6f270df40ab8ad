"""Layers and compared networks: published sizes, what attends to what, the order of tokens."""

from collections.abc import Callable
from copy import deepcopy

import pytest
import torch
from conftest import quick_config
from torch import nn
from torch.nn import functional as F

from hmrm_lab.errors import InputError
from hmrm_lab.evaluation.cost import count_parameters
from hmrm_lab.models.layers import Attention, Dropout, Linear, in_bfloat16, patches
from hmrm_lab.models.meganet import GradientAttention, MEGANet, attention_maps, gradient_size
from hmrm_lab.models.networks.backbone import begin_as_he, count_filters
from hmrm_lab.models.networks.htnet import HTNet, blocks_of, from_blocks
from hmrm_lab.models.networks.mobilevit import MobileViT, fold_places, split_places
from hmrm_lab.models.networks.pictures import VGG, VGG16, VGG19, EfficientNetB0, GoogLeNet
from hmrm_lab.models.networks.resnet import CapsuleNet, ClassCapsules, ResNet, squash
from hmrm_lab.models.networks.shallow import OffApexNet, RegionMLP, STSTNet
from hmrm_lab.models.networks.transformers import FRLDGT, MFDAN, SLSTT
from hmrm_lab.registry import systems
from hmrm_lab.training.learner import average_weights, build_learner, build_model


@pytest.mark.parametrize("shape", [(1, 3), (5, 3), (2, 7, 3), (64, 16, 3)])
@pytest.mark.parametrize("bias", [True, False])
def test_layer_and_gradients_are_torchs(shape: tuple[int, ...], bias: bool) -> None:
    torch.manual_seed(0)
    layer = Linear(3, 5, bias=bias)
    exact = torch.nn.Linear(3, 5, bias=bias, dtype=torch.float64)
    exact.load_state_dict(layer.state_dict())
    x = torch.randn(shape)
    results = []
    for module in (layer, exact):
        inputs = x.to(module.weight.dtype).requires_grad_()
        y = module(inputs)
        gradients = torch.autograd.grad(y.pow(2).sum(), [inputs, *module.parameters()])
        results.append([y.detach(), *gradients])
    for ours, theirs in zip(*results, strict=True):
        assert ours.shape == theirs.shape
        assert (ours - theirs).abs().max() <= 1e-6 * theirs.abs().max()


@pytest.mark.parametrize("shape", [(3,), (0, 3), (2, 0, 3)])
def test_a_single_vector_and_nothing_at_all(shape: tuple[int, ...]) -> None:
    layer, x = Linear(3, 5), torch.randn(shape, requires_grad=True)
    y = layer(x)
    torch.testing.assert_close(y, torch.nn.functional.linear(x, layer.weight, layer.bias))
    y.sum().backward()
    assert x.grad.shape == shape


def test_dropout_keeps_the_mean_and_its_share() -> None:
    torch.manual_seed(0)
    layer = Dropout(0.3)
    x = torch.ones(200, 500, requires_grad=True)
    y = layer(x)
    assert y.detach().unique().tolist() == pytest.approx([0, 1 / 0.7])
    assert y.mean().item() == pytest.approx(1, abs=0.01)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())
    assert torch.equal(layer.eval()(x), x)


def test_products_in_bfloat16_are_near_and_parameters_stay() -> None:
    torch.manual_seed(0)
    exact, x = Linear(96, 40), torch.randn(3, 7, 96, requires_grad=True)
    rounded = in_bfloat16(nn.Sequential(deepcopy(exact)))
    weights, results = torch.randn(3, 7, 40), []
    for layer in (exact, rounded):
        y = layer(x)
        results.append([y, *torch.autograd.grad((y * weights).sum(), [x, *layer.parameters()])])
    for true, near in zip(*results, strict=True):
        assert near.dtype == torch.float32
        assert (near - true).norm() / true.norm() < 0.01
    assert not torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][3], results[1][3])  # that of the bias has no product


def test_a_setting_puts_all_linear_layers_of_a_training_in_bfloat16() -> None:
    plain, short = (
        build_learner(quick_config("hmrm", f"training.bfloat16={value}"), 28, 3)
        for value in ("false", "true")
    )
    layers = [layer for layer in short.modules() if isinstance(layer, Linear)]
    assert layers and all(layer.rounds for layer in layers)
    assert not any(layer.rounds for layer in plain.modules() if isinstance(layer, Linear))
    averaged = average_weights(short, 0.9).module
    assert all(layer.rounds for layer in averaged.modules() if isinstance(layer, Linear))


IMAGENET = (3, 1000)  # channels and classes
PUBLISHED: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "VGG16": (lambda: VGG(*IMAGENET, convolutions=VGG16, side=224), 138_357_544),
    "VGG19": (lambda: VGG(*IMAGENET, convolutions=VGG19, side=224), 143_667_240),
    "ResNet18": (lambda: ResNet(*IMAGENET, blocks=(2, 2, 2, 2), bottleneck=False), 11_689_512),
    "ResNet50": (lambda: ResNet(*IMAGENET, blocks=(3, 4, 6, 3), bottleneck=True), 25_557_032),
    "EfficientNet-B0": (lambda: EfficientNetB0(*IMAGENET), 5_288_548),
    "GoogLeNet": (lambda: GoogLeNet(*IMAGENET), 6_624_904),
    "OFF-ApexNet": (lambda: OffApexNet(2, 28, 3), 2_664_475),
    "STSTNet": (lambda: STSTNet(3, 28, 3), 1683),
}


def test_networks_have_the_published_size() -> None:
    with torch.device("meta"):
        for name, (build, parameters) in PUBLISHED.items():
            network = build()
            if parameters > 5e6:
                assert network(torch.empty(2, 3, 224, 224)).shape == (2, 1000)
            assert count_parameters(network) == parameters, name
        published, areas = HTNet(3, 28, 3), HTNet(3, 28, 3, attention="areas")
        mobile = count_parameters(MobileViT(3, 28, 3)) + (1000 - 3) * (320 + 1)
    assert round(count_parameters(published) / 1e6, 1) == 139.6
    assert count_parameters(areas) == count_parameters(published) + 9
    assert round(mobile / 1e6, 1) == 1.3  # with the 1000 classes of ImageNet: its Table 1


def test_filters_are_counted_in_eights() -> None:
    assert [count_filters(64, width) for width in (0.25, 0.3, 0.01)] == [16, 16, 8]


@pytest.mark.parametrize("groups", [1, 64])
def test_first_weights_keep_the_size_of_what_goes_backwards(groups: int) -> None:
    """With half of the numbers cut off by ReLU, a gradient has as large a square as before."""
    torch.manual_seed(0)
    layer = nn.Conv2d(64, 64, 3, padding=1, groups=groups)
    begin_as_he(layer)
    given = torch.randn(8, 64, 16, 16, requires_grad=True)
    arriving = torch.randn(8, 64, 16, 16) * (torch.rand(8, 64, 16, 16) < 0.5)
    layer(given).backward(arriving)
    assert given.grad[..., 2:-2, 2:-2].square().mean().item() == pytest.approx(1, rel=0.15)
    assert not layer.bias.any()


def test_maps_may_be_enlarged_to_any_side() -> None:
    for system in ("capsulenet", "geme", "googlenet", "resnet18", "vgg16"):
        for side in (32, 33, 50, 63, 64):
            with torch.device("meta"):
                model = systems[system].build(3, 28, 3, side=side, width=0.125).eval()
                assert model(torch.empty(2, 3, 28, 28)).shape == (2, 1, 3), (system, side)


def test_routing_is_procedure_one_written_out() -> None:
    """Loops over clips, capsules and classes, as Sabour et al. 2017 write it."""
    torch.manual_seed(0)
    layer, capsules = ClassCapsules(5, 3, routings=3), 4 * torch.randn(2, 5, 8)
    weight = layer.weight.detach().unflatten(-1, (3, 16))  # (I, 8, K, 16)
    for row, clip in enumerate(capsules):
        votes = [[clip[i] @ weight[i, :, k] for k in range(3)] for i in range(5)]
        agreed = torch.zeros(5, 3)
        for _ in range(3):
            share = agreed.softmax(1)
            output = [squash(sum(share[i, k] * votes[i][k] for i in range(5))) for k in range(3)]
            change = [[votes[i][k] @ output[k] for k in range(3)] for i in range(5)]
            agreed = agreed + torch.tensor(change)
        torch.testing.assert_close(layer(capsules)[row], torch.stack(output))
    zero = torch.zeros(1, 8, requires_grad=True)
    assert torch.autograd.grad(squash(zero).sum(), zero)[0].isfinite().all()


@pytest.mark.parametrize(("side", "kernel", "grid"), [(224, 9, 6), (112, 4, 4), (56, 2, 3)])
def test_capsules_of_a_picture_are_the_published_ones(side: int, kernel: int, grid: int) -> None:
    with torch.device("meta"):
        model = CapsuleNet(3, 28, 3, side=side, width=1.0)
        assert model(torch.empty(2, 3, 28, 28)).shape == (2, 1, 3)
    assert model.primary.kernel_size == (kernel, kernel)
    assert model.classes.weight.shape == (32 * grid**2, 8, 3 * 16)


def test_htnet_attends_within_areas_and_as_published_never() -> None:
    for attention, attends in (("published", False), ("areas", True)):
        model = HTNet(3, 28, 3, width=12, repeats=(1, 1, 2), attention=attention)
        model(torch.randn(4, 3, 28, 28)).square().sum().backward()
        for layer in (part for part in model.modules() if isinstance(part, Attention)):
            gradient = layer.project_in.weight.grad
            inner = len(gradient) // 3
            assert gradient[: 2 * inner].any() == attends
            assert gradient[2 * inner :].any(), "values are learnt"


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
    weights_alone = Attention(12, heads=3, dropout=1.0, drop_output=False).train()
    expected = weights_alone.project_out.bias.expand(2, 5, 12)
    torch.testing.assert_close(weights_alone(tokens), expected)
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
    with torch.no_grad():
        for weights in model.correction.parameters():
            weights.zero_()
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
    tokens = RegionMLP(1, 28, 3).tokens(place[None, None])
    assert tokens.shape == (1, 20, 49)
    windows = [100 * r + c for r, c in ((0, 0), (0, 1), (1, 0), (1, 1))]
    core = [200 * (r > 0) + 2 * (c > 0) for r, c in ((0, 0), (0, 1), (1, 0), (1, 1))]
    expected = [first + inner for first in core for inner in windows]
    assert tokens[0, 4:, 0].tolist() == expected
    assert (tokens[0, 4:] == tokens[0, 4:, :1]).all(), "a sub-region is one window"
    assert tokens[0, :4, 0].tolist() == core, "a core region begins with its first window"
    maps = place[None, None]
    alone = [RegionMLP(1, 28, 3, regions=kind).tokens(maps) for kind in ("core", "sub")]
    assert torch.equal(torch.cat(alone, 1), tokens)


KINDS = ("gradient", "none")
SOBEL = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 8


def pictures(count: int = 2, channels: int = 3, size: int = 28) -> torch.Tensor:
    return torch.randn(count, channels, size, size, generator=torch.Generator().manual_seed(0))


def test_the_gradient_is_sobels() -> None:
    maps = pictures()
    kernels = torch.stack([SOBEL, SOBEL.T])[:, None]
    singly = F.pad(maps, (1, 1, 1, 1), mode="replicate").reshape(-1, 1, 30, 30)
    both = F.conv2d(singly, kernels).reshape(2, 3, 2, 28, 28)
    expected = both.square().sum(2).mean(1, keepdim=True).sqrt()
    torch.testing.assert_close(gradient_size(maps), expected, atol=1e-5, rtol=1e-4)


def test_attention_does_not_depend_on_the_strength_of_the_picture() -> None:
    block, maps = GradientAttention(), pictures()
    for factor in (0.01, 100):
        stronger = block.weights(factor * maps)
        torch.testing.assert_close(stronger, block.weights(maps), atol=1e-3, rtol=1e-3)
    flat = torch.ones(2, 3, 8, 8, requires_grad=True)
    assert torch.autograd.grad(block(flat).sum(), flat)[0].isfinite().all()


def test_the_ablation_takes_the_attention_and_nothing_else() -> None:
    whole, without = (set(MEGANet(3, 28, 3, attention=kind).state_dict()) for kind in KINDS)
    assert without < whole
    assert all(name.startswith("attention.") for name in whole - without)


def test_attention_over_the_face_is_what_the_model_used() -> None:
    model, given = MEGANet(3, 28, 3), pictures()
    seen: list[torch.Tensor] = []
    hooks = [
        block.weigh.register_forward_hook(lambda _, __, out: seen.append(out.sigmoid()))
        for block in model.attention
    ]
    model.eval()(given)
    for hook in hooks:
        hook.remove()
    maps = attention_maps(model.train(), given)
    assert model.training
    assert maps.shape == (2, 28, 28)
    expected = sum(F.interpolate(one, (28, 28), mode="bilinear") for one in seen) / 3
    torch.testing.assert_close(maps, expected[:, 0])
    assert [one.shape[-1] for one in seen] == [28, 14, 7]


def test_what_has_no_attention_is_refused() -> None:
    for config in (quick_config("meganet", "model.attention=none"), quick_config("ststnet")):
        with pytest.raises(InputError, match="no gradient attention"):
            attention_maps(build_model(config, 28, 3), pictures())
