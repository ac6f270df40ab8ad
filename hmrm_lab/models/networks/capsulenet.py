"""CapsuleNet (Van Quang et al., FG 2019)."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from hmrm_lab.models.interface import SHARPNESS, system
from hmrm_lab.models.networks import backbone
from hmrm_lab.models.networks.backbone import begin_as_he, conv_norm, count_filters, enlarge
from hmrm_lab.models.networks.resnet import BASIC, STAGES, STEM, residual_stages

SHRINK = 8  # of the residual part; the authors' has no pooling after the first convolution
FEATURES = 256
KINDS, PRIMARY = 32, 8  # kinds of primary capsules, and their dimensions
CLASS_DIMENSIONS = 16
PUBLISHED_MAP, PUBLISHED_KERNEL = 28, 9  # for a picture of 224 px
TINY = 1e-8


@system("capsulenet")
class CapsuleNet(nn.Module):
    """ResNet18 to its third stage, two convolutions, primary capsules, one capsule per class.

    Van Quang et al., FG 2019. The authors' kernels are 9x9 on a map of 28x28, which leaves 6x6
    capsules of each kind; on a smaller map both are smaller: 2x2 and 3x3 for 56 px. (B, C, H, H) of
    any `size` to (B, 1, K), ten times the lengths of the class capsules.
    """

    def __init__(
        self,
        channels: int,
        size: int,
        classes: int,
        *,
        side: backbone.Side = backbone.SIDE,
        width: backbone.Width = 0.25,
        routings: Annotated[int, Field(ge=1, le=64)] = 3,
    ) -> None:
        super().__init__()
        self.side = side
        stem, *filters = (count_filters(count, width) for count in (STEM, *STAGES[:3]))
        features = count_filters(FEATURES, width)
        shrunk = -(-side // SHRINK)
        kernel = max(1, round(shrunk * PUBLISHED_KERNEL / PUBLISHED_MAP))
        grid = (shrunk - 2 * kernel + 1) // 2 + 1
        self.residual = nn.Sequential(
            conv_norm(channels, stem, 7, stride=2),
            *residual_stages(stem, filters, BASIC[:3]),
            nn.Conv2d(filters[-1], features, kernel),
            nn.ReLU(),
        )
        self.primary = nn.Conv2d(features, KINDS * PRIMARY, kernel, stride=2)
        self.classes = ClassCapsules(KINDS * grid**2, classes, routings)
        begin_as_he(self)

    def forward(self, maps: Tensor) -> Tensor:
        primary = self.primary(self.residual(enlarge(maps, self.side)))  # (B, 256, G, G)
        capsules = squash(primary.permute(0, 2, 3, 1).unflatten(-1, (KINDS, PRIMARY)))
        lengths = self.classes(capsules.flatten(1, 3)).norm(dim=-1)  # (B, K)
        return SHARPNESS * lengths[:, None]


class ClassCapsules(nn.Module):
    """Routing by agreement (Sabour et al., NIPS 2017, Procedure 1). (B, I, 8) to (B, K, 16)."""

    def __init__(self, capsules: int, classes: int, routings: int) -> None:
        super().__init__()
        self.classes, self.routings = classes, routings
        self.weight = nn.Parameter(0.1 * torch.randn(capsules, PRIMARY, classes * CLASS_DIMENSIONS))

    def forward(self, capsules: Tensor) -> Tensor:
        votes = torch.bmm(capsules.transpose(0, 1), self.weight)  # (I, B, K * 16)
        votes = votes.unflatten(-1, (self.classes, CLASS_DIMENSIONS)).transpose(0, 1)
        agreed = votes.new_zeros(votes.shape[:3])  # (B, I, K)
        for _ in range(self.routings):
            output = squash(torch.einsum("bik,bikd->bkd", agreed.softmax(-1), votes))
            agreed = agreed + torch.einsum("bikd,bkd->bik", votes, output)
        return output


def squash(vectors: Tensor) -> Tensor:
    """Change the lengths l of vectors to l^2 / (1 + l^2)."""
    squared = vectors.square().sum(-1, keepdim=True)
    return vectors * squared / (1 + squared) / (squared + TINY).sqrt()
