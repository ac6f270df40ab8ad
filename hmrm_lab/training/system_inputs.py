"""The inputs of all systems: stored maps, clips, or maps of a flow that is fine-tuned with them.

Fine-tuning puts the flow network before the system (decision 0009): maps are then computed from the
frames in every step, by the positions of clips.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hmrm_lab.config import ExperimentConfig
from hmrm_lab.flow.motion_maps import (
    MotionFromFrames,
    normalise_live,
    normalise_maps,
    select_channels,
)
from hmrm_lab.models.interface import Inputs
from hmrm_lab.preparation import require_frames, require_frames_for
from hmrm_lab.records import FlowSet
from hmrm_lab.registry import systems
from hmrm_lab.training.augmentation import MapSource
from hmrm_lab.training.losses import forward_tasks


def has_epochs(config: ExperimentConfig) -> bool:
    return not systems[config.model.name].is_estimator


def inputs_of(config: ExperimentConfig, flowset: FlowSet) -> Inputs:
    """Return the inputs of an estimator: (n, C, H, W) normalised maps, or (n, T, S, S) clips."""
    if systems[config.model.name].takes == "clip":
        require_frames_for(config, flowset)
        assert flowset.clips is not None
        return flowset.clips
    return select_channels(all_channels(config, flowset), config.input.channels).numpy()


def all_channels(config: ExperimentConfig, flowset: FlowSet) -> Tensor:
    """Return every channel that a system may choose from: (n, 3, H, H), order (u, v, strain).

    If the settings name a picture (n, 7, S, S), with `PICTURES` after them, and maps enlarged to
    the pictures' S pixels. A sequence is (n, T, 3, H, H).
    """
    require_frames_for(config, flowset)
    method, inside = config.input.normalise, flowset.inside
    given = flowset.maps if config.input.frames == 1 else flowset.sequence
    assert given is not None
    maps = torch.from_numpy(normalise_maps(given, method, flowset.unit, inside))
    if not config.input.has_pictures:
        return maps
    assert flowset.pictures is not None
    pictures = torch.from_numpy(flowset.pictures)
    size = list(pictures.shape[-2:])
    large = F.interpolate(maps, size=size, mode="bilinear", align_corners=False)
    return torch.cat([large, pictures], dim=1)


class FineTuned(nn.Module):
    """A system with its own flow network: both are trained, averaged and stored as one model.

    `forward` is that of the system, maps to logits: augmentation lies between the two parts.
    """

    def __init__(self, motion: MotionFromFrames, system: nn.Module) -> None:
        super().__init__()
        self.motion = motion
        self.system = system

    def forward(self, maps: Tensor) -> Tensor:
        return self.system(maps)

    def forward_tasks(self, maps: Tensor) -> tuple[Tensor, Tensor | float]:
        return forward_tasks(self.system, maps)


class LiveMaps:
    """Normalised maps by the flow network in its present state: (B,) to (B, 3, H, W)."""

    def __init__(
        self, config: ExperimentConfig, motion: MotionFromFrames, flowset: FlowSet, device: str
    ) -> None:
        frames = require_frames(config, flowset)
        self.images = torch.from_numpy(frames.images).to(device)
        self.pixel = torch.from_numpy(frames.pixel).to(device)
        inside = flowset.inside
        self.inside = None if inside is None else torch.from_numpy(inside).to(device)
        self.motion = motion
        self.normalise = config.input.normalise

    def __getitem__(self, rows: Tensor) -> Tensor:
        maps = self.motion(self.images[rows], self.pixel[rows])
        inside = None if self.inside is None else self.inside[rows]
        return normalise_live(maps, self.normalise, inside)


def map_source(
    config: ExperimentConfig, model: nn.Module, flowset: FlowSet, device: str
) -> MapSource:
    """Return normalised maps of clips by position: stored, or by the model's own flow."""
    if isinstance(model, FineTuned):
        return LiveMaps(config, model.motion, flowset, device)
    return all_channels(config, flowset).to(device)
