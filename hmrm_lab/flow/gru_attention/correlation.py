"""Correlation of onset and apex features (3.1.1): every pixel with every pixel, or near ones only.

`AllPairs` computes the whole volume once, as the paper and RAFT (Teed and Deng 2020) do, and reads
windows from it; its memory grows with the square of the number of pixels. `Local` computes only the
windows of a look-up, with the same values: pooling the volume is pooling the apex.
"""

import math
from collections.abc import Callable, Sequence
from itertools import product
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

CorrelationKind = Literal["auto", "all_pairs", "local"]
MOST_CELLS = 4096  # beyond this `auto` takes `Local`
LookUp = Callable[[Tensor], Tensor]


def pixel_grid(like: Tensor) -> Tensor:
    """The coordinates of every pixel: (1, 2, H, W), order (x, y)."""
    height, width = like.shape[-2:]
    rows = torch.arange(height, dtype=like.dtype, device=like.device)
    columns = torch.arange(width, dtype=like.dtype, device=like.device)
    return torch.stack(torch.meshgrid(columns, rows, indexing="xy"))[None]


class Pyramid:
    """Windows in the correlation of features (B, D, H, W) with means of the apex by 1, 2, 4, 8.

    A look-up takes a flow (B, 2, H, W) in pixels of the features to (B, levels * (2 radius + 1)^2,
    H, W), order (level, dy, dx).
    """

    def __init__(self, onset: Tensor, apex: Tensor, *, levels: int, radius: int) -> None:
        pyramid = [apex]
        for _ in range(levels - 1):  # incomplete squares at the edge count
            pyramid.append(F.avg_pool2d(pyramid[-1], 2, ceil_mode=True))
        self.sizes = [tuple(level.shape[2:]) for level in pyramid]
        self.onset = onset.flatten(2).mT / math.sqrt(onset.shape[1])  # (B, H W, D)
        self.apex = torch.cat([level.flatten(2) for level in pyramid], dim=2)  # (B, D, pixels)
        self.grid, self.radius = pixel_grid(onset), radius

    def __call__(self, flow: Tensor) -> Tensor:
        near = Window(self.grid + flow, self.radius, self.sizes)
        return near.interpolated(self.products(near.place))

    def products(self, place: Tensor) -> Tensor:
        """Inner products of each onset pixel with these of the apex."""
        raise NotImplementedError


class AllPairs(Pyramid):
    """The whole 4D volume, computed once."""

    def __init__(self, onset: Tensor, apex: Tensor, *, levels: int, radius: int) -> None:
        super().__init__(onset, apex, levels=levels, radius=radius)
        self.volume = self.onset @ self.apex

    def products(self, place: Tensor) -> Tensor:
        return self.volume.gather(2, place.flatten(2)).view(place.shape)


class Local(Pyramid):
    """Only the windows of a look-up, one level after the other."""

    def products(self, place: Tensor) -> Tensor:
        batch, depth, count = self.apex.shape
        features = self.apex.mT.reshape(-1, depth)
        first = torch.arange(batch, device=place.device).view(-1, 1, 1, 1) * count
        here = self.onset.reshape(-1, 1, depth)
        levels = []
        for level in place.unbind(2):
            found = features.index_select(0, (level + first).flatten())
            levels.append((found.view(len(here), -1, depth) * here).sum(dim=-1).view(level.shape))
        return torch.stack(levels, dim=2)


class Warped:
    """Windows of an apex warped by the flow, for the finer scale, as in PWC-Net.

    Each pixel of a window is displaced by its own flow, not by that of the centre, at a tenth of
    the cost. Shapes as of a level of `Pyramid`.
    """

    def __init__(self, onset: Tensor, apex: Tensor, *, radius: int) -> None:
        self.onset, self.apex = onset / math.sqrt(onset.shape[1]), apex
        self.grid, self.radius = pixel_grid(onset), radius

    def __call__(self, flow: Tensor) -> Tensor:
        height, width = flow.shape[2:]
        where = (self.grid + flow).permute(0, 2, 3, 1)
        share = (2 * where + 1) / where.new_tensor([width, height]) - 1
        warped = F.grid_sample(self.apex, share, align_corners=False)
        reach = self.radius
        around = F.pad(warped, (reach, reach, reach, reach))
        places = product(range(2 * reach + 1), repeat=2)
        views = [around[:, :, y : y + height, x : x + width] for y, x in places]
        return torch.stack([(self.onset * view).sum(dim=1) for view in views], dim=1)


def correlation(
    kind: CorrelationKind, onset: Tensor, apex: Tensor, *, levels: int, radius: int
) -> LookUp:
    """A volume for look-ups; `auto` is the faster one that fits into memory."""
    if kind == "auto":
        kind = "all_pairs" if onset.shape[2] * onset.shape[3] <= MOST_CELLS else "local"
    build = AllPairs if kind == "all_pairs" else Local
    return build(onset, apex, levels=levels, radius=radius)


class Window:
    """Windows about sub-pixel positions (B, 2, H, W) on several levels of these sizes.

    The values at whole pixels, of a window wider by one, are interpolated together. `place` numbers
    the pixels of the concatenated levels: (B, H W, L, side + 1, side + 1).
    """

    def __init__(self, centre: Tensor, radius: int, sizes: Sequence[tuple[int, ...]]) -> None:
        rows, columns = torch.tensor(sizes, device=centre.device).unbind(1)
        behind = (rows * columns).cumsum(0) - rows * columns
        scale = 2.0 ** -torch.arange(len(sizes), device=centre.device)
        there = (centre.flatten(2)[..., None] + 0.5) * scale - 0.5  # pixel centres are whole
        corner = there.detach().floor()
        fraction = (there - corner)[..., None, None]
        self.across, self.down = fraction.unbind(1)  # each (B, H W, L, 1, 1)
        self.shape = centre.shape[2:]
        steps = torch.arange(-radius, radius + 2, device=centre.device)
        whole = corner.long()[..., None] + steps
        x, y = whole.unbind(1)  # each (B, H W, L, side + 1)
        x_held = torch.minimum(x.clamp_min(0), columns[:, None] - 1)
        y_held = torch.minimum(y.clamp_min(0), rows[:, None] - 1)
        row = y_held * columns[:, None] + behind[:, None]
        self.place = row.unsqueeze(-1) + x_held.unsqueeze(-2)
        self.inside = (y == y_held).unsqueeze(-1) & (x == x_held).unsqueeze(-2)

    def interpolated(self, values: Tensor) -> Tensor:
        """(B, H W, L, side + 1, side + 1) to (B, L side^2, H, W), order (L, dy, dx); 0 outside."""
        values = values * self.inside
        values = torch.lerp(values[..., :-1, :], values[..., 1:, :], self.down)
        values = torch.lerp(values[..., :-1], values[..., 1:], self.across)
        return values.flatten(2).mT.unflatten(2, self.shape)
