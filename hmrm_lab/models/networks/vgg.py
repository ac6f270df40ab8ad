"""VGG (Simonyan and Zisserman, ICLR 2015): stacks of 3x3 convolutions and three linear layers."""

from torch import Tensor, nn

from hmrm_lab.models.interface import PICTURE_RECIPE, Dropped, system
from hmrm_lab.models.networks.backbone import (
    SIDE,
    OnMaps,
    OwnWeights,
    Side,
    Width,
    begin_as_he,
    count_filters,
    load_own,
    three_linear,
)

STAGES = (64, 128, 256, 512, 512)  # filters; each stage ends with a pooling that halves the map
SHRINK = 2 ** len(STAGES)
HIDDEN = 4096
VGG16 = (2, 2, 3, 3, 3)  # convolutions of each stage: configuration D
VGG19 = (2, 2, 4, 4, 4)  # configuration E


class VGG(nn.Module):
    """VGG, as published with `batch_norm=False`. (B, C, side, side) to (B, K).

    A bias before batch normalisation would have no effect, so there is none.
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
        for published, count in zip(STAGES, convolutions, strict=True):
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
    @system(name, PICTURE_RECIPE, card="vgg")
    def build(
        channels: int,
        size: int,
        classes: int,
        *,
        side: Side = SIDE,
        width: Width = 0.25,
        dropout: Dropped = 0.5,
        batch_norm: bool = True,
        weights: OwnWeights = "",
    ) -> OnMaps:
        network = VGG(
            channels,
            classes,
            convolutions=convolutions,
            side=side,
            width=width,
            dropout=dropout,
            batch_norm=batch_norm,
        )
        load_own(network, weights)
        return OnMaps(network, side)


_register("vgg16", VGG16)
_register("vgg19", VGG19)
