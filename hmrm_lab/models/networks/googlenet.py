"""GoogLeNet (Szegedy et al., CVPR 2015) on motion maps."""

import torch
from torch import Tensor, nn

from hmrm_lab.models.layers import Dropout, Dropped
from hmrm_lab.models.networks.pictures import (
    ENLARGED,
    NARROW,
    OR_OWN_WEIGHTS,
    PLAIN,
    SIDE,
    OnMaps,
    Side,
    Width,
    begin_as_he,
    conv_norm,
    count_filters,
)
from hmrm_lab.models.networks.published_weights import OwnWeights, googlenet_name, load_own
from hmrm_lab.registry import Card, systems

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

CARD = Card(
    takes="flow maps",
    citation="Szegedy et al., Going Deeper with Convolutions, CVPR 2015",
    fidelity="adapted",
    departures=(
        ENLARGED,
        NARROW,
        OR_OWN_WEIGHTS,
        "without the two auxiliary heads",
        "batch normalisation after each convolution in place of local response normalisation, and"
        " 3x3 in place of 5x5, as in the widely used version of 6,624,904 parameters",
    ),
)


@systems.register("googlenet", recipe=PLAIN, source="Szegedy et al. 2015", card=CARD)
def googlenet(
    channels: int,
    size: int,
    classes: int,
    *,
    side: Side = SIDE,
    width: Width = 0.25,
    dropout: Dropped = 0.4,
    weights: OwnWeights = "",
) -> OnMaps:
    """Maps (B, C, H, H) of any `size` to logits (B, 1, K)."""
    network = GoogLeNet(channels, classes, width=width, dropout=dropout)
    load_own(network, weights, googlenet_name)
    return OnMaps(network, side)


class GoogLeNet(nn.Module):
    """Stem, nine inception blocks, mean over the map, one linear layer.

    Shapes
    ------
    pictures : (B, C, H, W), 32 px a side or more
    returns : (B, `classes`)
    """

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
        logits: Tensor = self.head(self.dropout(features))
        return logits


class Inception(nn.Module):
    """Four ways side by side: 1x1, 3x3, 3x3, and a pooling; the latter three with a 1x1 too.

    `published` has the filters of: the 1x1; the 3x3 and the 1x1 before it, which comes first; the
    same for the other 3x3; the 1x1 after the pooling.

    Shapes
    ------
    given : (B, `given`, H, W)
    returns : (B, `filters`, H, W)
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
