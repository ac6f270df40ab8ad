"""Frames to motion maps in torch, so that a gradient passes from the maps to the flow network.

`motion_maps` is the twin of `strain.motion_map`; a test holds them together.
"""

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from hmrm_lab.config.sections import FlowConfig
from hmrm_lab.errors import ConfigError, DivergedError
from hmrm_lab.flow.estimator import LearntFlow
from hmrm_lab.flow.normalise import root
from hmrm_lab.registry import flows

PAIRS_AT_ONCE = 8  # what they leave for the gradient is all that is in memory at a time


class MotionFromFrames(nn.Module):
    """A flow network with strain and reduction behind it.

    Shapes
    ------
    images : (B, 2, side, side, 3) uint8, RGB, order (onset, apex)
    pixel : (B, 2), width and height of one of their pixels in pixels of the crop
    returns : (B, 3, size, size), order (u, v, strain), u and v in pixels of the crop

    Raises `DivergedError` as soon as the flow is not finite.
    """

    def __init__(self, network: nn.Module, size: int) -> None:
        super().__init__()
        self.network = network
        self.size = size

    def forward(self, images: Tensor, pixel: Tensor) -> Tensor:
        chunks = zip(images.split(PAIRS_AT_ONCE), pixel.split(PAIRS_AT_ONCE), strict=True)
        if len(images) <= PAIRS_AT_ONCE or not torch.is_grad_enabled():
            return torch.cat([self._maps(*chunk) for chunk in chunks])
        maps = [
            checkpoint(self._maps, *chunk, use_reentrant=False, preserve_rng_state=False)
            for chunk in chunks
        ]
        return torch.cat(maps)

    def _maps(self, images: Tensor, pixel: Tensor) -> Tensor:
        onset, apex = (images.permute(1, 0, 4, 2, 3).float() / 255).unbind(0)  # (B, 3, side, side)
        flow = self.network(onset, apex)
        if not flow.isfinite().all():  # the way back through such a look-up ends the process
            raise DivergedError(
                "the flow is not finite; lower training.lr or flow.finetune_lr_scale"
            )
        return motion_maps(flow, self.size, pixel)


def learnt_network(flow: FlowConfig) -> nn.Module:
    """A copy of the estimator's pre-trained network; `ConfigError` if it has none."""
    estimator = flows[flow.name].build(**flow.options)
    if not isinstance(estimator, LearntFlow):
        raise ConfigError(
            f"flow '{flow.name}' has nothing that could be fine-tuned",
            mend="set flow.name=gru_attention, or flow.finetune=false",
        )
    return estimator.network


def motion_maps(flow: Tensor, size: int, pixel: Tensor) -> Tensor:
    """Flow and its strain, averaged over equal areas.

    Shapes
    ------
    flow : (B, 2, H, W), pixels of these frames
    pixel : (B, 2), width and height of one of them in the unit that u and v shall have
    returns : (B, 3, size, size), order (u, v, strain)
    """
    u, v = (flow * pixel[:, :, None, None]).unbind(1)
    across, down = pixel[:, :, None, None].unbind(1)
    u_y, u_x = torch.gradient(u, dim=(1, 2))
    v_y, v_x = torch.gradient(v, dim=(1, 2))
    strain = root((u_x / across) ** 2 + (v_y / down) ** 2 + 0.5 * (u_y / down + v_x / across) ** 2)
    rows, columns = (_area_means(side, size).to(flow) for side in flow.shape[2:])
    return rows @ torch.stack([u, v, strain], dim=1) @ columns.mT


def _area_means(side: int, size: int) -> Tensor:
    """(size, side): the share of every pixel in the mean over each of `size` equal lengths."""
    edges = torch.arange(size + 1, dtype=torch.float64) * side / size
    first, last = edges[:-1, None], edges[1:, None]
    pixels = torch.arange(side, dtype=torch.float64)
    inside = torch.minimum(last, pixels + 1) - torch.maximum(first, pixels)
    return inside.clamp_min(0) * size / side
