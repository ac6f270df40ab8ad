"""Attention to scales: AHMSA-Net, and the compound-expression ensemble with one such network."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hmrm_lab.models.interface import Features, system
from hmrm_lab.models.layers import Dropout
from hmrm_lab.models.networks.backbone import conv_norm
from hmrm_lab.models.networks.resnet import residual_encoder
from hmrm_lab.models.networks.transformers import PatchEncoder

KERNELS = (3, 5, 7)  # pixels along a side
HEADS, DEPTH, DROPOUT = 4, 2, 0.2


class MultiScaleAttention(nn.Module):
    """Depth-wise convolutions of three sizes, weighed for each channel and pixel. (B, F, H, W)."""

    def __init__(self, filters: int) -> None:
        super().__init__()
        self.scales = nn.ModuleList(
            conv_norm(filters, filters, kernel, groups=filters) for kernel in KERNELS
        )
        self.by_channel = nn.Conv2d(filters, len(KERNELS) * filters, 1)
        self.by_pixel = nn.Conv2d(filters, len(KERNELS), 3, padding=1)
        self.merge = conv_norm(filters, filters, 1, activation=None)

    def forward(self, given: Tensor) -> Tensor:
        seen = torch.stack([scale(given) for scale in self.scales], dim=1)  # (B, 3, F, H, W)
        total = seen.sum(1)
        channels = self.by_channel(total.mean((2, 3), keepdim=True))  # (B, 3 F, 1, 1)
        pixels = self.by_pixel(total)  # (B, 3, H, W)
        weights = (channels.unflatten(1, (len(KERNELS), -1)) + pixels[:, :, None]).softmax(1)
        return F.relu(given + self.merge((weights * seen).sum(1)))


@system("ahmsa_net")
class AHMSANet(nn.Module):
    """Three levels of multi-scale attention, from fine to coarse (Zhang et al., arXiv 2501.02539).

    Each hands the next its map, halved by `AdaptiveDownsampling`; the answer reads the mean
    features of all. (B, C, H, H) of any `size` to (B, 1, K).
    """

    def __init__(self, channels: int, size: int, classes: int, *, width: Features = 64) -> None:
        super().__init__()
        widths = [max(1, width // 4), max(1, width // 2), width]
        self.levels = nn.ModuleList(
            nn.Sequential(conv_norm(given, width, 3), MultiScaleAttention(width))
            for given, width in zip([channels, *widths[:-1]], widths, strict=True)
        )
        self.halve = nn.ModuleList(AdaptiveDownsampling(width) for width in widths[:-1])
        self.dropout = Dropout(DROPOUT)
        self.head = nn.Linear(sum(widths), classes)

    def forward(self, maps: Tensor) -> Tensor:
        features = self.levels[0](maps.contiguous(memory_format=torch.channels_last))
        means = [features.mean((2, 3))]
        for halve, level in zip(self.halve, self.levels[1:], strict=True):
            features = level(halve(features))
            means.append(features.mean((2, 3)))
        return self.head(self.dropout(torch.cat(means, dim=1)))[:, None]


class AdaptiveDownsampling(nn.Module):
    """The mean over windows of 2 x 2, where a pixel counts by a learnt score. (B, F, H, W)."""

    def __init__(self, filters: int) -> None:
        super().__init__()
        self.score = nn.Conv2d(filters, filters, 1)

    def forward(self, given: Tensor) -> Tensor:
        counts = torch.sigmoid(self.score(given))
        return F.avg_pool2d(counts * given, 2) / F.avg_pool2d(counts, 2)


@system("cer_ensemble")
class CEREnsemble(nn.Module):
    """A residual network, a vision transformer and multi-scale local attention (arXiv 2407.12257).

    Each has a head, and thereby a loss, of its own; `evaluation.readout=mean` averages their
    probabilities. (B, C, H, H), H = `size`, a multiple of 4, to (B, 3, K).
    """

    def __init__(self, channels: int, size: int, classes: int, *, width: Features = 64) -> None:
        super().__init__()
        half = max(1, width // 2)
        self.residual = residual_encoder(channels, width)
        self.patches = PatchEncoder(channels, size, width, DEPTH, heads=HEADS, dropout=DROPOUT)
        self.local = nn.Sequential(
            conv_norm(channels, half, 3, stride=2),
            MultiScaleAttention(half),
            conv_norm(half, width, 3, stride=2),
            MultiScaleAttention(width),
        )
        self.dropout = Dropout(DROPOUT)
        self.heads = nn.ModuleList(nn.Linear(width, classes) for _ in range(3))

    def forward(self, maps: Tensor) -> Tensor:
        pictures = maps.contiguous(memory_format=torch.channels_last)
        residual, local = (part(pictures).mean((2, 3)) for part in (self.residual, self.local))
        answers = zip(self.heads, (residual, self.patches(maps), local), strict=True)
        return torch.stack([head(self.dropout(features)) for head, features in answers], dim=1)
