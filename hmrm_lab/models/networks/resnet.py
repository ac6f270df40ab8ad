"""Residual networks (He et al., CVPR 2016), and what is built of their stages: GEME."""

import re
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hmrm_lab.models.interface import Dropped, system
from hmrm_lab.models.layers import Dropout
from hmrm_lab.models.networks import backbone
from hmrm_lab.models.networks.backbone import EIGHT, begin_as_he, conv_norm, count_filters, enlarge

STEM = 64  # filters of the first convolution
STAGES = (64, 128, 256, 512)
BASIC = (2, 2, 2, 2)  # blocks of each stage of ResNet18
EXPANSION = 4  # of a bottleneck: its output has as many times the filters of its inside


class ResNet(nn.Module):
    """Stem, four stages that halve the map, mean, linear layer. (B, C, H, W) to (B, K)."""

    def __init__(
        self,
        channels: int,
        classes: int,
        *,
        blocks: Sequence[int],
        bottleneck: bool,
        width: float = 1.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        stem, *filters = (count_filters(count, width) for count in (STEM, *STAGES))
        self.stem = pooled_stem(channels, stem)
        self.stages = residual_stages(stem, filters, blocks, bottleneck=bottleneck)
        self.dropout = Dropout(dropout)
        self.head = nn.Linear(filters[-1] * (EXPANSION if bottleneck else 1), classes)
        begin_as_he(self)

    def forward(self, pictures: Tensor) -> Tensor:
        features = self.stages(self.stem(pictures)).mean((2, 3))
        return self.head(self.dropout(features))


def pooled_stem(channels: int, filters: int) -> nn.Sequential:
    """Make a 7x7 convolution and a pooling; the map is a quarter as high and wide."""
    return nn.Sequential(
        conv_norm(channels, filters, 7, stride=2), nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
    )


def residual_stages(
    given: int, filters: Sequence[int], blocks: Sequence[int], *, bottleneck: bool = False
) -> nn.Sequential:
    """Make stages of so many filters and blocks; the first block of all but the first halves."""
    stages = nn.Sequential()
    for inside, count in zip(filters, blocks, strict=True):
        stage = nn.Sequential()
        for number in range(count):
            stride = 2 if len(stages) and not number else 1
            stage.append(Residual(given, inside, stride=stride, bottleneck=bottleneck))
            given = inside * (EXPANSION if bottleneck else 1)
        stages.append(stage)
    return stages


def residual_encoder(channels: int, width: int) -> nn.Sequential:
    """Make a small network of two residual blocks: (B, C, H, H) to (B, D, H / 4, H / 4).

    No layer has fewer than eight filters: of fewer, torch 2.13 writes beyond the memory of a 1x1
    convolution with stride 2, where channels are the last axis in memory.
    """
    quarter, half = max(EIGHT, width // 4), max(EIGHT, width // 2)
    return nn.Sequential(
        conv_norm(channels, quarter, 3),
        Residual(quarter, half, stride=2),
        Residual(half, width, stride=2),
    )


class Residual(nn.Module):
    """Two 3x3 convolutions, or 1x1, 3x3, 1x1 as a bottleneck, with a shortcut. (B, F, H, W)."""

    def __init__(
        self, given: int, filters: int, *, stride: int = 1, bottleneck: bool = False
    ) -> None:
        super().__init__()
        out = filters * EXPANSION if bottleneck else filters
        if bottleneck:
            self.body = nn.Sequential(
                conv_norm(given, filters, 1),
                conv_norm(filters, filters, 3, stride=stride),
                conv_norm(filters, out, 1, activation=None),
            )
        else:
            self.body = nn.Sequential(
                conv_norm(given, filters, 3, stride=stride),
                conv_norm(filters, out, 3, activation=None),
            )
        same = stride == 1 and given == out
        self.shortcut = (
            nn.Identity() if same else conv_norm(given, out, 1, stride=stride, activation=None)
        )

    def forward(self, given: Tensor) -> Tensor:
        return F.relu(self.body(given) + self.shortcut(given))


def torchvision_name(name: str) -> str:
    """Translate `layer2.0.conv1.weight` to `stages.1.0.body.0.0.weight`, and so on."""
    if name.startswith(("conv1.", "bn1.")):
        return re.sub(r"^conv1", "stem.0.0", re.sub(r"^bn1", "stem.0.1", name))
    name = re.sub(r"^layer(\d+)", lambda found: f"stages.{int(found[1]) - 1}", name)
    name = re.sub(r"\.conv(\d)", lambda found: f".body.{int(found[1]) - 1}.0", name)
    name = re.sub(r"\.bn(\d)", lambda found: f".body.{int(found[1]) - 1}.1", name)
    return re.sub(r"^fc\.", "head.", name.replace(".downsample.", ".shortcut."))


for _name, _blocks, _bottleneck in (("resnet18", BASIC, False), ("resnet50", (3, 4, 6, 3), True)):
    _network = partial(ResNet, blocks=_blocks, bottleneck=_bottleneck)
    backbone.register_backbone(_name, _network, torchvision_name, dropout=0.0, family="resnet")


@system("geme")
class GEME(nn.Module):
    """A stream for gender beside the one for expressions (Nie et al., Neurocomputing 2021).

    After each residual stage the second is added to the first by a 1x1 convolution. (B, C, H, H) of
    any `size` to (B, 1, K).
    """

    def __init__(
        self,
        channels: int,
        size: int,
        classes: int,
        *,
        side: backbone.Side = backbone.SIDE,
        width: backbone.Width = 0.125,
        dropout: Dropped = 0.5,
    ) -> None:
        super().__init__()
        self.side = side
        stem, *filters = (count_filters(count, width) for count in (STEM, *STAGES))
        self.expression_stem, self.other_stem = (pooled_stem(channels, stem) for _ in range(2))
        self.expression_stages, self.other_stages = (
            residual_stages(stem, filters, BASIC) for _ in range(2)
        )
        self.passages = nn.ModuleList(nn.Conv2d(count, count, 1) for count in filters)
        self.dropout = Dropout(dropout)
        self.head = nn.Linear(2 * filters[-1], classes)
        begin_as_he(self)

    def forward(self, maps: Tensor) -> Tensor:
        pictures = enlarge(maps, self.side)
        expression, other = self.expression_stem(pictures), self.other_stem(pictures)
        stages = zip(self.expression_stages, self.other_stages, self.passages, strict=True)
        for own_stage, other_stage, passage in stages:
            other = other_stage(other)
            expression = own_stage(expression) + passage(other)
        features = torch.cat([expression, other], dim=1).mean((2, 3))
        return self.head(self.dropout(features))[:, None]
