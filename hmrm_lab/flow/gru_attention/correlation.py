"""Correlation of onset and apex features (3.1.1): every pixel with every pixel, or near ones only.

The first two give the same values. `AllPairs` computes the whole volume once, as the paper and RAFT (Teed
and Deng 2020) do, and reads windows from it; its memory grows with the square of the pixels.
`Local` computes the windows that are asked for and nothing else. They agree because a mean of
inner products is the inner product with the mean: pooling the volume is pooling the apex.
"""

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

CorrelationKind = Literal["all_pairs", "local"]
LookUp = Callable[[Tensor], Tensor]


def pixel_grid(like: Tensor) -> Tensor:
    """The coordinates of every pixel: (1, 2, H, W), order (x, y)."""
    height, width = like.shape[-2:]
    rows = torch.arange(height, dtype=like.dtype, device=like.device)
    columns = torch.arange(width, dtype=like.dtype, device=like.device)
    return torch.stack(torch.meshgrid(columns, rows, indexing="xy"))[None]


def sample(images: Tensor, where: Tensor, *, outside: str = "zeros") -> Tensor:
    """Bilinear values of (B, C, H, W) at pixel coordinates (B, h, w, 2), order (x, y)."""
    height, width = images.shape[-2:]
    size = where.new_tensor([width, height])
    return F.grid_sample(
        images, (2 * where + 1) / size - 1, padding_mode=outside, align_corners=False
    )


class AllPairs:
    """The 4D volume and its pyramid, pooled over the last two axes by 1, 2, 4, 8.

    Shapes
    ------
    onset, apex : (B, D, H, W)
    look-up : flow (B, 2, H, W) in pixels of the features to (B, levels * (2 radius + 1)^2, H, W),
        order (level, dy, dx)
    """

    def __init__(self, onset: Tensor, apex: Tensor, *, levels: int, radius: int) -> None:
        batch, depth, height, width = onset.shape
        scaled = onset.flatten(2) / math.sqrt(depth)
        volume = scaled.mT @ apex.flatten(2)  # (B, H W, h w)
        level = volume.view(-1, 1, *apex.shape[2:])  # (B H W, 1, h, w)
        self.pyramid = [level]
        for _ in range(levels - 1):
            level = F.avg_pool2d(level, 2, ceil_mode=True)
            self.pyramid.append(level)
        self.shape = (batch, -1, height, width)
        self.grid = pixel_grid(onset)
        self.window = _window(radius, onset)

    def __call__(self, flow: Tensor) -> Tensor:
        windows = []
        for number, level in enumerate(self.pyramid):
            centre = _on_level(self.grid + flow, number).permute(0, 2, 3, 1).reshape(-1, 1, 1, 2)
            windows.append(sample(level, centre + self.window).flatten(1))  # (B H W, side^2)
        found = torch.cat(windows, dim=1)
        batch, _, height, width = self.shape
        return found.reshape(batch, height, width, -1).permute(0, 3, 1, 2).contiguous()


class Local:
    """The same windows, computed when asked for. Shapes as in `AllPairs`."""

    def __init__(self, onset: Tensor, apex: Tensor, *, levels: int, radius: int) -> None:
        self.onset = onset
        self.pyramid = [apex]
        for _ in range(levels - 1):
            self.pyramid.append(F.avg_pool2d(self.pyramid[-1], 2, ceil_mode=True))
        self.grid = pixel_grid(onset)
        self.radius = radius

    def __call__(self, flow: Tensor) -> Tensor:
        centre = self.grid + flow
        windows = [
            _products(self.onset, level, _on_level(centre, number), self.radius)
            for number, level in enumerate(self.pyramid)
        ]
        return torch.cat(windows, dim=1)


class Warped:
    """The windows of an apex warped by the flow, for the finer scale, as in PWC-Net.

    A window here lies about where each of its own pixels moved, not about where its centre moved;
    wherever the flow is constant that is the same, and it costs a tenth.

    Shapes
    ------
    onset, apex : (B, D, H, W)
    look-up : flow (B, 2, H, W) to (B, (2 radius + 1)^2, H, W), order (dy, dx)
    """

    def __init__(self, onset: Tensor, apex: Tensor, *, radius: int) -> None:
        self.onset, self.apex = onset / math.sqrt(onset.shape[1]), apex
        self.grid = pixel_grid(onset)
        self.radius = radius

    def __call__(self, flow: Tensor) -> Tensor:
        height, width = flow.shape[2:]
        warped = sample(self.apex, (self.grid + flow).permute(0, 2, 3, 1))
        reach = self.radius
        around = F.pad(warped, (reach, reach, reach, reach))
        side = range(2 * reach + 1)
        return torch.stack(
            [
                (self.onset * around[:, :, y : y + height, x : x + width]).sum(dim=1)
                for y in side
                for x in side
            ],
            dim=1,
        )


def correlation(
    kind: CorrelationKind, onset: Tensor, apex: Tensor, *, levels: int, radius: int
) -> LookUp:
    """The volume of this kind, ready for look-ups."""
    build = {"all_pairs": AllPairs, "local": Local}[kind]
    return build(onset, apex, levels=levels, radius=radius)


def _on_level(coordinates: Tensor, level: int) -> Tensor:
    """Where a point lies on a map pooled `level` times by 2; pixel centres are whole numbers."""
    return (coordinates + 0.5) / 2**level - 0.5


def _window(radius: int, like: Tensor) -> Tensor:
    """Offsets of a window, row by row: (1, side, side, 2), order (x, y)."""
    steps = torch.arange(-radius, radius + 1, dtype=like.dtype, device=like.device)
    return torch.stack(torch.meshgrid(steps, steps, indexing="xy"), dim=-1)[None]


def _products(onset: Tensor, apex: Tensor, centre: Tensor, radius: int) -> Tensor:
    """Inner products of each onset pixel with a window about its place in the apex.

    All points of a window share the fraction of their coordinates, so that inner products at
    whole pixels, of a window wider by one, are interpolated instead of features.
    """
    batch, depth, height, width = onset.shape
    rows, columns = apex.shape[2:]
    corner = centre.detach().floor()
    across, down = (centre - corner).flatten(2).unsqueeze(-1).unsqueeze(-1).unbind(1)
    steps = torch.arange(-radius, radius + 2, device=onset.device)
    x = corner[:, 0].flatten(1).long().unsqueeze(-1) + steps  # (B, N, side + 1)
    y = corner[:, 1].flatten(1).long().unsqueeze(-1) + steps
    inside = ((y >= 0) & (y < rows)).unsqueeze(-1) & ((x >= 0) & (x < columns)).unsqueeze(-2)
    place = y.clamp(0, rows - 1).unsqueeze(-1) * columns + x.clamp(0, columns - 1).unsqueeze(-2)
    place = place + torch.arange(batch, device=onset.device).view(-1, 1, 1, 1) * (rows * columns)
    near = apex.permute(0, 2, 3, 1).reshape(-1, depth).index_select(0, place.flatten())
    here = onset.permute(0, 2, 3, 1).reshape(-1, 1, depth)
    found = (near.view(len(here), -1, depth) * here).sum(dim=-1).view(inside.shape)
    found = found * inside / math.sqrt(depth)
    found = torch.lerp(found[..., :-1, :], found[..., 1:, :], down)
    found = torch.lerp(found[..., :-1], found[..., 1:], across)  # (B, N, side, side)
    return found.flatten(2).transpose(1, 2).reshape(batch, -1, height, width)
