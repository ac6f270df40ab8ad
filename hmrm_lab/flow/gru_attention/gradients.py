"""Classical evidence for the updates: Lucas-Kanade steps, and how far they can be trusted.

A network that sees correlation alone learns that sub-pixel motion is none at all. Here the apex is
warped by the current flow, products of gradients are pooled over windows, and each window gives
its least-squares step (Lucas and Kanade 1981). The network sees them and mixes them.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hmrm_lab.flow.gru_attention.correlation import pixel_grid

CELL = 4  # image pixels to a side of one cell of the flow
FARTHEST_PX = 3.0  # beyond this a linear model of the image says nothing
_SLOW = 16


def luminance(frames: Tensor) -> Tensor:
    """(B, 3, H, W) RGB to (B, 1, H, W); the mean of three channels has the least noise."""
    return frames.mean(dim=1, keepdim=True)


def detail(grey: Tensor) -> Tensor:
    """The picture a little smoothed, without what varies slowly, as lighting does.

    The smoothing is (1, 4, 6, 4, 1) along both axes: gradients need it in noise.

    Shapes
    ------
    grey : (B, 1, H, W)
    returns : (B, 1, H, W)
    """
    slow = F.avg_pool2d(grey, _SLOW, ceil_mode=True, count_include_pad=False)
    slow = F.interpolate(slow, scale_factor=_SLOW, mode="bilinear", align_corners=False)
    x = F.pad(grey - slow[..., : grey.shape[2], : grey.shape[3]], (2, 2, 2, 2), mode="replicate")
    for axis in (3, 2):
        for _ in range(4):  # (1, 1) four times over
            reach = x.shape[axis] - 1
            x = x.narrow(axis, 0, reach) + x.narrow(axis, 1, reach)
    return x / 256


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
    onset, apex : (B, 1, H, W), `detail` of both frames at the scale of the update
    flow : (B, 2, H/4, W/4), pixels of these
    noise : (B, 1, 1, 1)
    returns : steps (B, K, 2, H/4, W/4) in pixels, and evidence (B, `features`, H/4, W/4);
        K windows, each a cell averaged with its neighbours so many times
    """

    def __init__(self, *, windows: tuple[int, ...]) -> None:
        super().__init__()
        self.windows = windows
        self.steps = len(windows)
        self.features = 3 * self.steps + 2
        self.log_hold = nn.Parameter(torch.zeros(self.steps))

    def forward(
        self, onset: Tensor, apex: Tensor, flow: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor]:
        warped = warp(apex, flow)
        change = warped - onset
        slope_x, slope_y = _slopes(0.5 * (onset + warped))
        products = (
            slope_x * slope_x,
            slope_x * slope_y,
            slope_y * slope_y,
            slope_x * change,
            slope_y * change,
        )
        cells = torch.cat([F.avg_pool2d(product, CELL) for product in products], dim=1)
        sums = torch.stack(list(_windowed(cells, self.windows)), dim=1)  # (B, K, 5, h, w)
        xx, xy, yy, xt, yt = sums.unbind(2)
        hold = self.log_hold.exp().view(1, -1, 1, 1) * (noise**2 + 1e-4)
        xx, yy = xx + hold, yy + hold
        area = (xx * yy - xy * xy).clamp_min(1e-12)
        steps = torch.stack([xy * yt - yy * xt, xy * xt - xx * yt], dim=2) / area[:, :, None]
        steps = _bounded(steps)
        trust = torch.log(area / (xx + yy) / hold)
        left = F.avg_pool2d(torch.cat([change.abs(), change], dim=1), CELL)
        return steps, torch.cat([squash(steps.flatten(1, 2)), trust, squash(left)], dim=1)


def warp(images: Tensor, flow: Tensor) -> Tensor:
    """Images looked up where each of their pixels moved, the border repeated.

    Shapes
    ------
    images : (B, C, H, W)
    flow : (B, 2, H/4, W/4), pixels of the images
    """
    height, width = images.shape[2:]
    size = flow.new_tensor([width, height]).view(1, 2, 1, 1)
    dense = F.interpolate(
        flow * (2 / size), scale_factor=CELL, mode="bilinear", align_corners=False
    )
    still = (2 * pixel_grid(images) + 1) / size - 1
    where = (still + dense).permute(0, 2, 3, 1)
    return F.grid_sample(images, where, padding_mode="border", align_corners=False)


def squash(values: Tensor) -> Tensor:
    """`asinh(8 x) / 2`: tells .01 from .02 and 5 from 10. The library's own asinh is slow."""
    size = values.abs() * 8
    squared = size * size
    return torch.log1p(size + squared / (1 + (squared + 1).sqrt())).copysign(values) * 0.5


def _slopes(images: Tensor) -> tuple[Tensor, Tensor]:
    """Central differences along x and y, and half of one-sided ones at the edge."""
    padded = F.pad(images, (1, 1, 1, 1), mode="replicate")
    across = 0.5 * (padded[:, :, 1:-1, 2:] - padded[:, :, 1:-1, :-2])
    down = 0.5 * (padded[:, :, 2:, 1:-1] - padded[:, :, :-2, 1:-1])
    return across, down


def _windowed(cells: Tensor, windows: tuple[int, ...]) -> Iterator[Tensor]:
    """Means over 3 x 3 cells, repeated so often; at the edge over those that are there."""
    rows, columns = cells.shape[2:]
    share = (_neighbours(rows, cells)[:, None] * _neighbours(columns, cells)).reciprocal()
    rounds = 0
    for wanted in windows:
        for _ in range(wanted - rounds):
            x = F.pad(cells, (1, 1, 1, 1))
            x = x[..., :-2] + x[..., 1:-1] + x[..., 2:]
            cells = (x[..., :-2, :] + x[..., 1:-1, :] + x[..., 2:, :]) * share
        rounds = wanted
        yield cells


def _neighbours(count: int, like: Tensor) -> Tensor:
    """How many cells of a row are within one of each: 2 at the ends, 3 between."""
    places = torch.arange(count, device=like.device)
    return ((places + 1).clamp_max(count - 1) - (places - 1).clamp_min(0) + 1).to(like.dtype)


def _bounded(steps: Tensor) -> Tensor:
    length = (steps * steps).sum(dim=2, keepdim=True).add(1e-12).sqrt()
    return steps * (FARTHEST_PX / length).clamp_max(1)
