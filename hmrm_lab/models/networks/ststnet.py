"""STSTNet: the shallow triple-stream network (Liong et al., FG 2019), 1,683 parameters."""

import torch
from torch import Tensor, nn

from hmrm_lab.models.layers import Dropped
from hmrm_lab.models.networks.backbone import ADAM, recipe
from hmrm_lab.registry import Card, systems

STREAMS = (3, 5, 8)  # filters of the three parallel streams

RECIPE = recipe("u", "v", "strain", normalise="none", epochs=800, batch=256, lr=5e-5, **ADAM)


CARD = Card(
    takes="flow maps",
    citation="Liong et al., Shallow Triple Stream Three-dimensional CNN (STSTNet) for"
    " Micro-expression Recognition, FG 2019",
    fidelity="faithful",
    departures=(
        "the three streams are one convolution with as many filters: the same function",
        "the default preset takes 60 epochs at a larger rate; the paper preset has the published"
        " recipe",
    ),
)


@systems.register("ststnet", recipe=RECIPE, source="Liong et al. 2019", card=CARD)
class STSTNet(nn.Module):
    """Three shallow parallel streams and one linear layer.

    The streams are one convolution with 3 + 5 + 8 filters: the same function and initial weights,
    about twice as fast.

    Shapes
    ------
    maps : (B, C, H, H), H = `size`, 28 in the paper
    returns : (B, 1, K); K = `classes`
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
