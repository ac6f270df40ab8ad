"""What a training holds between two epochs: model, average, loss, optimizer, schedule, dice."""

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from hmrm_lab.config import ExperimentConfig
from hmrm_lab.config.sections import TrainingConfig
from hmrm_lab.errors import ConfigError
from hmrm_lab.flow.normalise import select_channels
from hmrm_lab.models.layers import forward_tasks, in_bfloat16
from hmrm_lab.records import FlowSet
from hmrm_lab.registry import systems
from hmrm_lab.training.augment.motionmix import MapSource, MotionMix, mix_clips, template_masks
from hmrm_lab.training.augment.warps import jitter
from hmrm_lab.training.finetune import map_source, parameter_groups, with_flow
from hmrm_lab.training.graphs import RecordedGradients
from hmrm_lab.training.losses import MSWCE, balance_classes

Gradients = Callable[[Tensor, Tensor], Tensor]  # of a batch, set in place; returns its loss


@dataclass(eq=False)
class Learner:
    """A training between two epochs.

    `losses` and `probes` have an entry for every epoch done: the mean training loss, and what was
    asked of the model then.
    """

    config: ExperimentConfig
    classes: int
    model: nn.Module
    averaged: "WeightAverage | None"
    loss_of: MSWCE
    optimizer: Optimizer
    schedule: LambdaLR
    mix: MotionMix
    gradients: "Gradients"
    losses: list[float] = field(default_factory=list)
    probes: list[Any] = field(default_factory=list)

    @classmethod
    def begin(
        cls,
        config: ExperimentConfig,
        train: FlowSet,
        *,
        device: str,
        weights: Mapping[str, Tensor] | None = None,
    ) -> "Learner":
        """Before the first epoch, with these weights, or such as torch's random state draws."""
        labels = torch.from_numpy(train.labels).to(device)
        classes = len(train.classes)
        model = build_learner(config, train.maps.shape[-1], classes).to(device)
        if weights is not None:
            model.load_state_dict(weights)
        mix = _motion_mix(config, train, labels, map_source(config, model, train, device))
        loss_of = _loss(config, labels, classes).to(device)
        optimizer = _optimizer(config.training, parameter_groups(config, model, loss_of))
        steps = len(split_batches(labels, config.training.batch))
        schedule = _schedule(config.training, optimizer, steps)
        averaged = WeightAverage(model, config.training.ema) if config.training.ema else None
        gradients = _gradients(config, model, loss_of, device)
        return cls(config, classes, model, averaged, loss_of, optimizer, schedule, mix, gradients)

    @property
    def answering(self) -> nn.Module:
        """The model that is asked: the averaged one, if there is one."""
        return self.averaged.model if self.averaged else self.model

    def run_epoch(self) -> float:
        """One pass over the clips in an order drawn anew; returns the mean loss."""
        self.model.train()
        labels, count = self.mix.labels, len(self.mix.labels)
        total = torch.zeros((), device=labels.device)
        order = torch.randperm(count).to(labels.device)
        for rows in split_batches(order, self.config.training.batch):
            total += self.step(rows) * len(rows)
        return total.item() / count

    def step(self, rows: Tensor) -> Tensor:
        """Learn from the clips at these positions; returns their loss."""
        maps, labels = _augmented(self.config, self.mix, rows), self.mix.labels[rows]
        if self.config.augment.mixup:
            targets = F.one_hot(labels, self.classes).to(maps)
            maps, labels, partners = mix_clips(maps, targets, self.config.augment.mixup)
            self.mix.provenance.update(zip(rows.tolist(), rows[partners].tolist(), strict=True))
        loss = self.gradients(maps, labels)
        if self.config.training.clip_norm:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.config.training.clip_norm)
        self.optimizer.step()
        self.schedule.step()
        if self.averaged:
            self.averaged.update(self.model)
        return loss


def split_batches(order: Tensor, size: int) -> list[Tensor]:
    """Batches of `size`, the last with what is left; a single clip left joins the batch before it.

    Batch normalisation has nothing to compare a single clip with.
    """
    batches = list(order.split(size))
    if size > 1 and len(batches) > 1 and len(batches[-1]) == 1:
        *batches, last, single = batches
        batches.append(torch.cat([last, single]))
    return batches


def build_model(config: ExperimentConfig, size: int, classes: int) -> nn.Module:
    """The system of the settings, untrained, for clips whose maps have `size` pixels a side.

    `classes` is how many it tells apart.
    """
    build = systems[config.model.name].build
    channels = len(config.input.channels)
    return build(channels, config.input.side(size), classes, **config.model.options)


def build_learner(config: ExperimentConfig, size: int, classes: int) -> nn.Module:
    """All that a fold trains: the system, and the flow before it where that is fine-tuned."""
    learner = with_flow(config, build_model(config, size, classes), size)
    return in_bfloat16(learner) if config.training.bfloat16 else learner


def without_own_weights(config: ExperimentConfig) -> ExperimentConfig:
    """The settings of a model whose weights come from elsewhere: a user's file is not asked for."""
    if not config.model.options.get("weights"):
        return config
    return config.model_copy(update={"model": config.model.model_copy(update={"weights": ""})})


class WeightAverage:
    """An exponential moving average of weights and buffers, with a short warm-up."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = copy.deepcopy(model).requires_grad_(False)
        self.decay, self.step = decay, 0

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        self.step += 1
        decay = min(self.decay, (1 + self.step) / (10 + self.step))
        pairs = list(zip(_values(self.model), _values(model), strict=True))
        floating = [pair for pair in pairs if pair[0].is_floating_point()]
        means, new = zip(*floating, strict=True)
        torch._foreach_lerp_(means, new, 1 - decay)
        for count, now in pairs:
            if not count.is_floating_point():
                count.copy_(now)


def _values(model: nn.Module) -> list[Tensor]:
    return list(model.state_dict().values())


def _motion_mix(
    config: ExperimentConfig, train: FlowSet, labels: Tensor, maps: MapSource
) -> MotionMix:
    size = train.maps.shape[-1]
    masks = train.masks
    if masks is None:
        masks = np.broadcast_to(template_masks(size), (len(train), 2, size, size)).copy()
    return MotionMix(
        maps,
        labels,
        torch.from_numpy(masks).to(labels.device),
        share=config.augment.motionmix,
        strength=config.augment.mix_lambda,
        regions=config.augment.mix_regions,
    )


def _augmented(config: ExperimentConfig, mix: MotionMix, rows: Tensor) -> Tensor:
    augment = config.augment
    maps = jitter(
        mix(rows),
        flips=augment.flip,
        shift_px=augment.shift_px,
        scale=augment.scale,
        rotate_deg=augment.rotate_deg,
    )
    return select_channels(maps, config.input.channels)


def _gradients(
    config: ExperimentConfig, model: nn.Module, loss_of: MSWCE, device: str
) -> Gradients:
    """Recorded where the settings ask for it, else as torch comes.

    The loss is that of the answer, and what a network with a second task adds to it.
    """
    parameters = [*model.parameters(), *loss_of.parameters()]

    def loss_of_batch(maps: Tensor, labels: Tensor) -> Tensor:
        logits, extra = forward_tasks(model, maps)
        return loss_of(logits, labels) + extra

    gradients = RecordedGradients(loss_of_batch, parameters)
    if not config.training.cuda_graphs:
        return gradients.as_it_is
    if config.flow.finetune:
        raise ConfigError(
            "training.cuda_graphs records the system alone, and flow.finetune trains the flow too",
            mend="leave one of them out",
        )
    if not device.startswith("cuda"):
        raise ConfigError(
            f"training.cuda_graphs needs a CUDA device, not {device}",
            mend="give --devices cuda, or leave the setting out",
        )
    return gradients


def _loss(config: ExperimentConfig, labels: Tensor, classes: int) -> MSWCE:
    return MSWCE(
        config.loss.scale_weights,
        gamma=config.loss.gamma,
        learn_scale_weights=config.loss.learn_scale_weights,
        class_weights=balance_classes(labels, classes, config.loss.class_weight_power),
        label_smoothing=config.loss.label_smoothing,
    )


def _optimizer(training: TrainingConfig, groups: list[dict[str, Any]]) -> Optimizer:
    kind = {"adamw": AdamW, "adam": Adam}[training.optimizer]
    return kind(groups, lr=training.lr, weight_decay=training.weight_decay, fused=True)


def _schedule(training: TrainingConfig, optimizer: Optimizer, steps: int) -> LambdaLR:
    """Linear warm-up, then constant or half a cosine down to zero; `steps` make an epoch."""
    warmup, total = training.warmup_epochs * steps, training.epochs * steps

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        if training.schedule == "constant":
            return 1.0
        progress = (step - warmup) / max(1, total - warmup)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))

    return LambdaLR(optimizer, factor)
