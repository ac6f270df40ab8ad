"""EfficientNet-B0 (Tan and Le, ICML 2019) on motion maps."""

import re
from functools import partial

from torch import Tensor, nn

from hmrm_lab.models.layers import Dropout
from hmrm_lab.models.networks.backbone import (
    begin_as_he,
    conv_norm,
    count_filters,
    register_backbone,
)

STEM, LAST = 32, 1280
STAGES = (  # Table 1: expansion, filters, blocks, kernel, stride
    (1, 16, 1, 3, 1),
    (6, 24, 2, 3, 2),
    (6, 40, 2, 5, 2),
    (6, 80, 3, 3, 2),
    (6, 112, 3, 5, 1),
    (6, 192, 4, 5, 2),
    (6, 320, 1, 3, 1),
)
SQUEEZE = 4  # a gate sees the filters through a quarter of those that enter its block

convolution = partial(conv_norm, activation=nn.SiLU)


class EfficientNetB0(nn.Module):
    """Stem, sixteen inverted bottlenecks, 1x1 convolution, mean, linear. (B, C, H, W) to (B, K)."""

    def __init__(
        self, channels: int, classes: int, *, width: float = 1.0, dropout: float = 0.2
    ) -> None:
        super().__init__()
        given, last = count_filters(STEM, width), count_filters(LAST, width)
        self.stem = convolution(channels, given, 3, stride=2)
        self.blocks = nn.Sequential()
        for expansion, published, count, kernel, stride in STAGES:
            filters = count_filters(published, width)
            for place in range(count):
                step = 1 if place else stride
                block = InvertedBottleneck(given, filters, expansion, kernel, stride=step)
                self.blocks.append(block)
                given = filters
        self.last = convolution(given, last, 1)
        self.dropout = Dropout(dropout)
        self.head = nn.Linear(last, classes)
        begin_as_he(self)

    def forward(self, pictures: Tensor) -> Tensor:
        features = self.last(self.blocks(self.stem(pictures))).mean((2, 3))
        return self.head(self.dropout(features))


class InvertedBottleneck(nn.Module):
    """Widen, convolve depth-wise, gate, narrow; with a shortcut if shapes agree. (B, F, H, W)."""

    def __init__(
        self, given: int, filters: int, expansion: int, kernel: int, *, stride: int
    ) -> None:
        super().__init__()
        inside = given * expansion
        self.body = nn.Sequential()
        if expansion > 1:
            self.body.append(convolution(given, inside, 1))
        self.body.append(convolution(inside, inside, kernel, stride=stride, groups=inside))
        self.body.append(Gate(inside, max(1, given // SQUEEZE)))
        self.body.append(convolution(inside, filters, 1, activation=None))
        self.adds = stride == 1 and given == filters

    def forward(self, given: Tensor) -> Tensor:
        return given + self.body(given) if self.adds else self.body(given)


class Gate(nn.Module):
    """Squeeze and excitation: filters weighted by the means of all. (B, F, H, W)."""

    def __init__(self, filters: int, squeezed: int) -> None:
        super().__init__()
        narrow, widen = nn.Conv2d(filters, squeezed, 1), nn.Conv2d(squeezed, filters, 1)
        self.weigh = nn.Sequential(narrow, nn.SiLU(), widen, nn.Sigmoid())

    def forward(self, given: Tensor) -> Tensor:
        return given * self.weigh(given.mean((2, 3), keepdim=True))


def torchvision_name(name: str) -> str:
    """Translate `features.2.1.block.2.fc1.weight` to `blocks.2.body.2.weigh.0.weight`, etc."""
    counts = [count for _, _, count, _, _ in STAGES]

    def block(found: re.Match[str]) -> str:
        return f"blocks.{sum(counts[: int(found[1]) - 1]) + int(found[2])}.body"

    name = re.sub(r"^features\.(\d+)\.(\d+)\.block", block, name)
    name = re.sub(r"^features\.0\.", "stem.", name)
    name = re.sub(rf"^features\.{len(STAGES) + 1}\.", "last.", name)
    name = name.replace(".fc1.", ".weigh.0.").replace(".fc2.", ".weigh.2.")
    return re.sub(r"^classifier\.1\.", "head.", name)


register_backbone("efficientnet_b0", EfficientNetB0, torchvision_name, dropout=0.2)
