"""Smooth steps: what the gradients say, carried into where they say nothing."""

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
    """`_SWEEPS` rounds at one level; steps (B, 2 S, h, w), all u before all v."""
    xx, xy, yy, xt, yt = data.split(1, dim=1)
    xx, yy = xx + weight, yy + weight
    area = xx * yy - xy * xy
    to_u, across, to_v = yy / area, -xy / area, xx / area
    pull_u, pull_v = to_u * xt + across * yt, across * xt + to_v * yt
    to_u, across, to_v = to_u * weight, across * weight, to_v * weight
    smooth = weight.shape[1]
    here = flow.repeat_interleave(smooth, dim=1)
    total = here if step is None else here + step
    for _ in range(_SWEEPS):
        near = F.avg_pool2d(total, 3, stride=1, padding=1, count_include_pad=False) - here
        near_u, near_v = near.tensor_split(2, dim=1)
        step_u = to_u * near_u + across * near_v - pull_u
        step_v = across * near_u + to_v * near_v - pull_v
        total = here + torch.cat([step_u, step_v], dim=1)
    return total - here
