"""Motion magnification (AMMSM, Figure 2): a U-Net returns magnified flow (decision 0017)."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from hmrm_lab.models.networks.backbone import conv_norm


class Magnified(NamedTuple):
    """Shapes: flow (B, 2, S, S) and gate (B, 1, S, S) in 0..1; without gates all are open."""

    flow: Tensor
    gate: Tensor


class Magnifier(nn.Module):
    """`OF_mag = alpha * U-Net(OF)`; or, `gated`, `alpha * gate * OF`, the gate by the U-Net.

    Flow is (B, 2, S, S), order (u, v), of RMS 1; S is a multiple of 4. By the loss the best answer
    of the U-Net is the same for every alpha, so that alpha may change after training.
    """

    def __init__(self, *, width: int, gated: bool) -> None:
        super().__init__()
        self.gated = gated
        self.unet = UNet(2, 1 if gated else 2, width=width)

    def forward(self, flow: Tensor, alpha: float) -> Magnified:
        answer = self.unet(flow)
        if not self.gated:
            return Magnified(alpha * answer, torch.ones_like(flow[:, :1]))
        gate = answer.sigmoid()
        return Magnified(alpha * gate * flow, gate)


def magnification_loss(flow: Tensor, magnified: Magnified, alpha: float, price: float) -> Tensor:
    """Compute `mean |alpha OF - OF_mag|`, the published loss, and a price on open gates.

    At its minimum a gate is open where the mean of `|u|` and `|v|` is above `price`, whatever alpha
    is, and closed elsewhere. `flow` (B, 2, S, S) is the input of the magnifier.
    """
    missing = (alpha * flow - magnified.flow).abs().mean()
    return missing + alpha * price * magnified.gate.mean()


class UNet(nn.Module):
    """U-Net of two levels (Ronneberger et al. 2015). (B, C, S, S) to (B, out, S, S)."""

    def __init__(self, channels: int, out: int, *, width: int) -> None:
        super().__init__()
        downwards = ((channels, width), (width, 2 * width), (2 * width, 4 * width))
        self.down = nn.ModuleList(_twice(*filters) for filters in downwards)
        self.enlarge = nn.ModuleList(
            nn.ConvTranspose2d(2 * filters, filters, 2, stride=2) for filters in (2 * width, width)
        )
        self.up = nn.ModuleList([_twice(4 * width, 2 * width), _twice(2 * width, width)])
        self.pool = nn.MaxPool2d(2)
        self.head = nn.Conv2d(width, out, kernel_size=1)

    def forward(self, maps: Tensor) -> Tensor:
        features = self.down[0](maps.contiguous(memory_format=torch.channels_last))
        skipped = []
        for level in self.down[1:]:
            skipped.append(features)
            features = level(self.pool(features))
        for enlarge, level in zip(self.enlarge, self.up, strict=True):
            features = level(torch.cat([skipped.pop(), enlarge(features)], dim=1))
        return self.head(features)


def _twice(given: int, filters: int) -> nn.Sequential:
    return nn.Sequential(conv_norm(given, filters, 3), conv_norm(filters, filters, 3))
