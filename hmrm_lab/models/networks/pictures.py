"""What networks made for pictures of 224 pixels share when they read motion maps of 28.

One way for all of them: the map is enlarged to `side` pixels, bilinearly, and the network is as
published but for its `width`, the share of its filters. `side=224` and `width=1` are the
published network, which is too slow for a leave-one-subject-out on a CPU.
"""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from hmrm_lab.registry import Recipe

Side = Annotated[int, Field(ge=32, le=448)]  # pixels of the enlarged map
Width = Annotated[float, Field(gt=0, le=1)]  # share of the published filters

SIDE = 56  # twice the map: the last features of a network that halves five times are 2x2
EIGHT = 8  # filters are counted in eights, as EfficientNet does, and as a processor reads them

PLAIN: Recipe = {
    "input": {"channels": ["u", "v", "strain"], "normalise": "median_rms"},
    "augment": {"motionmix": 0.0},
    "loss": {"gamma": 0.0},
    "training": {
        "epochs": 12,
        "batch": 32,
        "optimizer": "adam",
        "lr": 2e-3,
        "weight_decay": 0.0,
        "schedule": "cosine",
    },
}
"""For networks whose authors never trained them on motion maps."""

ENLARGED = (
    f"reads flow maps, enlarged from 28 to {SIDE} pixels (option side), where pictures had 224"
)
NARROW = "a quarter of the published filters (option width), so that it trains on a CPU"
FROM_SCRATCH = "trained from random weights, by a plain recipe, without pictures before"
OR_OWN_WEIGHTS = (
    f"{FROM_SCRATCH}, unless option weights names a safetensors file of your own; it must be of the"
    " same width, and its last layers are not taken"
)


class OnMaps(nn.Module):
    """A network for pictures that is given enlarged maps.

    Shapes
    ------
    maps : (B, C, H, W)
    returns : (B, 1, K); the network gives (B, K) for pictures (B, C, side, side)
    """

    def __init__(self, network: nn.Module, side: int) -> None:
        super().__init__()
        self.network = network
        self.side = side

    def forward(self, maps: Tensor) -> Tensor:
        logits: Tensor = self.network(enlarge(maps, self.side))
        return logits[:, None]


def enlarge(maps: Tensor, side: int) -> Tensor:
    """(B, C, H, W) to (B, C, side, side), bilinear, in the memory order that convolutions like."""
    larger = F.interpolate(maps, size=(side, side), mode="bilinear", align_corners=False)
    return larger.contiguous(memory_format=torch.channels_last)


def count_filters(published: int, width: float) -> int:
    """This share of the published filters, to the nearest multiple of eight, at least eight."""
    return max(EIGHT, round(published * width / EIGHT) * EIGHT)


def conv_norm(
    given: int,
    filters: int,
    kernel: int,
    *,
    stride: int = 1,
    groups: int = 1,
    activation: type[nn.Module] | None = nn.ReLU,
) -> nn.Sequential:
    """Convolution, batch normalisation, activation; the map keeps its size up to the stride."""
    layers: list[nn.Module] = [
        nn.Conv2d(given, filters, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(filters),
    ]
    return nn.Sequential(*layers, *([activation()] if activation else []))


@torch.no_grad()
def begin_as_he(network: nn.Module) -> None:
    """Draw the convolutions' weights as He et al. 2015 do for ReLU; biases begin at zero.

    What one number of the input reaches, `fan_out`, is counted within its group, which torch's own
    function does not do.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            fan_out = layer.out_channels // layer.groups * layer.weight[0, 0].numel()
            nn.init.normal_(layer.weight, std=(2 / fan_out) ** 0.5)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
