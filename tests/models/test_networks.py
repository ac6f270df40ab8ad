"""Layers and compared networks: published sizes, what attends to what, the order of tokens."""

from collections.abc import Callable
from copy import deepcopy

import pytest
import torch
from conftest import quick_config
from torch import Tensor, nn
from torch.nn import functional as F

from hmrm_lab.errors import InputError
from hmrm_lab.evaluation.cost import count_parameters
from hmrm_lab.models.hmrm.grained_mamba import BidirectionalScan
from hmrm_lab.models.layers import Attention, Dropout, Linear, in_bfloat16, patches
from hmrm_lab.models.meganet import GradientAttention, MEGANet, attention_maps, gradient_size
from hmrm_lab.models.networks.attribute_embedding import AttributeEmbedding
from hmrm_lab.models.networks.capsulenet import CapsuleNet, ClassCapsules, squash
from hmrm_lab.models.networks.efficientnet import EfficientNetB0
from hmrm_lab.models.networks.fmanet import Modulation, split_phases
from hmrm_lab.models.networks.htnet import HTNet, blocks_of, from_blocks
from hmrm_lab.models.networks.mobilevit import MobileViT, fold_places, split_places
from hmrm_lab.models.networks.over_time import Retention
from hmrm_lab.models.networks.pictures import VGG, VGG16, VGG19, GoogLeNet
from hmrm_lab.models.networks.resnet import ResNet
from hmrm_lab.models.networks.shallow import OffApexNet, RegionMLP, STSTNet
from hmrm_lab.models.networks.transformers import SLSTT
from hmrm_lab.registry import systems
from hmrm_lab.training.learner import average_weights, build_learner, build_model


def pictures() -> Tensor:
    return torch.randn(2, 3, 28, 28, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("shape", [(3,), (0, 3), (2, 0, 3), (1, 3), (5, 3), (2, 7, 3), (64, 16, 3)])
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
        scale = theirs.abs().max().item() if theirs.numel() else 0
        torch.testing.assert_close(ours, theirs.float(), rtol=0, atol=1e-6 * scale)


def test_dropout_keeps_the_mean_and_its_share() -> None:
    layer, x = Dropout(0.3), torch.ones(200, 500, requires_grad=True)
    y = layer(x)
    assert y.detach().unique().tolist() == pytest.approx([0, 1 / 0.7])
    assert y.mean().item() == pytest.approx(1, abs=0.01)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert torch.equal(gradient, y)
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


def test_a_setting_puts_linear_layers_and_selections_in_bfloat16() -> None:
    for value in (False, True):
        model = build_learner(quick_config("hmrm", f"training.bfloat16={value}".lower()), 28, 3)
        for module in (model, average_weights(model, 0.9).module):
            kinds = {(type(one), one.rounds) for one in module.modules() if hasattr(one, "rounds")}
            assert kinds == {(Linear, value), (BidirectionalScan, value)}
    x, scan = torch.randn(2, 4, 64), BidirectionalScan(32, state=4, kernel=3, scan="reference")
    exact, scan.rounds = scan(x), True
    assert 0 < (scan(x) - exact).norm() / exact.norm() < 0.02


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
    assert torch.equal(blocks[1], tokens[0, [2, 3, 6, 7]])  # top right
    assert torch.equal(from_blocks(blocks, 4, 2), tokens)


def test_attention_is_that_of_torch() -> None:
    torch.manual_seed(0)
    ours = Attention(12, heads=3).eval()
    theirs = nn.MultiheadAttention(12, 3, batch_first=True).eval()
    for name in ("weight", "bias"):
        getattr(theirs, f"in_proj_{name}").data = getattr(ours.project_in, name).data
        setattr(theirs.out_proj, name, getattr(ours.project_out, name))
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
    assert Attention(8, heads=2, drop_key=1.0).train()(tokens).isfinite().all()


def test_a_pixel_attends_to_its_own_place_in_other_patches() -> None:
    grid = torch.arange(16.0).reshape(1, 1, 4, 4)
    expected = [[place + patch for patch in (0, 2, 8, 10)] for place in (0, 1, 4, 5)]
    assert split_places(grid)[..., 0].tolist() == expected
    assert torch.equal(fold_places(split_places(grid), 4), grid)


def test_slstt_sees_steady_motion_up_to_the_apex() -> None:
    maps, model = pictures(), SLSTT(3, 28, 3).eval()
    steady = torch.stack([maps * share for share in (1 / 3, 2 / 3, 1)], dim=1)
    torch.testing.assert_close(model(maps), model(steady))
    assert not torch.allclose(model(maps), model(maps / 2)), "strength matters"


def test_fmanet_finds_both_phases_of_a_sequence() -> None:
    maps = pictures()
    assert torch.equal(split_phases(maps), torch.stack([maps, maps], 1))
    course = torch.tensor([0.5, 1.0, 0.25])[:, None, None, None]
    expected = torch.stack([maps, 0.75 * maps], 1)
    torch.testing.assert_close(split_phases(maps[:, None] * course), expected)
    modulated, moves = Modulation()(expected)
    gain = modulated[:, 0] / maps
    assert (gain[moves.expand_as(gain) > 0.35] > 1).all(), "raised"
    assert (gain[moves.expand_as(gain) < 0.25] < 1).all(), "suppressed"


def test_retention_is_the_recurrent_form() -> None:
    """State S_t = keeps S_{t-1} + k_t v_t, read by q_t (Sun et al. 2023, equation 6)."""
    torch.manual_seed(0)
    layer, tokens = Retention(8).eval(), torch.randn(1, 5, 8)
    projected = layer.project_in(layer.norm(tokens))[0].unflatten(-1, (4, 4, 2))  # (T, 4, heads, 2)
    state, read = torch.zeros(4, 2, 2), []
    for query, key, value, gate in projected:
        state = layer.keeps[:, None, None] * state + key[:, :, None] * value[:, None]
        out = (query[:, None] @ state)[:, 0] / 2**0.5
        read.append((F.layer_norm(out, (2,)) * F.silu(gate)).flatten())
    expected = tokens + layer.project_out(torch.stack(read))
    torch.testing.assert_close(layer(tokens), expected, atol=1e-4, rtol=1e-3)


def test_attributes_are_contrasted_within_the_batch() -> None:
    model = AttributeEmbedding(3, 28, 3).eval()
    logits, loss = model.forward_tasks(pictures())
    assert logits.abs().max() <= 10 and loss > 0, "cosines times ten"
    assert model.forward_tasks(pictures()[:1])[1] == 0, "one map has nothing to be told from"


def test_tokens_of_the_perceptron_are_core_regions_and_then_sub_regions() -> None:
    row, column = torch.meshgrid(torch.arange(28), torch.arange(28), indexing="ij")
    place = 100.0 * (row // 7) + column // 7  # window (r, c) holds 100 r + c
    core, sub, both = (
        RegionMLP(1, 28, 3, regions=kind).tokens(place[None, None])
        for kind in ("core", "sub", "both")
    )
    assert torch.equal(torch.cat([core, sub], 1), both)
    first = [0, 2, 200, 202]
    assert core[0, :, 0].tolist() == first, "a core region begins with its first window"
    windows = [corner + inner for corner in first for inner in (0, 1, 100, 101)]
    assert sub[0].tolist() == [[window] * 49 for window in windows]


def test_the_gradient_is_sobels() -> None:
    maps, sobel = pictures(), torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 8
    kernels = torch.stack([sobel, sobel.T])[:, None]
    singly = F.pad(maps, (1, 1, 1, 1), mode="replicate").reshape(-1, 1, 30, 30)
    both = F.conv2d(singly, kernels).reshape(2, 3, 2, 28, 28)
    expected = both.square().sum(2).mean(1, keepdim=True).sqrt()
    torch.testing.assert_close(gradient_size(maps), expected, atol=1e-5, rtol=1e-4)


def test_attention_does_not_depend_on_the_strength_of_the_picture() -> None:
    block, maps = GradientAttention(), pictures()
    stronger = block.weights(100 * maps)
    torch.testing.assert_close(stronger, block.weights(maps), atol=1e-3, rtol=1e-3)
    flat = torch.ones(2, 3, 8, 8, requires_grad=True)
    assert torch.autograd.grad(block(flat).sum(), flat)[0].isfinite().all()


def test_attention_over_the_face_is_what_the_model_used() -> None:
    model, seen = MEGANet(3, 28, 3), []
    for block in model.attention:
        block.weigh.register_forward_hook(lambda _, __, out: seen.append(out.sigmoid()))
    maps = attention_maps(model, pictures())
    assert model.training
    expected = sum(F.interpolate(one, (28, 28), mode="bilinear") for one in seen) / len(seen)
    torch.testing.assert_close(maps, expected[:, 0])


def test_what_has_no_attention_is_refused() -> None:
    for config in (quick_config("meganet", "model.attention=none"), quick_config("ststnet")):
        with pytest.raises(InputError, match="no gradient attention"):
            attention_maps(build_model(config, 28, 3), pictures())
