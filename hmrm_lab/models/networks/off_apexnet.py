"""OFF-ApexNet (Gan et al., Signal Processing: Image Communication 2019): two shallow streams."""

import torch
from torch import Tensor, nn

from hmrm_lab.models.layers import Dropout, Dropped, Linear
from hmrm_lab.models.networks.backbone import ADAM, recipe
from hmrm_lab.registry import Card, systems

FILTERS = (6, 16)  # of the two convolutions of a stream
KERNEL = 5
HIDDEN = 1024

RECIPE = recipe("u", "v", normalise="none", epochs=40, batch=64, lr=1e-4, **ADAM)

CARD = Card(
    takes="flow maps",
    citation="Gan et al., OFF-ApexNet on Micro-expression Recognition System, Signal Processing:"
    " Image Communication 2019",
    fidelity="adapted",
    departures=(
        "the streams of u and v are one convolution in groups: the same function",
        "ReLU after each layer, and the recipe (Adam, 1e-4, batch 64, 40 epochs) are ours",
    ),
)


@systems.register("off_apexnet", recipe=RECIPE, source="Gan et al. 2019", card=CARD)
class OffApexNet(nn.Module):
    """Two 5x5 convolutions with pooling for each channel; then three linear layers.

    With u and v of 28 px it has the published 2.66 million parameters.

    Shapes
    ------
    maps : (B, C, H, H), H = `size`, 28 in the paper
    returns : (B, 1, K); K = `classes`
    """

    def __init__(self, channels: int, size: int, classes: int, *, dropout: Dropped = 0.0) -> None:
        super().__init__()
        first, second = (filters * channels for filters in FILTERS)
        self.streams = nn.Sequential(
            nn.Conv2d(channels, first, KERNEL, padding=KERNEL // 2, groups=channels),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(first, second, KERNEL, padding=KERNEL // 2, groups=channels),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
        )
        self.classifier = nn.Sequential(
            Linear(second * (size // 4) ** 2, HIDDEN),
            nn.ReLU(),
            Dropout(dropout),
            Linear(HIDDEN, HIDDEN),
            nn.ReLU(),
            Dropout(dropout),
            nn.Linear(HIDDEN, classes),
        )

    def forward(self, maps: Tensor) -> Tensor:
        features = self.streams(maps.contiguous(memory_format=torch.channels_last))
        return self.classifier(features)[:, None]
