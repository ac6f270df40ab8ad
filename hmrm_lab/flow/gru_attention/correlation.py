"""Correlation of onset and apex features (3.1.1): every pixel with every pixel, or near ones only.

`AllPairs` and `Local` give the same values. `AllPairs` computes the whole volume once, as the paper
and RAFT (Teed and Deng 2020) do, and reads windows from it; its memory grows with the square of the
number of pixels. `Local` computes only the windows of a look-up. They agree because a mean of inner
products is the inner product with the mean: pooling the volume is pooling the apex.
"""

import math
from collections.abc import Callable, Iterator, Sequence
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


def sample(images: Tensor, where: Tensor, *, outside: str = "zeros") -> Tensor:
    """Bilinear values of (B, C, H, W) at pixel coordinates (B, h, w, 2), order (x, y)."""
    height, width = images.shape[-2:]
    size = where.new_tensor([width, height])
    return F.grid_sample(
        images, (2 * where + 1) / size - 1, padding_mode=outside, align_corners=False
    )


class AllPairs:
    """The 4D volume and its pyramid, means over the last two axes by 1, 2, 4, 8.

    Shapes
    ------
    onset, apex : (B, D, H, W)
    look-up : flow (B, 2, H, W) in pixels of the features to (B, levels * (2 radius + 1)^2, H, W),
        order (level, dy, dx)
    """

    def __init__(self, onset: Tensor, apex: Tensor, *, levels: int, radius: int) -> None:
        depth = onset.shape[1]
        here = onset.flatten(2).mT / math.sqrt(depth)  # (B, H W, D)
        pyramid = list(_pooled(apex, levels))
        self.sizes = [tuple(level.shape[2:]) for level in pyramid]
        self.volume = here @ torch.cat([level.flatten(2) for level in pyramid], dim=2)
        self.grid = pixel_grid(onset)
        self.radius = radius

    def __call__(self, flow: Tensor) -> Tensor:
        near = Window(self.grid + flow, self.radius, self.sizes)
        values = self.volume.gather(2, near.place.flatten(2)).view(near.place.shape)
        return near.interpolated(values)


class Local:
    """The windows of `AllPairs`, each computed at its look-up. Shapes as there."""

    def __init__(self, onset: Tensor, apex: Tensor, *, levels: int, radius: int) -> None:
        self.onset = onset
        self.pyramid = list(_pooled(apex, levels))
        self.grid = pixel_grid(onset)
        self.radius = radius

    def __call__(self, flow: Tensor) -> Tensor:
        centre = self.grid + flow
        windows = [
            _products(self.onset, level, centre, number, self.radius)
            for number, level in enumerate(self.pyramid)
        ]
        return torch.cat(windows, dim=1)


class Warped:
    """Windows of an apex warped by the flow, for the finer scale, as in PWC-Net.

    Each pixel of a window is displaced by its own flow, not by that of the centre; where the flow
    is constant that is the same, at a tenth of the cost.

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
    """A volume for look-ups; `auto` is the faster one that fits into memory."""
    if kind == "auto":
        kind = "all_pairs" if onset.shape[2] * onset.shape[3] <= MOST_CELLS else "local"
    build = AllPairs if kind == "all_pairs" else Local
    return build(onset, apex, levels=levels, radius=radius)


def _pooled(features: Tensor, levels: int) -> Iterator[Tensor]:
    """Means over squares of side 1, 2, 4, 8; incomplete ones at the edge count."""
    for number in range(levels):
        if number:
            features = F.avg_pool2d(features, 2, ceil_mode=True)
        yield features


class Window:
    """Windows about sub-pixel positions, on several levels, and their interpolation.

    All points of a window have the same fraction of their coordinates, so that the values at whole
    pixels, of a window wider by one, are interpolated together.

    Parameters
    ----------
    sizes
        Rows and columns of the map at each level, from level `first` on; the maps are
        concatenated.

    Shapes
    ------
    centre : (B, 2, H, W), order (x, y), at level 0
    place : (B, H W, L, side + 1, side + 1), numbers of pixels of the maps
    """

    def __init__(
        self, centre: Tensor, radius: int, sizes: Sequence[tuple[int, ...]], first: int = 0
    ) -> None:
        rows, columns = torch.tensor(sizes, device=centre.device).unbind(1)
        behind = (rows * columns).cumsum(0) - rows * columns
        scale = 2.0 ** -torch.arange(first, first + len(sizes), device=centre.device)
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


def _products(onset: Tensor, apex: Tensor, centre: Tensor, level: int, radius: int) -> Tensor:
    """Inner products of each onset pixel with a window about its position in the apex."""
    batch, depth = onset.shape[:2]
    rows, columns = apex.shape[2:]
    near = Window(centre, radius, [(rows, columns)], level)
    first = torch.arange(batch, device=onset.device).view(-1, 1, 1, 1, 1) * (rows * columns)
    features = apex.permute(0, 2, 3, 1).reshape(-1, depth)
    found = features.index_select(0, (near.place + first).flatten())  # (B H W window, D)
    here = onset.permute(0, 2, 3, 1).reshape(-1, 1, depth) / math.sqrt(depth)
    products = (found.view(len(here), -1, depth) * here).sum(dim=-1)
    return near.interpolated(products.view(near.place.shape))
