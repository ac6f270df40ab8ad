"""MEGANet (Nguyen et al., arXiv 2509.00056): a compact network that attends to gradients."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import convert_conv2d_weight_memory_format

from hmrm_lab.errors import InputError
from hmrm_lab.models.interface import Dropped, system
from hmrm_lab.models.layers import Dropout, evaluation_mode
from hmrm_lab.models.networks import backbone
from hmrm_lab.models.networks.backbone import begin_as_he, conv_norm, count_filters, enlarge
from hmrm_lab.models.networks.resnet import Residual

STAGES = (64, 128, 256)  # filters at width 1


@system("meganet_mesti")
@system("meganet")
class MEGANet(nn.Module):
    """A stem and three residual stages, each followed by gradient attention.

    (B, C, H, H) of any `size` to (B, 1, K).
    """

    def __init__(
        self,
        channels: int,
        size: int,
        classes: int,
        *,
        side: backbone.Side = backbone.SIDE,
        width: backbone.Width = 0.25,
        attention: Literal["gradient", "none"] = "gradient",
        dropout: Dropped = 0.2,
        weights: backbone.OwnWeights = "",
    ) -> None:
        super().__init__()
        self.side = side
        filters = [count_filters(count, width) for count in STAGES]
        self.stem = conv_norm(channels, filters[0], 3, stride=2)
        given = [filters[0], *filters[:-1]]
        self.stages = nn.ModuleList(
            Residual(before, after, stride=2 if place else 1)
            for place, (before, after) in enumerate(zip(given, filters, strict=True))
        )
        attends = GradientAttention if attention == "gradient" else nn.Identity
        self.attention = nn.ModuleList(attends() for _ in STAGES)
        self.dropout = Dropout(dropout)
        self.head = nn.Linear(filters[-1], classes)
        begin_as_he(self)
        backbone.load_own(self, weights)

    def forward(self, maps: Tensor) -> Tensor:
        features = self.stem(enlarge(maps, self.side))
        for stage, attend in zip(self.stages, self.attention, strict=True):
            features = attend(stage(features))
        return self.head(self.dropout(features.mean((2, 3))))[:, None]


@torch.no_grad()
def attention_maps(model: nn.Module, pictures: Tensor) -> Tensor:
    """Average the three attention maps of MEGANet, 0..1, in the size of the first.

    Pictures (B, C, H, H), as the model is given them, to (B, h, w), h = w = side / 2. The model is
    evaluated in evaluation mode. Raises `InputError` if it is no MEGANet, or one without attention.
    """
    blocks = [block for block in model.modules() if isinstance(block, GradientAttention)]
    if not isinstance(model, MEGANet) or not blocks:
        hint = "take meganet with model.attention=gradient"
        raise InputError("this model has no gradient attention", hint=hint)
    maps: list[Tensor] = []
    with evaluation_mode(model):
        features = model.stem(enlarge(pictures, model.side))
        for stage, attend in zip(model.stages, blocks, strict=True):
            features = stage(features)
            maps.append(attend.weights(features))
            features = attend(features)
    shape = maps[0].shape[-2:]
    same = [F.interpolate(one, shape, mode="bilinear", align_corners=False) for one in maps]
    return torch.stack(same).mean(0)[:, 0]


KERNEL = 7  # pixels along a side
TINY = 1e-6  # keeps the root differentiable and the mean above zero


class GradientAttention(nn.Module):
    """Multiply features by 1 + A, A in 0..1 from the size of their gradient over its mean."""

    def __init__(self) -> None:
        super().__init__()
        self.weigh = nn.Conv2d(1, 1, KERNEL, padding=KERNEL // 2)
        # In this order of memory torch computes it in half the time.
        convert_conv2d_weight_memory_format(self.weigh, torch.channels_last)

    def forward(self, features: Tensor) -> Tensor:
        return features * (1 + self.weights(features))

    def weights(self, features: Tensor) -> Tensor:
        """Compute the attention map A, (B, 1, H, W)."""
        size = gradient_size(features)
        relative = size / (size.mean((2, 3), keepdim=True) + TINY)
        return torch.sigmoid(self.weigh(relative))


def gradient_size(maps: Tensor) -> Tensor:
    """Compute the RMS over all maps of Sobel's gradient. (B, D, H, W) to (B, 1, H, W)."""
    padded = F.pad(maps, (1, 1, 1, 1), mode="replicate")
    across = (padded[..., 2:] - padded[..., :-2]) / 2  # (B, D, H + 2, W)
    down = (padded[..., 2:, :] - padded[..., :-2, :]) / 2  # (B, D, H, W + 2)
    across = (across[..., :-2, :] + 2 * across[..., 1:-1, :] + across[..., 2:, :]) / 4
    down = (down[..., :-2] + 2 * down[..., 1:-1] + down[..., 2:]) / 4
    return ((across**2 + down**2).mean(1, keepdim=True) + TINY**2).sqrt()
