"""Shallow networks: the perceptron over regions, STSTNet and OFF-ApexNet."""

from typing import Literal

import torch
from torch import Tensor, nn

from hmrm_lab.models.hmrm.region_fusion import MAP_SIDE, REGIONS, WINDOW, split_regions
from hmrm_lab.models.interface import Dropped, Features, system
from hmrm_lab.models.layers import Dropout, Linear
from hmrm_lab.models.networks.backbone import three_linear


@system("mlp")
class RegionMLP(nn.Module):
    """The baseline: a shared layer for each region of HMRM, one for all of them, and a linear head.

    (B, C, H, H), H = `size`, a multiple of 28, to (B, 1, K).
    """

    def __init__(
        self,
        channels: int,
        size: int,
        classes: int,
        *,
        width: Features = 32,
        hidden: Features = 64,
        regions: Literal["core", "sub", "both"] = "both",
        dropout: Dropped = 0.4,
    ) -> None:
        super().__init__()
        self.regions = regions
        pixels = WINDOW**2 * channels * (size // MAP_SIDE) ** 2
        self.embed = nn.Sequential(Linear(pixels, width), nn.GELU())
        self.mix = nn.Sequential(
            Dropout(dropout), Linear(REGIONS[regions] * width, hidden), nn.GELU(), Dropout(dropout)
        )
        self.head = nn.Linear(hidden, classes)

    def tokens(self, maps: Tensor) -> Tensor:
        """Flatten the regions. (B, R, 49 P C), R = 4, 16 or 20; P as in `split_regions`."""
        coarse, fine = split_regions(maps)
        chosen = {"core": [coarse], "sub": [fine], "both": [coarse, fine]}[self.regions]
        return torch.cat(chosen, dim=1).flatten(2)

    def forward(self, maps: Tensor) -> Tensor:
        return self.head(self.mix(self.embed(self.tokens(maps)).flatten(1)))[:, None]


STREAMS = (3, 5, 8)  # filters of the three parallel streams


@system("ststnet")
class STSTNet(nn.Module):
    """Three shallow parallel streams and one linear layer (Liong et al. 2019): 1,683 parameters.

    The streams are one convolution with 3 + 5 + 8 filters: the same function and initial weights,
    about twice as fast. (B, C, H, H), H = `size`, 28 in the paper, to (B, 1, K).
    """

    def __init__(self, channels: int, size: int, classes: int, *, dropout: Dropped = 0.5) -> None:
        super().__init__()
        filters = sum(STREAMS)
        side = (size + 1) // 3 + 1  # after padding by 2 and pooling by 3
        self.streams = nn.Sequential(
            nn.Conv2d(channels, filters, kernel_size=3, padding=2),
            nn.ReLU(),
            nn.BatchNorm2d(filters),
            nn.MaxPool2d(kernel_size=3, stride=3, padding=1),
            nn.Dropout(dropout),
            nn.AvgPool2d(kernel_size=2),
            nn.Flatten(),
        )
        self.head = nn.Linear(filters * (side // 2) ** 2, classes)

    def forward(self, maps: Tensor) -> Tensor:
        features = self.streams(maps.contiguous(memory_format=torch.channels_last))  # (B, 400)
        return self.head(features)[:, None]


FILTERS = (6, 16)  # of the two convolutions of a stream
KERNEL, HIDDEN = 5, 1024


@system("off_apexnet")
class OffApexNet(nn.Module):
    """Two 5x5 convolutions with pooling for each channel; then three linear layers.

    Gan et al., Signal Processing: Image Communication 2019: with u and v of 28 px it has the
    published 2.66 million parameters. (B, C, H, H), H = `size`, to (B, 1, K).
    """

    def __init__(self, channels: int, size: int, classes: int, *, dropout: Dropped = 0.0) -> None:
        super().__init__()
        self.streams, given = nn.Sequential(), channels
        for filters in FILTERS:
            shape = given, filters * channels, KERNEL
            convolution = nn.Conv2d(*shape, padding=KERNEL // 2, groups=channels)
            self.streams.extend([convolution, nn.ReLU(), nn.MaxPool2d(2)])
            given = filters * channels
        self.streams.append(nn.Flatten())
        self.classifier = three_linear(given * (size // 4) ** 2, HIDDEN, classes, dropout)

    def forward(self, maps: Tensor) -> Tensor:
        features = self.streams(maps.contiguous(memory_format=torch.channels_last))
        return self.classifier(features)[:, None]
