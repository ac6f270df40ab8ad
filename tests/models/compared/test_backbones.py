"""The networks for pictures are the published ones when asked to be."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from hmrm_lab.config import load_config
from hmrm_lab.errors import ConfigError
from hmrm_lab.evaluation.cost import count_parameters
from hmrm_lab.models.networks.efficientnet_b0 import EfficientNetB0
from hmrm_lab.models.networks.googlenet import GoogLeNet
from hmrm_lab.models.networks.pictures import begin_as_he, count_filters, enlarge
from hmrm_lab.models.networks.resnet import ResNet
from hmrm_lab.models.networks.vgg import VGG, VGG16, VGG19
from hmrm_lab.registry import systems

IMAGENET = (3, 1000)  # channels and classes
PUBLISHED: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "VGG16": (lambda: VGG(*IMAGENET, convolutions=VGG16, side=224), 138_357_544),
    "VGG19": (lambda: VGG(*IMAGENET, convolutions=VGG19, side=224), 143_667_240),
    "ResNet18": (lambda: ResNet(*IMAGENET, blocks=(2, 2, 2, 2), bottleneck=False), 11_689_512),
    "ResNet50": (lambda: ResNet(*IMAGENET, blocks=(3, 4, 6, 3), bottleneck=True), 25_557_032),
    "EfficientNet-B0": (lambda: EfficientNetB0(*IMAGENET), 5_288_548),
    "GoogLeNet": (lambda: GoogLeNet(*IMAGENET), 6_624_904),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_whole_networks_have_the_published_size(name: str) -> None:
    build, parameters = PUBLISHED[name]
    with torch.device("meta"):
        network = build()
        assert network(torch.empty(2, 3, 224, 224)).shape == (2, 1000)
    assert count_parameters(network) == parameters


def test_filters_are_counted_in_eights() -> None:
    assert [count_filters(count, 1.0) for count in (16, 24, 112, 1280)] == [16, 24, 112, 1280]
    assert [count_filters(64, width) for width in (0.25, 0.3, 0.01)] == [16, 16, 8]


def test_enlarging_keeps_what_is_constant_and_what_rises_evenly() -> None:
    ramp = torch.arange(28.0).expand(1, 1, 28, 28)
    larger = enlarge(ramp, 56)
    assert larger.shape == (1, 1, 56, 56)
    inner = larger[0, 0, 3, 1:-1]
    torch.testing.assert_close(inner.diff(), torch.full((53,), 0.5))
    torch.testing.assert_close(
        enlarge(torch.full((1, 1, 28, 28), 3.0), 40), torch.full((1, 1, 40, 40), 3.0)
    )


@pytest.mark.parametrize("groups", [1, 64])
def test_first_weights_keep_the_size_of_what_goes_backwards(groups: int) -> None:
    """With half of the numbers cut off by ReLU, a gradient has as large a square as before."""
    torch.manual_seed(0)
    layer = nn.Conv2d(64, 64, 3, padding=1, groups=groups)
    begin_as_he(layer)
    given = torch.randn(8, 64, 16, 16, requires_grad=True)
    arriving = torch.randn(8, 64, 16, 16) * (torch.rand(8, 64, 16, 16) < 0.5)
    layer(given).backward(arriving)
    assert given.grad is not None
    assert given.grad[..., 2:-2, 2:-2].square().mean().item() == pytest.approx(1, rel=0.15)
    assert not layer.bias.any()


@pytest.mark.parametrize("system", ["capsulenet", "geme", "googlenet", "resnet18", "vgg16"])
@pytest.mark.parametrize("side", [32, 33, 50, 63, 64])
def test_maps_may_be_enlarged_to_any_side(side: int, system: str) -> None:
    with torch.device("meta"):
        model = systems[system].build(3, 28, 3, side=side, width=0.125).eval()
        assert model(torch.empty(2, 3, 28, 28)).shape == (2, 1, 3)


@pytest.mark.parametrize("option", ["side=16", "width=0", "width=1.5", "dropout=1"])
def test_impossible_options_are_refused(option: str) -> None:
    with pytest.raises(ConfigError, match=option.partition("=")[0]):
        load_config("default", system="vgg16", overrides=[f"model.{option}"])
