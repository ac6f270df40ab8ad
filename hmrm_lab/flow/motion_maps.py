"""Flow to motion maps (u, v, strain): strain, reduction, normalisation, dual-phase flow.

`motion_maps` and `normalise_live` are `motion_map` and `normalise_maps` in torch, so that gradients
pass from the maps to the flow network; a test compares them.
"""

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from hmrm_lab.config.sections import FlowConfig
from hmrm_lab.datasets.flowmaps import area_means, optical_strain
from hmrm_lab.errors import ConfigError, DivergedError
from hmrm_lab.flow.estimator import LearntFlow
from hmrm_lab.records import CHANNELS, PICTURES, RELATIVE, Floats
from hmrm_lab.registry import flows

PAIRS_AT_ONCE = 8  # pairs whose activations are in memory at a time
STILL = 1e-6  # a map whose RMS is below this shows no motion
THRESHOLD = 0.3  # of MM-COF: a mean scaled length below it is suppressed (decision 0018)
Normalise = Literal["none", "median_rms"]


def motion_map(flow_px: Floats, size: int, inside: NDArray[np.bool_] | None = None) -> Floats:
    """Flow (B, 2, H, W) in pixels and its strain as maps (B, 3, size, size), order (u, v, strain).

    Strain is computed at full resolution; then all are averaged over equal areas. Pixels that are
    not `inside` the recording, (H, W), do not count in an average; a cell that lies there by more
    than half has the median flow of the others and no strain.
    """
    maps = np.concatenate([flow_px, optical_strain(flow_px)[:, None]], axis=1)
    if inside is None or inside.all():
        return np.stack([area_means(m, size) for m in maps])
    share = area_means(inside[None].astype(np.float32), size)
    seen = share[0] >= 0.5
    reduced = np.stack([area_means(m * inside, size) for m in maps]) / np.maximum(share, 0.5)
    return np.stack([still_outside(m, seen) for m in reduced])


def head_motion(flow: Floats, inside: NDArray[np.bool_]) -> Floats:
    """The median of a flow within its recording, or 0: (2, H, W) to (2, 1, 1)."""
    if not inside.any():
        return np.zeros((2, 1, 1), dtype=np.float32)
    return np.median(flow[:, inside], axis=1).astype(np.float32)[:, None, None]


def still_outside(motion: Floats, inside: NDArray[np.bool_]) -> Floats:
    """A flow or map, (2 or 3, H, W), with the head's motion and no strain outside."""
    still = np.zeros((len(motion), 1, 1), dtype=np.float32)
    still[:2] = head_motion(motion[:2], inside)
    return np.where(inside, motion, still).astype(np.float32)


def without_median(flow: Floats) -> Floats:
    """Flow less its median, the motion of the head: (..., 2, H, W) to the same."""
    return flow - np.median(flow, axis=(-2, -1), keepdims=True)


def normalise_maps(
    maps: Floats, method: Normalise, unit: str, inside: NDArray[np.bool_] | None = None
) -> Floats:
    """Normalise each clip by itself; no statistic of one reaches another.

    Maps are (n, 3, H, W), or (n, T, 3, H, W): a sequence is divided by the RMS of all its maps, so
    that its growth over time is kept; medians are each map's own.

    `median_rms` subtracts the medians of u and of v (head motion, or the unknown zero of 8-bit
    maps) and divides both by their common RMS, strain by its own; in `RELATIVE` maps u and v by
    their own, too. Cells that are not `inside`, (n, H, W), have the median and no weight.
    """
    if method == "none":
        return maps
    flow = without_median(maps[..., :2, :, :])
    alike = np.split(flow, 2, axis=-3) if unit == RELATIVE else [flow]  # of one scale
    scaled = [part / _rms(part, inside) for part in (*alike, maps[..., 2:, :, :])]
    return np.concatenate(scaled, axis=-3).astype(np.float32)


def normalise_live(maps: Tensor, method: Normalise, inside: Tensor | None = None) -> Tensor:
    """`normalise_maps` in torch; any motion outside becomes 0."""
    seen = torch.ones_like(maps[:, :1], dtype=torch.bool) if inside is None else inside[:, None]
    if method == "none":
        return maps * seen
    known = maps[:, :2].masked_fill(~seen, torch.nan).flatten(2)
    median = known.nanquantile(0.5, dim=2).nan_to_num()  # (B, 2)
    flow, strain = (maps[:, :2] - median[..., None, None]) * seen, maps[:, 2:] * seen
    return torch.cat([flow / _live_rms(flow, seen), strain / _live_rms(strain, seen)], dim=1)


def root(values: Tensor) -> Tensor:
    """The square root, with a gradient of 0 at 0, where that of torch is not finite."""
    zero = values == 0
    return values.masked_fill(zero, 1).sqrt().masked_fill(zero, 0)


def select_channels(maps: Tensor, channels: tuple[str, ...]) -> Tensor:
    """The channels that a system takes, (..., C, H, W); magnitude is that of the given (u, v).

    Of (..., 3, H, W), order (u, v, strain), or (B, 7, H, W) with `PICTURES` behind them.
    """
    planes = dict(zip((*CHANNELS, *PICTURES), maps.unbind(-3), strict=False))
    if "magnitude" in channels:
        planes["magnitude"] = root(planes["u"] ** 2 + planes["v"] ** 2)
    return torch.stack([planes[name] for name in channels], dim=-3)


def _rms(values: Floats, inside: NDArray[np.bool_] | None) -> Floats:
    """Root mean square per clip; one without any motion is left unchanged."""
    mean = np.mean(values**2, axis=tuple(range(1, values.ndim)), keepdims=True)
    if inside is not None:
        mean = mean / np.maximum(inside.mean(axis=(1, 2)), STILL).reshape(mean.shape)
    rms = np.sqrt(mean)
    return np.where(rms > STILL, rms, 1.0).astype(np.float32)


def _live_rms(values: Tensor, seen: Tensor) -> Tensor:
    share = seen.to(values).mean((1, 2, 3), keepdim=True).clamp_min(STILL)
    rms = root((values**2).mean((1, 2, 3), keepdim=True) / share)
    return torch.where(rms > STILL, rms, 1.0)


def dual_phase(onset_apex: Floats, apex_offset: Floats, *, phases: str = "both") -> Floats:
    """Join both phases less their medians: a head that moves on would differ everywhere.

    Flows are (..., 2, H, W) in pixels, `phases` a name of `JOINED`, as in `flow.phases`.
    """
    return JOINED[phases](without_median(onset_apex), without_median(apex_offset))


def combine(onset_apex: Floats, apex_offset: Floats) -> Floats:
    """The movement that both phases of a clip, (..., 2, H, W) in pixels, have in common.

    With r the onset-to-apex flow, b the reversed apex-to-offset flow, s = (r + b) / 2 and
    d = (r - b) / 2, each pixel becomes s |s|^2 / (|s|^2 + |d|^2): all of a movement that is
    reversed, as an expression relaxes; a quarter of one that a single phase shows; nothing of one
    that goes on the same way.
    """
    shared, apart = (onset_apex - apex_offset) / 2, (onset_apex + apex_offset) / 2
    common, difference = (np.square(part).sum(-3, keepdims=True) for part in (shared, apart))
    energy = common + difference
    share = np.divide(common, energy, out=np.zeros_like(energy), where=energy > 0)
    return (share * shared).astype(np.float32)


def modulate(onset_apex: Floats, apex_offset: Floats, threshold: float = THRESHOLD) -> Floats:
    """MM-COF of both phases of a clip, (..., 2, H, W) in pixels (FMANet, arXiv 2510.07810).

    With r the onset-to-apex flow, b the reversed apex-to-offset flow, and |r|', |b|' their lengths,
    each scaled to 0..1, m = (|r|' + |b|') / 2 modulates the combined flow c = (r + b) / 2: it
    becomes c m / t where m is below the `threshold` t, and c (1 + m - t) elsewhere (decision 0018).
    """
    moves = (_scaled_length(onset_apex) + _scaled_length(apex_offset)) / 2
    gain = np.where(moves < threshold, moves / threshold, 1 + moves - threshold)
    return (gain * (onset_apex - apex_offset) / 2).astype(np.float32)


def _scaled_length(flow: Floats) -> Floats:
    """The length of each vector, its least in the map as 0 and its largest as 1: (..., 1, H, W)."""
    length = np.linalg.norm(flow, axis=-3, keepdims=True)
    above = length - length.min((-2, -1), keepdims=True)
    most = above.max((-2, -1), keepdims=True)
    return np.divide(above, most, out=np.zeros_like(above), where=most > 0)


JOINED = {"both": combine, "mm_cof": modulate}  # by `flow.phases`


class MotionFromFrames(nn.Module):
    """A flow network with strain and reduction behind it.

    Images (B, 2, side, side, 3) uint8, RGB, order (onset, apex), to (B, 3, size, size), order
    (u, v, strain). `pixel` is (B, 2), width and height of an image's pixel in the crop's.
    """

    def __init__(self, network: nn.Module, size: int) -> None:
        super().__init__()
        self.network, self.size = network, size

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
        if not flow.isfinite().all():  # the backward pass of such a look-up ends the process
            hint = "lower training.lr or flow.finetune_lr_scale"
            raise DivergedError(f"the flow is not finite; {hint}")
        return motion_maps(flow, self.size, pixel)


def learnt_network(flow: FlowConfig) -> nn.Module:
    """The estimator's pre-trained network; `ConfigError` if it has none."""
    estimator = flows[flow.name].build(**flow.options)
    if not isinstance(estimator, LearntFlow):
        hint = "set flow.name=gru_attention, or flow.finetune=false"
        raise ConfigError(f"flow '{flow.name}' has nothing that could be fine-tuned", hint=hint)
    return estimator.network


def motion_maps(flow: Tensor, size: int, pixel: Tensor) -> Tensor:
    """Flow (B, 2, H, W) and its strain, averaged over equal areas: (B, 3, size, size).

    `pixel` is (B, 2), width and height of a pixel in the unit that u and v shall have.
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
