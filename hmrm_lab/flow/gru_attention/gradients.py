"""Classical evidence for the updates: Lucas-Kanade steps, and how far they can be trusted.

A network that sees correlation alone learns that sub-pixel motion is none at all. Here the apex is
warped by the current flow, products of gradients are pooled over windows, and each window gives
its least-squares step (Lucas and Kanade 1981). The network sees them and mixes them.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hmrm_lab.flow.gru_attention.correlation import pixel_grid, sample

CELL = 4  # image pixels to a side of one cell of the flow
BANDS = 2
FARTHEST_PX = 3.0  # beyond this a linear model of the image says nothing
_SLOW = 16


def luminance(frames: Tensor) -> Tensor:
    """(B, 3, H, W) RGB to (B, 1, H, W); the mean of three channels has the least noise."""
    return frames.mean(dim=1, keepdim=True)


def smooth(images: Tensor, *, spread: int = 1) -> Tensor:
    """A binomial filter of five taps along both axes, `spread` pixels apart.

    Shapes
    ------
    images : (B, 1, H, W)
    """
    near, far = spread, 2 * spread
    for _ in range(2):  # along the rows, then along the columns of the transposed
        x = F.pad(images, (far, far, 0, 0), mode="replicate")
        width = images.shape[3]
        taps = [x[..., start : start + width] for start in (0, near, far, far + near, 2 * far)]
        images = (taps[0] + taps[4] + 4 * (taps[1] + taps[3]) + 6 * taps[2]) / 16
        images = images.transpose(2, 3)
    return images


def bands(grey: Tensor) -> Tensor:
    """Two degrees of smoothing, without what varies slowly, as lighting does.

    Shapes
    ------
    grey : (B, 1, H, W)
    returns : (B, 2, H, W)
    """
    slow = F.avg_pool2d(grey, _SLOW, ceil_mode=True, count_include_pad=False)
    slow = F.interpolate(slow, scale_factor=_SLOW, mode="bilinear", align_corners=False)
    detail = grey - slow[..., : grey.shape[2], : grey.shape[3]]
    mild = smooth(detail)
    return torch.cat([mild, smooth(mild, spread=2)], dim=1)


def noise_level(grey: Tensor) -> Tensor:
    """Standard deviation of the noise, from the flattest quarter of the picture.

    The filter of Immerkaer (1996) removes what is locally a plane; what remains in flat cells is
    noise.

    Shapes
    ------
    grey : (B, 1, H, W)
    returns : (B, 1, 1, 1)
    """
    across = grey[..., 2:] - 2 * grey[..., 1:-1] + grey[..., :-2]
    plane = across[:, :, 2:] - 2 * across[:, :, 1:-1] + across[:, :, :-2]
    remainder = F.avg_pool2d(plane.abs(), 6, stride=6, ceil_mode=True)
    level = remainder.flatten(1).quantile(0.25, dim=1)
    return (level * (torch.pi / 2) ** 0.5 / 6).view(-1, 1, 1, 1)


class LucasKanade(nn.Module):
    """Steps of several windows at one scale.

    The weight that holds each step back grows with the noise, by a factor learnt per window.

    Shapes
    ------
    onset, apex : (B, 2, H, W), `bands` of both frames at the scale of the update
    flow : (B, 2, H/4, W/4), pixels of these bands
    noise : (B, 1, 1, 1)
    returns : steps (B, K, 2, H/4, W/4) in pixels, and evidence (B, `features`, H/4, W/4);
        K = 2 bands times the windows; a window is a cell averaged with its neighbours this often
    """

    def __init__(self, *, windows: tuple[int, ...]) -> None:
        super().__init__()
        self.windows = windows
        self.steps = BANDS * len(windows)
        self.features = 3 * self.steps + 2 * BANDS
        self.log_hold = nn.Parameter(torch.zeros(self.steps))

    def forward(
        self, onset: Tensor, apex: Tensor, flow: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor]:
        dense = F.interpolate(flow, scale_factor=CELL, mode="bilinear", align_corners=False)
        where = (pixel_grid(dense) + dense).permute(0, 2, 3, 1)
        warped = sample(apex, where, outside="border")
        change = warped - onset
        slope_x, slope_y = _slopes(0.5 * (onset + warped))
        products = torch.cat(
            [
                slope_x * slope_x,
                slope_x * slope_y,
                slope_y * slope_y,
                slope_x * change,
                slope_y * change,
            ],
            dim=1,
        )
        cells = F.avg_pool2d(products, CELL)
        sums = torch.cat(list(_windowed(cells, self.windows)), dim=1)
        xx, xy, yy, xt, yt = _by_product(sums, len(self.windows))  # each (B, K, h, w)
        hold = self.log_hold.exp().view(1, -1, 1, 1) * (noise**2 + 1e-4)
        xx, yy = xx + hold, yy + hold
        area = (xx * yy - xy * xy).clamp_min(1e-12)
        steps = torch.stack([xy * yt - yy * xt, xy * xt - xx * yt], dim=2) / area[:, :, None]
        steps = _bounded(steps)
        trust = torch.log(area / (xx + yy) / hold)
        left = F.avg_pool2d(torch.cat([change.abs(), change], dim=1), CELL)
        return steps, torch.cat([squash(steps.flatten(1, 2)), trust, squash(left)], dim=1)


def squash(values: Tensor) -> Tensor:
    """Tells .01 from .02 and 5 from 10."""
    return torch.asinh(values * 8) * 0.5


def _slopes(images: Tensor) -> tuple[Tensor, Tensor]:
    padded = F.pad(images, (1, 1, 1, 1), mode="replicate")
    across = 0.5 * (padded[:, :, 1:-1, 2:] - padded[:, :, 1:-1, :-2])
    down = 0.5 * (padded[:, :, 2:, 1:-1] - padded[:, :, :-2, 1:-1])
    return across, down


def _windowed(cells: Tensor, windows: tuple[int, ...]) -> Iterator[Tensor]:
    """Means over 3 x 3 cells, repeated so often: a few small means are faster than a large one."""
    rounds = 0
    for wanted in windows:
        for _ in range(wanted - rounds):
            cells = F.avg_pool2d(cells, 3, stride=1, padding=1, count_include_pad=False)
        rounds = wanted
        yield cells


def _by_product(sums: Tensor, windows: int) -> tuple[Tensor, ...]:
    """(B, windows * 5 * bands, h, w) to five tensors (B, windows * bands, h, w)."""
    batch, _, height, width = sums.shape
    split = sums.view(batch, windows, 5, BANDS, height, width).transpose(1, 2)
    return split.reshape(batch, 5, windows * BANDS, height, width).unbind(1)


def _bounded(steps: Tensor) -> Tensor:
    length = (steps * steps).sum(dim=2, keepdim=True).add(1e-12).sqrt()
    return steps * (FARTHEST_PX / length).clamp_max(1)
