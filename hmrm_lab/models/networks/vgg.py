"""VGG (Simonyan and Zisserman, ICLR 2015): stacks of 3x3 convolutions and three linear layers."""

from torch import Tensor, nn

from hmrm_lab.models.layers import Dropout, Dropped, Linear
from hmrm_lab.models.networks import backbone
from hmrm_lab.models.networks.backbone import begin_as_he, count_filters
from hmrm_lab.registry import Card, systems

STAGES = (64, 128, 256, 512, 512)  # filters; each stage ends with a pooling that halves the map
SHRINK = 2 ** len(STAGES)
HIDDEN = 4096
VGG16 = (2, 2, 3, 3, 3)  # convolutions of each stage: configuration D
VGG19 = (2, 2, 4, 4, 4)  # configuration E

NORMALISED = (
    "batch normalisation after each convolution (option batch_norm), without which it learns next"
    " to nothing from random weights in the few steps of a fold"
)

CARD = Card(
    takes="flow maps",
    citation="Simonyan and Zisserman, Very Deep Convolutional Networks for Large-Scale Image"
    " Recognition, ICLR 2015",
    fidelity="adapted",
    departures=(backbone.ENLARGED, backbone.NARROW, backbone.OR_OWN_WEIGHTS, NORMALISED),
)


class VGG(nn.Module):
    """VGG, as published with `batch_norm=False`. (B, C, side, side) to (B, K)."""

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
                self.features.extend(_convolution(given, filters, batch_norm))
                given = filters
            self.features.append(nn.MaxPool2d(2))
        hidden = count_filters(HIDDEN, width)
        self.classifier = nn.Sequential(
            Linear(given * (side // SHRINK) ** 2, hidden),
            nn.ReLU(),
            Dropout(dropout),
            Linear(hidden, hidden),
            nn.ReLU(),
            Dropout(dropout),
            nn.Linear(hidden, classes),
        )
        begin_as_he(self)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.classifier(self.features(pictures).flatten(1))


def _convolution(given: int, filters: int, batch_norm: bool) -> list[nn.Module]:
    """Make a convolution and ReLU; a bias before batch normalisation would have no effect."""
    layers: list[nn.Module] = [nn.Conv2d(given, filters, 3, padding=1, bias=not batch_norm)]
    if batch_norm:
        layers.append(nn.BatchNorm2d(filters))
    return [*layers, nn.ReLU()]


def _register(name: str, convolutions: tuple[int, ...]) -> None:
    @systems.register(
        name, recipe=backbone.PICTURE_RECIPE, source="Simonyan and Zisserman 2015", card=CARD
    )
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
