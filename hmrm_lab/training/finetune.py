"""Fine-tuning: the flow network before the system, both trained as one model (decision 0009).

The trainer reads maps by the positions of clips: from a tensor of stored maps, or with fine-tuning
computed from the frames in every step.
"""

from typing import Any

import torch
from torch import Tensor, nn

from hmrm_lab.config import ExperimentConfig
from hmrm_lab.flow.motion_maps import MotionFromFrames, learnt_network, normalise_live
from hmrm_lab.preparation import require_frames
from hmrm_lab.records import FlowSet
from hmrm_lab.training.augment.motionmix import MapSource
from hmrm_lab.training.estimators import all_channels
from hmrm_lab.training.losses import forward_tasks


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
        """Return the system's logits and its extra loss, if it has one."""
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


def with_flow(config: ExperimentConfig, system: nn.Module, size: int) -> nn.Module:
    """Put a copy of the pre-trained flow before the system, if the settings fine-tune it."""
    if not config.flow.finetune:
        return system
    return FineTuned(MotionFromFrames(learnt_network(config.flow), size), system)


def map_source(
    config: ExperimentConfig, model: nn.Module, flowset: FlowSet, device: str
) -> MapSource:
    """Return normalised maps of clips by position: stored, or by the model's own flow."""
    if isinstance(model, FineTuned):
        return LiveMaps(config, model.motion, flowset, device)
    return all_channels(config, flowset).to(device)


def parameter_groups(
    config: ExperimentConfig, model: nn.Module, loss: nn.Module
) -> list[dict[str, Any]]:
    """Group the parameters of the optimizer; the flow has a smaller rate and no decay.

    Decay would pull it towards zero, not towards its pre-trained weights.
    """
    if not isinstance(model, FineTuned):
        return [{"params": [*model.parameters(), *loss.parameters()]}]
    flow = {
        "params": [*model.motion.parameters()],
        "lr": config.training.lr * config.flow.finetune_lr_scale,
        "weight_decay": 0.0,
    }
    return [{"params": [*model.system.parameters(), *loss.parameters()]}, flow]
