"""Fine-tuning: the flow network stands before the system, and both are one model (decision 0009).

For the trainer a fold has a source of maps, asked for by the positions of clips. Stored maps are a
tensor; with fine-tuning they are computed from the frames, anew in every step.
"""

from typing import Any

import torch
from torch import Tensor, nn

from hmrm_lab.config import ExperimentConfig
from hmrm_lab.flow.motion_maps import MotionFromFrames, learnt_network, normalise_live
from hmrm_lab.models.layers import forward_tasks
from hmrm_lab.preparation import require_frames
from hmrm_lab.records import FlowSet
from hmrm_lab.training.augment.motionmix import MapSource
from hmrm_lab.training.estimators import all_channels


class FineTuned(nn.Module):
    """A system with its own flow network, so that both train, are averaged and answer as one.

    `forward` is that of the system, maps to logits: augmentation lies between the two parts.
    """

    def __init__(self, motion: MotionFromFrames, system: nn.Module) -> None:
        super().__init__()
        self.motion = motion
        self.system = system

    def forward(self, maps: Tensor) -> Tensor:
        logits: Tensor = self.system(maps)
        return logits

    def forward_tasks(self, maps: Tensor) -> tuple[Tensor, Tensor | float]:
        """The system's logits with its extra loss, if it has one."""
        return forward_tasks(self.system, maps)


class LiveMaps:
    """Normalised maps by the flow network as it is at this moment: (B,) to (B, 3, H, W)."""

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
    """The system as it is, or with a copy of the pre-trained flow where that is to be trained."""
    if not config.flow.finetune:
        return system
    return FineTuned(MotionFromFrames(learnt_network(config.flow), size), system)


def map_source(
    config: ExperimentConfig, model: nn.Module, flowset: FlowSet, device: str
) -> MapSource:
    """Normalised maps of these clips by position: stored ones, or by the model's own flow."""
    if isinstance(model, FineTuned):
        return LiveMaps(config, model.motion, flowset, device)
    return all_channels(config, flowset).to(device)


def parameter_groups(
    config: ExperimentConfig, model: nn.Module, loss: nn.Module
) -> list[dict[str, Any]]:
    """What the optimizer moves. The flow takes smaller steps and no decay.

    A decay would pull it towards zero; where it comes from is its pre-training.
    """
    if not isinstance(model, FineTuned):
        return [{"params": [*model.parameters(), *loss.parameters()]}]
    flow = {
        "params": [*model.motion.parameters()],
        "lr": config.training.lr * config.flow.finetune_lr_scale,
        "weight_decay": 0.0,
    }
    return [{"params": [*model.system.parameters(), *loss.parameters()]}, flow]
