"""Residual networks (He et al., CVPR 2016): the blocks, and ResNet as a whole."""

from collections.abc import Iterator

from torch import Tensor, nn
from torch.nn import functional as F

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
from hmrm_lab.models.networks.published_weights import OwnWeights, load_own, resnet_name
from hmrm_lab.registry import Card, systems

STEM = 64  # filters of the first convolution
STAGES = (64, 128, 256, 512)
EXPANSION = 4  # of a bottleneck: its output has as many times the filters of its inside

CARD = Card(
    takes="flow maps",
    citation="He et al., Deep Residual Learning for Image Recognition, CVPR 2016",
    fidelity="adapted",
    departures=(ENLARGED, NARROW, OR_OWN_WEIGHTS),
)


class ResNet(nn.Module):
    """Stem, four stages that halve the map, mean over the map, one linear layer.

    Shapes
    ------
    pictures : (B, C, H, W), 32 px a side or more
    returns : (B, `classes`)
    """

    def __init__(
        self,
        channels: int,
        classes: int,
        *,
        blocks: tuple[int, int, int, int],
        bottleneck: bool,
        width: float = 1.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        given = count_filters(STEM, width)
        self.stem = pooled_stem(channels, given)
        self.stages = nn.Sequential()
        for place, (published, count) in enumerate(zip(STAGES, blocks, strict=True)):
            filters = count_filters(published, width)
            stride = 2 if place else 1
            self.stages.append(stage(given, filters, count, stride=stride, bottleneck=bottleneck))
            given = filters * EXPANSION if bottleneck else filters
        self.dropout = Dropout(dropout)
        self.head = nn.Linear(given, classes)
        begin_as_he(self)

    def forward(self, pictures: Tensor) -> Tensor:
        features = self.stages(self.stem(pictures)).mean((2, 3))
        logits: Tensor = self.head(self.dropout(features))
        return logits


def pooled_stem(channels: int, filters: int) -> nn.Sequential:
    """A 7x7 convolution and a pooling; the map is a quarter as high and wide."""
    return nn.Sequential(
        conv_norm(channels, filters, 7, stride=2),
        nn.MaxPool2d(kernel_size=3, stride=2, padding=1),
    )


def stage(
    given: int, filters: int, count: int, *, stride: int, bottleneck: bool = False
) -> nn.Sequential:
    """Residual blocks one after the other; the first has the stride."""
    return nn.Sequential(*_blocks(given, filters, count, stride, bottleneck))


def _blocks(
    given: int, filters: int, count: int, stride: int, bottleneck: bool
) -> Iterator[nn.Module]:
    for place in range(count):
        yield Residual(given, filters, stride=1 if place else stride, bottleneck=bottleneck)
        given = filters * EXPANSION if bottleneck else filters


class Residual(nn.Module):
    """Two 3x3 convolutions, or 1x1, 3x3, 1x1 as a bottleneck, beside a way round them.

    The way round is the identity, or a 1x1 convolution where the shape changes.

    Shapes
    ------
    given : (B, `given`, H, W)
    returns : (B, `filters`, H / stride, W / stride), four times the filters for a bottleneck
    """

    def __init__(self, given: int, filters: int, *, stride: int, bottleneck: bool) -> None:
        super().__init__()
        out = filters * EXPANSION if bottleneck else filters
        self.body = (
            nn.Sequential(
                conv_norm(given, filters, 1),
                conv_norm(filters, filters, 3, stride=stride),
                conv_norm(filters, out, 1, activation=None),
            )
            if bottleneck
            else nn.Sequential(
                conv_norm(given, filters, 3, stride=stride),
                conv_norm(filters, out, 3, activation=None),
            )
        )
        same = stride == 1 and given == out
        self.shortcut = (
            nn.Identity() if same else conv_norm(given, out, 1, stride=stride, activation=None)
        )

    def forward(self, given: Tensor) -> Tensor:
        return F.relu(self.body(given) + self.shortcut(given))


@systems.register("resnet18", recipe=PLAIN, source="He et al. 2016", card=CARD)
def resnet18(
    channels: int,
    size: int,
    classes: int,
    *,
    side: Side = SIDE,
    width: Width = 0.25,
    dropout: Dropped = 0.0,
    weights: OwnWeights = "",
) -> OnMaps:
    """Maps (B, C, H, H) of any `size` to logits (B, 1, K)."""
    network = ResNet(
        channels,
        classes,
        blocks=(2, 2, 2, 2),
        bottleneck=False,
        width=width,
        dropout=dropout,
    )
    load_own(network, weights, resnet_name)
    return OnMaps(network, side)


@systems.register("resnet50", recipe=PLAIN, source="He et al. 2016", card=CARD)
def resnet50(
    channels: int,
    size: int,
    classes: int,
    *,
    side: Side = SIDE,
    width: Width = 0.25,
    dropout: Dropped = 0.0,
    weights: OwnWeights = "",
) -> OnMaps:
    """Maps (B, C, H, H) of any `size` to logits (B, 1, K)."""
    network = ResNet(
        channels,
        classes,
        blocks=(3, 4, 6, 3),
        bottleneck=True,
        width=width,
        dropout=dropout,
    )
    load_own(network, weights, resnet_name)
    return OnMaps(network, side)
