"""MobileViT-XXS (Mehta and Rastegari, ICLR 2022), for maps of 28 px instead of 256."""

from functools import partial

import torch
from torch import Tensor, nn

from hmrm_lab.models.interface import Dropped, Features, Layers, system
from hmrm_lab.models.layers import Dropout, transformer
from hmrm_lab.models.networks.backbone import enlarge
from hmrm_lab.models.networks.efficientnet import InvertedBottleneck, convolution

STRIDES = (2, 2, 1)  # of stages 3 to 5
EXPANSION, PATCH, HEADS = 2, 2, 4

inverted = partial(InvertedBottleneck, expansion=EXPANSION, kernel=3, gated=False)

Filters = tuple[Features, Features, Features, Features, Features, Features, Features]


@system("mobilevit")
class MobileViT(nn.Module):
    """Inverted residuals, and from the third stage on transformers. (B, C, H, H) to (B, 1, K)."""

    def __init__(
        self,
        channels: int,
        size: int,
        classes: int,
        *,
        filters: Filters = (16, 16, 24, 48, 64, 80, 320),
        widths: tuple[Features, Features, Features] = (64, 80, 96),  # transformers, stages 3 to 5
        depths: tuple[Layers, Layers, Layers] = (2, 4, 3),  # likewise
        dropout: Dropped = 0.1,
    ) -> None:
        super().__init__()
        self.side = 16 * max(1, round(size / 14))  # 32 for maps of 28
        stem, first, second, *later, last = filters  # the stem, five stages, the last layer
        stages: list[nn.Module] = [
            convolution(channels, stem, 3),
            inverted(stem, first),
            inverted(first, second, stride=2),
            inverted(second, second),
            inverted(second, second),
        ]
        before = second
        for after, width, depth, stride in zip(later, widths, depths, STRIDES, strict=True):
            stages.append(inverted(before, after, stride=stride))
            stages.append(MobileViTBlock(after, width, depth, dropout=dropout))
            before = after
        self.stages = nn.Sequential(*stages, convolution(before, last, 1))
        self.dropout = Dropout(dropout)
        self.head = nn.Linear(last, classes)

    def forward(self, maps: Tensor) -> Tensor:
        features = self.stages(enlarge(maps, self.side)).mean((2, 3))  # (B, 320)
        return self.head(self.dropout(features))[:, None]


class MobileViTBlock(nn.Module):
    """Each pixel attends to the pixels at its position in all other patches. (B, C, H, W)."""

    def __init__(self, channels: int, width: int, depth: int, *, dropout: float) -> None:
        super().__init__()
        self.local = nn.Sequential(
            convolution(channels, channels, 3), nn.Conv2d(channels, width, 1, bias=False)
        )
        self.layers = transformer(
            width, depth, heads=HEADS, ffn_ratio=2, dropout=dropout, activation=nn.SiLU
        )
        self.project = convolution(width, channels, 1)
        self.fuse = convolution(2 * channels, channels, 3)

    def forward(self, grid: Tensor) -> Tensor:
        features = self.local(grid)
        distant = fold_places(self.layers(split_places(features)), features.shape[-1])
        return self.fuse(torch.cat([grid, self.project(distant)], dim=1))


def split_places(grid: Tensor) -> Tensor:
    """Make a sequence of each position within a patch. (B, D, H, H) to (4 B, (H / 2)^2, D)."""
    half = grid.shape[-1] // PATCH
    parts = grid.unflatten(3, (half, PATCH)).unflatten(2, (half, PATCH))  # (B, D, h, 2, w, 2)
    return parts.permute(0, 3, 5, 2, 4, 1).flatten(3, 4).flatten(0, 2)


def fold_places(sequences: Tensor, side: int) -> Tensor:
    """Invert `split_places`."""
    half = side // PATCH
    parts = sequences.unflatten(1, (half, half)).unflatten(0, (-1, PATCH, PATCH))
    return parts.permute(0, 5, 3, 1, 4, 2).flatten(4, 5).flatten(2, 3)
