"""Classical evidence for the updates: steps from image gradients, and their reliability.

From correlation alone a network learns to ignore sub-pixel motion. Here the apex is warped by the
current flow and products of gradients are pooled over cells. Windows of cells give least-squares
steps (Lucas and Kanade 1981), sweeps over the whole field smooth ones (Horn and Schunck 1981).
"""

from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CELL = 4  # image pixels to a side of one cell of the flow
FARTHEST_PX = 3.0  # beyond this a linear model of the image is invalid
_SLOW = 16
_LEVELS, _SWEEPS = 4, 2  # of `smooth_steps`


def smoothed(grey: Tensor) -> Tensor:
    """(B, 1, H, W) after (1, 4, 6, 4, 1) along both axes: gradients need it in noise."""
    x = F.pad(grey, (2, 2, 2, 2), mode="replicate")
    for axis in (3, 2):
        for _ in range(4):  # (1, 1) four times over
            reach = x.shape[axis] - 1
            x = x.narrow(axis, 0, reach) + x.narrow(axis, 1, reach)
    return x / 256


def noise_level(grey: Tensor) -> Tensor:
    """Standard deviation of the noise, (B, 1, 1, 1), from the flattest quarter of the picture.

    The filter of Immerkaer (1996) removes what is locally a plane; noise remains in flat cells.
    """
    across = grey[..., 2:] - 2 * grey[..., 1:-1] + grey[..., :-2]
    plane = across[:, :, 2:] - 2 * across[:, :, 1:-1] + across[:, :, :-2]
    remainder = F.avg_pool2d(plane.abs(), 6, stride=6, ceil_mode=True)
    level = remainder.flatten(1).quantile(0.25, dim=1)
    return (level * (torch.pi / 2) ** 0.5 / 6).view(-1, 1, 1, 1)


class GradientSteps(nn.Module):
    """Steps of several windows, and of several degrees of smoothness, at one scale.

    Damping and smoothness grow with the noise, by learnt factors. A window is a cell averaged with
    its neighbours so many times. Frames are (B, 1, H, W), `smoothed`; flow is (B, 2, H/4, W/4) in
    their pixels; stiffness, (B, S, H/4, W/4), is the logarithm of what multiplies the smoothness.
    Returns steps (B, K, 2, H/4, W/4), windows first, and evidence (B, `features`, H/4, W/4).
    """

    def __init__(self, *, windows: tuple[int, ...], smooth: int) -> None:
        super().__init__()
        self.windows = windows
        self.steps = len(windows) + smooth
        self.features = 2 * self.steps + len(windows) + 2
        self.log_hold = nn.Parameter(torch.zeros(len(windows)))
        self.log_smooth = nn.Parameter(torch.arange(smooth) * 1.5 - 1.0)

    def forward(
        self, onset: Tensor, apex: Tensor, flow: Tensor, noise: Tensor, stiffness: Tensor
    ) -> tuple[Tensor, Tensor]:
        products, change = gradient_products(onset, apex, flow)
        cells = [products]
        for _ in range(max(self.windows, default=0)):
            cells.append(neighbourhood_mean(cells[-1]))
        xx, xy, yy, xt, yt = torch.stack([cells[w] for w in self.windows], dim=1).unbind(2)
        hold = self.log_hold.exp().view(1, -1, 1, 1) * (noise**2 + 1e-4)
        xx, yy = xx + hold, yy + hold
        area = (xx * yy - xy * xy).clamp_min(1e-12)
        local = torch.stack([xy * yt - yy * xt, xy * xt - xx * yt], dim=2) / area[:, :, None]
        trust = torch.log(area / (xx + yy) / hold)
        weight = (self.log_smooth.view(1, -1, 1, 1) + stiffness).exp() * (noise + 0.01)
        steps = torch.cat([local, smooth_steps(products, flow, weight)], dim=1)
        length = (steps * steps).sum(dim=2, keepdim=True).add(1e-12).sqrt()
        steps = steps * (FARTHEST_PX / length).clamp_max(1)
        left = cell_means(torch.cat([change.abs(), change], dim=1))
        lengths = squash(torch.cat([steps.flatten(1, 2), left], dim=1))
        return steps, torch.cat([lengths[:, :-2], trust, lengths[:, -2:]], dim=1)


def gradient_products(onset: Tensor, apex: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
    """Means of (xx, xy, yy, xt, yt) over cells, (B, 5, H/4, W/4); the change between the frames.

    The slowly varying part of the change is illumination and is subtracted; subtracted from each
    frame it would not move with the picture. Pixels that left the frame do not count.
    """
    warped, inside = warp(apex, flow)
    change = (warped - onset).mul_(inside)
    slow = F.avg_pool2d(change, _SLOW, ceil_mode=True, count_include_pad=False)
    slow = F.interpolate(slow, scale_factor=_SLOW, mode="bilinear", align_corners=False)
    change = change - slow[..., : change.shape[2], : change.shape[3]]
    slope_x, slope_y = (slope.mul_(inside) for slope in _slopes(onset + warped, 0.25))
    squares = (slope_x * slope_x, slope_x * slope_y, slope_y * slope_y)
    products = (*squares, slope_x * change, slope_y * change)
    return torch.cat([cell_means(product) for product in products], dim=1), change


def warp(images: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
    """Images (B, C, H, W) looked up where each of their pixels moved, the border repeated.

    Also (B, 1, H, W), 1 where the place lies in the frame and else 0. Flow is (B, 2, H/4, W/4).
    """
    height, width = images.shape[2:]
    share = torch.cat([flow[:, :1] * (2 / width), flow[:, 1:] * (2 / height)], dim=1)
    dense = F.interpolate(share, scale_factor=CELL, mode="bilinear", align_corners=False)
    x = dense[:, 0] + _centres(width, flow)  # -1 at the left side of the frame, 1 at the right
    y = dense[:, 1] + _centres(height, flow)[:, None]
    edge = 1 - 2 / min(height, width)
    inside = (torch.maximum(x.abs(), y.abs()) < edge).to(images.dtype)[:, None]
    places = torch.stack([x, y], dim=-1)
    return F.grid_sample(images, places, padding_mode="border", align_corners=False), inside


def _centres(count: int, like: Tensor) -> Tensor:
    places = torch.arange(count, dtype=like.dtype, device=like.device)
    return (2 * places + 1) / count - 1


def cell_means(images: Tensor) -> Tensor:
    """(B, C, H, W) to (B, C, H/4, W/4); rows first, which is faster than pooling both at once."""
    rows = images.unflatten(2, (-1, CELL)).sum(dim=3)
    return rows.unflatten(3, (-1, CELL)).sum(dim=4) / CELL**2


def squash(values: Tensor) -> Tensor:
    """`asinh(8 x) / 2`, which separates .01 from .02 and 5 from 10. torch's own asinh is slow."""
    size = values.abs() * 8
    squared = size * size
    return torch.log1p(size + squared / (1 + (squared + 1).sqrt())).copysign(values) * 0.5


def _slopes(images: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Differences of the neighbours along x and y, times `scale`; the border is repeated."""
    padded = F.pad(images, (1, 1, 1, 1), mode="replicate")
    across = padded[:, :, 1:-1, 2:] - padded[:, :, 1:-1, :-2]
    down = padded[:, :, 2:, 1:-1] - padded[:, :, :-2, 1:-1]
    return across.mul_(scale), down.mul_(scale)


def smooth_steps(products: Tensor, flow: Tensor, weight: Tensor) -> Tensor:
    """Minimise Horn and Schunck's energy of a step by sweeps from coarse to fine: (B, S, 2, h, w).

    The energy of a step d at flow w is `d' A d + 2 b' d + weight |w + d - neighbours|^2`, A and b
    of the products. Each sweep solves it cell by cell; each level has half the cells.
    """
    pyramid = [(products, flow, weight)]
    for _ in range(_LEVELS - 1):
        data, here, stiff = (F.avg_pool2d(x, 2, ceil_mode=True) for x in pyramid[-1])
        pyramid.append((data, here, stiff / 4))
    step: Tensor | None = None
    for data, here, stiff in reversed(pyramid):
        size = here.shape[2:]
        if step is not None:
            step = F.interpolate(step, scale_factor=2, mode="nearest")[..., : size[0], : size[1]]
        step = _sweep(data, here, stiff, step)
    assert step is not None
    return step.unflatten(1, (2, -1)).transpose(1, 2)


def _sweep(data: Tensor, flow: Tensor, weight: Tensor, step: Tensor | None) -> Tensor:
    """`_SWEEPS` rounds at one level; steps (B, 2 S, h, w), all u before all v.

    Where the mean of the neighbours is m, a cell's solution is `w + d = M m + r`, with
    `M = weight (A + weight)^-1` and `r = w - (A + weight)^-1 (weight w + b)`.
    """
    xx, xy, yy, xt, yt = data.split(1, dim=1)
    here_u, here_v = flow.split(1, dim=1)
    xx, yy = xx + weight, yy + weight
    share = torch.addcmul(xx * yy, xy, xy, value=-1).reciprocal()
    to_u, across, to_v = yy * share, xy * share, xx * share  # of the inverse; across is negative
    pull_u, pull_v = torch.addcmul(xt, weight, here_u), torch.addcmul(yt, weight, here_v)
    rest_u = torch.addcmul(torch.addcmul(here_u, to_u, pull_u, value=-1), across, pull_v)
    rest_v = torch.addcmul(torch.addcmul(here_v, to_v, pull_v, value=-1), across, pull_u)
    to_u, across, to_v = to_u * weight, across * weight, to_v * weight
    here = flow.repeat_interleave(weight.shape[1], dim=1)
    total = here if step is None else here + step
    for _ in range(_SWEEPS):
        near = neighbourhood_mean(total)
        u, v = near.tensor_split(2, dim=1)
        total_u = torch.addcmul(torch.addcmul(rest_u, to_u, u), across, v, value=-1)
        total_v = torch.addcmul(torch.addcmul(rest_v, to_v, v), across, u, value=-1)
        total = torch.cat([total_u, total_v], dim=1)
    return total - here


def neighbourhood_mean(cells: Tensor) -> Tensor:
    """Means over 3 x 3 cells; at the edge over those that are there. (..., h, w) to the same.

    Two products with banded matrices take a third of the time of the library's pooling.
    """
    rows, columns = (_band(side, cells.dtype, cells.device) for side in cells.shape[-2:])
    return rows @ cells @ columns.mT


@cache
def _band(count: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """(n, n): the mean of each of n cells in a row and its neighbours."""
    with torch.inference_mode(False):  # so that it may also be used where gradients are wanted
        places = torch.arange(count, device=device)
        near = ((places[:, None] - places).abs() <= 1).to(dtype)
        return near / near.sum(dim=1, keepdim=True)
