"""GoogLeNet (Szegedy et al., CVPR 2015) on motion maps."""

import re

import torch
from torch import Tensor, nn

from hmrm_lab.models.layers import Dropout
from hmrm_lab.models.networks.backbone import (
    begin_as_he,
    conv_norm,
    count_filters,
    register_backbone,
)

Branches = tuple[int, int, int, int, int, int]
STEM = (64, 64, 192)
STAGES: tuple[tuple[Branches, ...], ...] = (  # Table 1; a pooling lies before each stage
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


class GoogLeNet(nn.Module):
    """Stem, nine inception blocks, mean over the map, linear layer. (B, C, H, W) to (B, K)."""

    def __init__(
        self, channels: int, classes: int, *, width: float = 1.0, dropout: float = 0.4
    ) -> None:
        super().__init__()
        first, second, given = (count_filters(filters, width) for filters in STEM)
        self.stem = nn.Sequential(
            conv_norm(channels, first, 7, stride=2),
            _halve(),
            conv_norm(first, second, 1),
            conv_norm(second, given, 3),
        )
        self.stages = nn.Sequential()
        for blocks in STAGES:
            self.stages.append(_halve())
            for published in blocks:
                block = Inception(given, published, width)
                self.stages.append(block)
                given = block.filters
        self.dropout = Dropout(dropout)
        self.head = nn.Linear(given, classes)
        begin_as_he(self)

    def forward(self, pictures: Tensor) -> Tensor:
        features = self.stages(self.stem(pictures)).mean((2, 3))
        return self.head(self.dropout(features))


class Inception(nn.Module):
    """Four parallel ways: 1x1; 1x1 and 3x3, twice; pooling and 1x1. (B, F, H, W).

    `published` has the filters of these convolutions, in this order.
    """

    def __init__(self, given: int, published: Branches, width: float) -> None:
        super().__init__()
        one, before, three, before_wide, wide, pooled = (
            count_filters(filters, width) for filters in published
        )
        self.filters = one + three + wide + pooled
        self.ways = nn.ModuleList(
            [
                conv_norm(given, one, 1),
                nn.Sequential(conv_norm(given, before, 1), conv_norm(before, three, 3)),
                nn.Sequential(conv_norm(given, before_wide, 1), conv_norm(before_wide, wide, 3)),
                nn.Sequential(nn.MaxPool2d(3, 1, 1), conv_norm(given, pooled, 1)),
            ]
        )

    def forward(self, given: Tensor) -> Tensor:
        return torch.cat([way(given) for way in self.ways], dim=1)


def _halve() -> nn.MaxPool2d:
    return nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True)


INCEPTIONS = {"3a": 1, "3b": 2, "4a": 4, "4b": 5, "4c": 6, "4d": 7, "4e": 8, "5a": 10, "5b": 11}
"""Positions in `GoogLeNet.stages`; a pooling lies at 0, 3 and 9."""


def torchvision_name(name: str) -> str:
    """Translate `inception3a.branch2.1.conv.weight` to `stages.1.ways.1.1.0.weight`, etc."""

    def way(found: re.Match[str]) -> str:
        stage = INCEPTIONS.get(found[1])
        return found[0] if stage is None else f"stages.{stage}.ways.{int(found[2]) - 1}"

    name = re.sub(r"^inception(\w\w)\.branch(\d)", way, name)
    name = re.sub(r"^conv1\.", "stem.0.", name)
    name = re.sub(r"^conv([23])\.", r"stem.\1.", name)
    name = name.replace(".conv.", ".0.").replace(".bn.", ".1.")
    return re.sub(r"^(fc|aux\d)\.", "head.", name)


register_backbone("googlenet", GoogLeNet, torchvision_name, dropout=0.4)
