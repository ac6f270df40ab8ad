"""Smooth steps: what the gradients say, carried into where they say nothing."""

from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

_LEVELS, _SWEEPS = 4, 2


def smooth_steps(products: Tensor, flow: Tensor, weight: Tensor) -> Tensor:
    """The steps that Horn and Schunck's energy asks for, by sweeps from coarse to fine.

    The energy of a step d at flow w is `d' A d + 2 b' d + weight |w + d - neighbours|^2`, A and b
    of the products. Each sweep solves it cell by cell, neighbours held; each level of the pyramid
    has half the cells and begins where the coarser one ended.

    Shapes
    ------
    products : (B, 5, h, w)
    flow : (B, 2, h, w)
    weight : (B, S, h, w), positive
    returns : (B, S, 2, h, w)
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

    As two products with banded matrices, which take a third of the time of the library's pooling.
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
