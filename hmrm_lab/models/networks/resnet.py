"""Residual networks (He et al., CVPR 2016), and what is built of their blocks."""

import re
from collections.abc import Sequence
from functools import partial
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from hmrm_lab.models.interface import SHARPNESS, Dropped, Features, system
from hmrm_lab.models.layers import Dropout, Linear
from hmrm_lab.models.networks import backbone
from hmrm_lab.models.networks.backbone import begin_as_he, conv_norm, count_filters, enlarge

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
    """Make a small network of two residual blocks: (B, C, H, H) to (B, D, H / 4, H / 4)."""
    quarter, half = max(1, width // 4), max(1, width // 2)
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


SHRINK = 8  # of the residual part; the authors' has no pooling after the first convolution
FEATURES = 256
KINDS, PRIMARY = 32, 8  # kinds of primary capsules, and their dimensions
CLASS_DIMENSIONS = 16
PUBLISHED_MAP, PUBLISHED_KERNEL = 28, 9  # for a picture of 224 px
TINY = 1e-8


@system("capsulenet")
class CapsuleNet(nn.Module):
    """ResNet18 to its third stage, two convolutions, primary capsules, one capsule per class.

    Van Quang et al., FG 2019. The authors' kernels are 9x9 on a map of 28x28, which leaves 6x6
    capsules of each kind; on a smaller map both are smaller: 2x2 and 3x3 for 56 px. (B, C, H, H) of
    any `size` to (B, 1, K), ten times the lengths of the class capsules.
    """

    def __init__(
        self,
        channels: int,
        size: int,
        classes: int,
        *,
        side: backbone.Side = backbone.SIDE,
        width: backbone.Width = 0.25,
        routings: Annotated[int, Field(ge=1, le=64)] = 3,
    ) -> None:
        super().__init__()
        self.side = side
        stem, *filters = (count_filters(count, width) for count in (STEM, *STAGES[:3]))
        features = count_filters(FEATURES, width)
        shrunk = -(-side // SHRINK)
        kernel = max(1, round(shrunk * PUBLISHED_KERNEL / PUBLISHED_MAP))
        grid = (shrunk - 2 * kernel + 1) // 2 + 1
        self.residual = nn.Sequential(
            conv_norm(channels, stem, 7, stride=2),
            *residual_stages(stem, filters, BASIC[:3]),
            nn.Conv2d(filters[-1], features, kernel),
            nn.ReLU(),
        )
        self.primary = nn.Conv2d(features, KINDS * PRIMARY, kernel, stride=2)
        self.classes = ClassCapsules(KINDS * grid**2, classes, routings)
        begin_as_he(self)

    def forward(self, maps: Tensor) -> Tensor:
        primary = self.primary(self.residual(enlarge(maps, self.side)))  # (B, 256, G, G)
        capsules = squash(primary.permute(0, 2, 3, 1).unflatten(-1, (KINDS, PRIMARY)))
        lengths = self.classes(capsules.flatten(1, 3)).norm(dim=-1)  # (B, K)
        return SHARPNESS * lengths[:, None]


class ClassCapsules(nn.Module):
    """Routing by agreement (Sabour et al., NIPS 2017, Procedure 1). (B, I, 8) to (B, K, 16)."""

    def __init__(self, capsules: int, classes: int, routings: int) -> None:
        super().__init__()
        self.classes, self.routings = classes, routings
        self.weight = nn.Parameter(0.1 * torch.randn(capsules, PRIMARY, classes * CLASS_DIMENSIONS))

    def forward(self, capsules: Tensor) -> Tensor:
        votes = torch.bmm(capsules.transpose(0, 1), self.weight)  # (I, B, K * 16)
        votes = votes.unflatten(-1, (self.classes, CLASS_DIMENSIONS)).transpose(0, 1)
        agreed = votes.new_zeros(votes.shape[:3])  # (B, I, K)
        for _ in range(self.routings):
            output = squash(torch.einsum("bik,bikd->bkd", agreed.softmax(-1), votes))
            agreed = agreed + torch.einsum("bikd,bkd->bik", votes, output)
        return output


def squash(vectors: Tensor) -> Tensor:
    """Change the lengths l of vectors to l^2 / (1 + l^2)."""
    squared = vectors.square().sum(-1, keepdim=True)
    return vectors * squared / (1 + squared) / (squared + TINY).sqrt()


@system("attribute_embedding")
class AttributeEmbedding(nn.Module):
    """Maps and attributes in one space; a class is a mixture of attributes, all of it learnt.

    Song et al., arXiv 2205.14643: attributes embedded beside motion, joined by a contrast.
    Logits are cosines between a map's embedding and those of the classes, and with
    `loss.action_units` those of the action units, times ten. (B, C, H, H) to (B, 1, K).
    """

    def __init__(
        self,
        channels: int,
        size: int,
        classes: int,
        *,
        width: Features = 64,  # of the space
        attributes: Features = 12,
        contrast: Annotated[float, Field(ge=0, le=64)] = 0.1,  # weight of its loss
        dropout: Dropped = 0.2,
    ) -> None:
        super().__init__()
        self.contrast = contrast
        self.encode = residual_encoder(channels, width)
        self.dropout = Dropout(dropout)
        self.embed = Linear(width, width)
        self.attributes = nn.Parameter(torch.randn(attributes, width))
        self.shares = nn.Parameter(torch.randn(classes, attributes))  # in front of a softmax

    def forward(self, maps: Tensor) -> Tensor:
        return self.forward_tasks(maps)[0]

    def forward_tasks(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits, and the contrastive loss of maps and the attributes that they show."""
        features = self.encode(maps.contiguous(memory_format=torch.channels_last)).mean((2, 3))
        motion = F.normalize(self.embed(self.dropout(features)), dim=-1)  # (B, D)
        attributes = F.normalize(self.attributes, dim=-1)  # (A, D)
        classes = F.normalize(self.shares.softmax(-1) @ attributes, dim=-1)  # (K, D)
        shown = (SHARPNESS * motion @ attributes.mT).softmax(-1) @ attributes  # (B, D)
        alike = SHARPNESS * motion @ F.normalize(shown, dim=-1).mT  # (B, B)
        own = torch.arange(len(maps), device=maps.device)  # each finds its own, both ways
        loss = (F.cross_entropy(alike, own) + F.cross_entropy(alike.mT, own)) / 2
        return SHARPNESS * (motion @ classes.mT)[:, None], self.contrast * loss
