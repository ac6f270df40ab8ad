"""MEGANet (Nguyen et al., arXiv 2509.00056): a compact network that attends to gradients."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import convert_conv2d_weight_memory_format

from hmrm_lab.errors import InputError
from hmrm_lab.models.layers import Dropout, Dropped
from hmrm_lab.models.networks.pictures import (
    PLAIN,
    SIDE,
    Side,
    Width,
    begin_as_he,
    conv_norm,
    count_filters,
    enlarge,
)
from hmrm_lab.models.networks.published_weights import OwnWeights, load_own, same_name
from hmrm_lab.models.networks.resnet import Residual
from hmrm_lab.registry import Card, Input, Recipe, systems

STAGES = (64, 128, 256)  # filters at width 1

ON_MESTI: Recipe = {**PLAIN, "input": {"channels": ["mesti"]}}


def _card(takes: Input, given: str) -> Card:
    return Card(
        takes=takes,
        citation="Nguyen et al., MESTI-MEGANet: Micro-expression Spatio-Temporal Image and"
        " Micro-expression Gradient Attention Networks for Micro-expression Recognition,"
        " arXiv 2509.00056, 2025",
        fidelity="sketch",
        departures=(
            "known to us in words alone: that it attends to gradients; stages, filters and the form"
            " of the attention are of our choice (decision 0019)",
            given,
            "trained from random weights, by a plain recipe, unless option weights names a"
            " safetensors file of your own",
        ),
    )


@systems.register(
    "meganet_mesti",
    recipe=ON_MESTI,
    source="Nguyen et al. 2025",
    card=_card("pictures", "reads our MESTI, which is derived as well (decision 0018)"),
)
@systems.register(
    "meganet",
    recipe=PLAIN,
    source="Nguyen et al. 2025",
    card=_card(
        "flow maps",
        f"reads flow maps, enlarged from 28 to {SIDE} pixels (option side), where the paper reads"
        " MESTI: system meganet_mesti",
    ),
)
class MEGANet(nn.Module):
    """A stem and three residual stages that halve the map, each followed by gradient attention.

    Shapes
    ------
    maps : (B, C, H, H) of any `size`
    returns : (B, 1, K); K = `classes`
    """

    def __init__(
        self,
        channels: int,
        size: int,
        classes: int,
        *,
        side: Side = SIDE,
        width: Width = 0.25,
        attention: Literal["gradient", "none"] = "gradient",
        dropout: Dropped = 0.2,
        weights: OwnWeights = "",
    ) -> None:
        super().__init__()
        self.side = side
        filters = [count_filters(count, width) for count in STAGES]
        self.stem = conv_norm(channels, filters[0], 3, stride=2)
        given = [filters[0], *filters[:-1]]
        self.stages = nn.ModuleList(
            Residual(before, after, stride=2 if place else 1, bottleneck=False)
            for place, (before, after) in enumerate(zip(given, filters, strict=True))
        )
        attends = attention == "gradient"
        self.attention = nn.ModuleList(
            GradientAttention() if attends else nn.Identity() for _ in STAGES
        )
        self.dropout = Dropout(dropout)
        self.head = nn.Linear(filters[-1], classes)
        begin_as_he(self)
        load_own(self, weights, same_name)

    def forward(self, maps: Tensor) -> Tensor:
        features = self.stem(enlarge(maps, self.side))
        for stage, attend in zip(self.stages, self.attention, strict=True):
            features = attend(stage(features))
        logits: Tensor = self.head(self.dropout(features.mean((2, 3))))
        return logits[:, None]


@torch.no_grad()
def attention_maps(model: nn.Module, pictures: Tensor) -> Tensor:
    """Where MEGANet attends, from 0 to 1: the mean of its three maps, in the size of the first.

    Read without dropout and with the averages of batch normalisation, whatever mode it is in.

    Shapes
    ------
    pictures : (B, C, H, H), as the model is given them
    returns : (B, h, w), h = w = side / 2

    Raises
    ------
    InputError
        If the model is no MEGANet, or one without attention.
    """
    blocks = [block for block in model.modules() if isinstance(block, GradientAttention)]
    if not isinstance(model, MEGANet) or not blocks:
        raise InputError(
            "this model has no gradient attention",
            mend="take meganet with model.attention=gradient",
        )
    was_training = model.training
    model.eval()
    maps: list[Tensor] = []
    features = model.stem(enlarge(pictures, model.side))
    for stage, attend in zip(model.stages, blocks, strict=True):
        features = stage(features)
        maps.append(attend.weights(features))
        features = attend(features)
    model.train(was_training)
    shape = maps[0].shape[-2:]
    same = [F.interpolate(one, shape, mode="bilinear", align_corners=False) for one in maps]
    return torch.stack(same).mean(0)[:, 0]


KERNEL = 7  # pixels that one weight of the map looks at, along a side
TINY = 1e-6  # under the root, whose slope at zero is not finite; and where nothing changes


class GradientAttention(nn.Module):
    """Features times 1 + A, where A in 0..1 is read from the size of their gradient.

    That size is divided by its mean over the map, so that a weak picture gets the attention of a
    strong one.

    Shapes
    ------
    features, returns : (B, D, H, W)
    """

    def __init__(self) -> None:
        super().__init__()
        self.weigh = nn.Conv2d(1, 1, KERNEL, padding=KERNEL // 2)
        # In this order of memory torch computes it in half the time.
        convert_conv2d_weight_memory_format(self.weigh, torch.channels_last)

    def forward(self, features: Tensor) -> Tensor:
        return features * (1 + self.weights(features))

    def weights(self, features: Tensor) -> Tensor:
        """The attention map A, (B, 1, H, W)."""
        size = gradient_size(features)
        relative = size / (size.mean((2, 3), keepdim=True) + TINY)
        return torch.sigmoid(self.weigh(relative))


def gradient_size(maps: Tensor) -> Tensor:
    """The length of Sobel's gradient at each pixel, over all maps together (root mean square).

    Borders are continued by their own values, so that the edge of a map is no edge of the face.

    Shapes
    ------
    maps : (B, D, H, W)
    returns : (B, 1, H, W), change per pixel
    """
    padded = F.pad(maps, (1, 1, 1, 1), mode="replicate")
    across = (padded[..., 2:] - padded[..., :-2]) / 2  # (B, D, H + 2, W)
    down = (padded[..., 2:, :] - padded[..., :-2, :]) / 2  # (B, D, H, W + 2)
    across = (across[..., :-2, :] + 2 * across[..., 1:-1, :] + across[..., 2:, :]) / 4
    down = (down[..., :-2] + 2 * down[..., 1:-1] + down[..., 2:]) / 4
    return ((across**2 + down**2).mean(1, keepdim=True) + TINY**2).sqrt()
