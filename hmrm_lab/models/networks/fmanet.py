"""FMANet (Nguyen et al., arXiv 2510.07810): both phases of a clip, modulated by what moves."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hmrm_lab.flow.motion_maps import THRESHOLD, root
from hmrm_lab.models.interface import Features, system
from hmrm_lab.models.layers import Dropout
from hmrm_lab.models.networks.resnet import residual_encoder

SHARPNESS = 8.0  # at first, as is MM-COF's threshold; both are learnt
KERNEL = 7  # pixels along a side
DROPOUT = 0.2
TINY = 1e-6  # a map that is shorter shows no motion


@system("fmanet")
class FMANet(nn.Module):
    """Modulation by magnitude, and a residual network that attends to salient regions.

    Magnitude is the length of the first two channels. A sequence (B, T, C, H, H), which should
    reach the offset, or one map (B, C, H, H) to (B, 1, K).
    """

    def __init__(self, channels: int, size: int, classes: int, *, width: Features = 64) -> None:
        super().__init__()
        self.modulation = Modulation()
        self.stem, *stages = residual_encoder(2 * channels, width)
        self.stages = nn.ModuleList(stages)
        self.attention = nn.ModuleList(SalientAttention() for _ in self.stages)
        self.dropout = Dropout(DROPOUT)
        self.head = nn.Linear(width, classes)

    def forward(self, maps: Tensor) -> Tensor:
        phases, moves = self.modulation(split_phases(maps))
        features = self.stem(phases.flatten(1, 2))
        for stage, attend in zip(self.stages, self.attention, strict=True):
            moves = F.avg_pool2d(moves, 2, ceil_mode=True)
            features = attend(stage(features), moves)
        return self.head(self.dropout(features.mean((2, 3))))[:, None]


def split_phases(maps: Tensor) -> Tensor:
    """Split a sequence into the map of its apex, and that map less the last: (B, 2, C, H, W).

    The apex is where the map's motion has most energy. The second is the movement after it turned
    round; one that goes back altogether has two equal phases, and so has a single map.
    """
    if maps.ndim == 4:
        return maps[:, None].expand(-1, 2, -1, -1, -1)
    energy = maps[:, :, :2].square().sum((2, 3, 4))  # (B, T)
    apex = maps[torch.arange(len(maps), device=maps.device), energy.argmax(1)]
    return torch.stack([apex, apex - maps[:, -1]], dim=1)


class Modulation(nn.Module):
    """MM-COF with learnt weights and threshold: phases (B, 2, C, H, W) to the same, and what moves.

    What moves, (B, 1, H, W), is the weighted sum of both magnitudes, each scaled to 0..1. Below the
    threshold a phase is suppressed, down to 0; above it is raised, up to twice.
    """

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.full((2, 1, 1, 1), 0.5))
        self.threshold = nn.Parameter(torch.tensor(THRESHOLD))
        self.sharpness = nn.Parameter(torch.tensor(SHARPNESS))

    def forward(self, phases: Tensor) -> tuple[Tensor, Tensor]:
        length = root(phases[:, :, :2].square().sum(2, keepdim=True))
        above = length - length.amin((3, 4), keepdim=True)
        scaled = above / above.amax((3, 4), keepdim=True).clamp_min(TINY)
        moves = (self.weights * scaled).sum(1)
        gain = 2 * torch.sigmoid(self.sharpness * (moves - self.threshold))
        return phases * gain[:, None], moves


class SalientAttention(nn.Module):
    """Multiply features by 1 + A, A in 0..1 from their mean, their largest, and what moves."""

    def __init__(self) -> None:
        super().__init__()
        self.weigh = nn.Conv2d(3, 1, KERNEL, padding=KERNEL // 2)

    def forward(self, features: Tensor, moves: Tensor) -> Tensor:
        mean, most = features.mean(1, keepdim=True), features.amax(1, keepdim=True)
        return features * (1 + torch.sigmoid(self.weigh(torch.cat([mean, most, moves], dim=1))))
