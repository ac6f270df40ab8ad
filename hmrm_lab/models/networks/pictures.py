"""Networks for pictures on motion maps: VGG, GoogLeNet and EfficientNet-B0."""

import re
from functools import partial

import torch
from torch import Tensor, nn

from hmrm_lab.models.interface import Dropped, system
from hmrm_lab.models.layers import Dropout
from hmrm_lab.models.networks import backbone
from hmrm_lab.models.networks.backbone import begin_as_he, conv_norm, count_filters, three_linear

VGG_STAGES = (64, 128, 256, 512, 512)  # filters; each stage ends with a pooling that halves the map
SHRINK = 2 ** len(VGG_STAGES)
HIDDEN = 4096
VGG16 = (2, 2, 3, 3, 3)  # convolutions of each stage: configuration D
VGG19 = (2, 2, 4, 4, 4)  # configuration E


class VGG(nn.Module):
    """Stacks of 3x3 convolutions and three linear layers (Simonyan and Zisserman, ICLR 2015).

    (B, C, side, side) to (B, K), as published with `batch_norm=False`. A bias before batch
    normalisation would have no effect, so there is none.
    """

    def __init__(
        self,
        channels: int,
        classes: int,
        *,
        convolutions: tuple[int, ...],
        side: int,
        width: float = 1.0,
        dropout: float = 0.5,
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        self.features = nn.Sequential()
        given = channels
        for published, count in zip(VGG_STAGES, convolutions, strict=True):
            filters = count_filters(published, width)
            for _ in range(count):
                self.features.append(nn.Conv2d(given, filters, 3, padding=1, bias=not batch_norm))
                if batch_norm:
                    self.features.append(nn.BatchNorm2d(filters))
                self.features.append(nn.ReLU())
                given = filters
            self.features.append(nn.MaxPool2d(2))
        flat, hidden = given * (side // SHRINK) ** 2, count_filters(HIDDEN, width)
        self.classifier = three_linear(flat, hidden, classes, dropout)
        begin_as_he(self)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.classifier(self.features(pictures).flatten(1))


def _register(name: str, convolutions: tuple[int, ...]) -> None:
    @system(name, family="vgg")
    def build(
        channels: int,
        size: int,
        classes: int,
        *,
        side: backbone.Side = backbone.SIDE,
        width: backbone.Width = 0.25,
        dropout: Dropped = 0.5,
        batch_norm: bool = True,
        weights: backbone.OwnWeights = "",
    ) -> backbone.OnMaps:
        network = VGG(
            channels,
            classes,
            convolutions=convolutions,
            side=side,
            width=width,
            dropout=dropout,
            batch_norm=batch_norm,
        )
        backbone.load_own(network, weights)
        return backbone.OnMaps(network, side)


_register("vgg16", VGG16)
_register("vgg19", VGG19)


Branches = tuple[int, int, int, int, int, int]
INCEPTION_STEM = (64, 64, 192)
INCEPTION_STAGES: tuple[tuple[Branches, ...], ...] = (  # Table 1; a pooling lies before each stage
    ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64)),
    (
        (192, 96, 208, 16, 48, 64),
        (160, 112, 224, 24, 64, 64),
        (128, 128, 256, 24, 64, 64),
        (112, 144, 288, 32, 64, 64),
        (256, 160, 320, 32, 128, 128),
    ),
    ((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)),
)


halving = partial(nn.MaxPool2d, kernel_size=3, stride=2, ceil_mode=True)


class GoogLeNet(nn.Module):
    """Stem, nine inception blocks, mean, linear layer (Szegedy et al., CVPR 2015)."""

    def __init__(
        self, channels: int, classes: int, *, width: float = 1.0, dropout: float = 0.4
    ) -> None:
        super().__init__()
        first, second, given = (count_filters(filters, width) for filters in INCEPTION_STEM)
        self.features = nn.Sequential()
        self.features.conv1 = conv_norm(channels, first, 7, stride=2)
        self.features.pool1 = halving()
        self.features.conv2 = conv_norm(first, second, 1)
        self.features.conv3 = conv_norm(second, given, 3)
        for number, blocks in enumerate(INCEPTION_STAGES, start=3):
            self.features.add_module(f"pool{number}", halving())
            for letter, published in zip("abcde", blocks, strict=False):
                block = Inception(given, published, width)
                self.features.add_module(f"inception{number}{letter}", block)
                given = block.filters
        self.dropout = Dropout(dropout)
        self.head = nn.Linear(given, classes)
        begin_as_he(self)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.head(self.dropout(self.features(pictures).mean((2, 3))))


class Inception(nn.Module):
    """Four ways: 1x1; 1x1 and 3x3, twice; pooling and 1x1; `published` are their filters."""

    def __init__(self, given: int, published: Branches, width: float) -> None:
        super().__init__()
        one, before, three, before_wide, wide, pooled = (
            count_filters(filters, width) for filters in published
        )
        self.filters = one + three + wide + pooled
        self.branch1 = conv_norm(given, one, 1)
        self.branch2, self.branch3 = (
            nn.Sequential(conv_norm(given, narrow, 1), conv_norm(narrow, filters, 3))
            for narrow, filters in ((before, three), (before_wide, wide))
        )
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, 1, 1), conv_norm(given, pooled, 1))

    def forward(self, given: Tensor) -> Tensor:
        return torch.cat([way(given) for way in self.children()], dim=1)


def googlenet_name(name: str) -> str:
    """Translate `inception3a.branch1.conv.weight` to `features.inception3a.branch1.0.weight`."""
    name = re.sub(r"^(conv\d|inception)", r"features.\1", name)
    name = name.replace(".conv.", ".0.").replace(".bn.", ".1.")
    return re.sub(r"^(fc|aux\d)\.", "head.", name)


backbone.register_backbone("googlenet", GoogLeNet, googlenet_name, dropout=0.4)
