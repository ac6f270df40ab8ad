"""The learner: model, weight average, loss, optimizer and schedule, trained epoch by epoch."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel

from hmrm_lab.config import ExperimentConfig
from hmrm_lab.config.sections import TrainingConfig
from hmrm_lab.errors import ConfigError
from hmrm_lab.flow.motion_maps import select_channels
from hmrm_lab.models.layers import in_bfloat16
from hmrm_lab.records import FlowSet
from hmrm_lab.registry import systems
from hmrm_lab.training.augment.motionmix import MotionMix, mix_clips, template_masks
from hmrm_lab.training.augment.warps import jitter
from hmrm_lab.training.finetune import map_source, parameter_groups, with_flow
from hmrm_lab.training.graphs import RecordedGradients
from hmrm_lab.training.losses import MSWCE, balance_classes, forward_tasks

Gradients = Callable[[Tensor, Tensor], Tensor]  # sets the gradients of a batch; returns its loss


class Learner:
    """The state of a training between two epochs.

    It begins with `weights`, or with random ones by torch's random state. `losses` and `probes`
    have an entry for every epoch done: the mean training loss, and the result of the probe.
    """

    def __init__(
        self,
        config: ExperimentConfig,
        train: FlowSet,
        *,
        device: str,
        weights: Mapping[str, Tensor] | None = None,
    ) -> None:
        labels = torch.from_numpy(train.labels).to(device)
        training, loss = config.training, config.loss
        self.config, self.classes = config, len(train.classes)
        self.model = build_learner(config, train.maps.shape[-1], self.classes).to(device)
        if weights is not None:
            self.model.load_state_dict(weights)
        maps = map_source(config, self.model, train, device)
        self.mix = MotionMix(
            maps,
            labels,
            _masks(train).to(device),
            share=config.augment.motionmix,
            strength=config.augment.mix_lambda,
            regions=config.augment.mix_regions,
        )
        self.loss_of = MSWCE(
            loss.scale_weights,
            gamma=loss.gamma,
            learn_scale_weights=loss.learn_scale_weights,
            class_weights=balance_classes(labels, self.classes, loss.class_weight_power),
            label_smoothing=loss.label_smoothing,
        ).to(device)
        self.optimizer: Optimizer = {"adamw": AdamW, "adam": Adam}[training.optimizer](
            parameter_groups(config, self.model, self.loss_of),
            lr=training.lr,
            weight_decay=training.weight_decay,
            fused=True,
        )
        steps = len(split_batches(labels, training.batch))
        self.schedule = LambdaLR(self.optimizer, rate_schedule(training, steps))
        self.averaged = average_weights(self.model, training.ema) if training.ema else None
        self.gradients = gradients_of(config, self.model, self.loss_of, device)
        self.losses: list[float] = []
        self.probes: list[Any] = []

    @property
    def answering(self) -> nn.Module:
        """The model that classifies: the average of weights, if there is one."""
        return self.averaged.module if self.averaged else self.model

    def run_epoch(self) -> float:
        """Learn from all clips once, in random order; returns the mean loss."""
        self.model.train()
        labels, count = self.mix.labels, len(self.mix.labels)
        total = torch.zeros((), device=labels.device)
        order = torch.randperm(count).to(labels.device)
        for rows in split_batches(order, self.config.training.batch):
            total += self.step(rows) * len(rows)
        return total.item() / count

    def step(self, rows: Tensor) -> Tensor:
        """Learn from the clips at these positions; returns their loss."""
        augment, labels = self.config.augment, self.mix.labels[rows]
        maps = jitter(
            self.mix(rows),
            flips=augment.flip,
            shift_px=augment.shift_px,
            scale=augment.scale,
            rotate_deg=augment.rotate_deg,
        )
        maps = select_channels(maps, self.config.input.channels)
        if augment.mixup:
            targets = F.one_hot(labels, self.classes).to(maps)
            maps, labels, partners = mix_clips(maps, targets, augment.mixup)
            self.mix.provenance.update(zip(rows.tolist(), rows[partners].tolist(), strict=True))
        loss = self.gradients(maps, labels)
        if self.config.training.clip_norm:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.config.training.clip_norm)
        self.optimizer.step()
        self.schedule.step()
        if self.averaged:
            self.averaged.update_parameters(self.model)
        return loss


def split_batches(order: Tensor, size: int) -> list[Tensor]:
    """Split into batches of `size`; a single clip that is left joins the batch before it.

    Batch normalisation cannot train on a single clip.
    """
    batches = list(order.split(size))
    if size > 1 and len(batches) > 1 and len(batches[-1]) == 1:
        *batches, last, single = batches
        batches.append(torch.cat([last, single]))
    return batches


def build_model(config: ExperimentConfig, size: int, classes: int) -> nn.Module:
    """Build the system of the settings for maps of `size` pixels and this number of classes."""
    build = systems[config.model.name].build
    channels = len(config.input.channels)
    return build(channels, config.input.side(size), classes, **config.model.options)


def build_learner(config: ExperimentConfig, size: int, classes: int) -> nn.Module:
    """Build what a fold trains: the system, and the flow network before it if fine-tuned."""
    learner = with_flow(config, build_model(config, size, classes), size)
    return in_bfloat16(learner) if config.training.bfloat16 else learner


def without_own_weights(config: ExperimentConfig) -> ExperimentConfig:
    """Remove the file of weights from the settings of a model that gets its weights elsewhere."""
    if not config.model.options.get("weights"):
        return config
    return config.model_copy(update={"model": config.model.model_copy(update={"weights": ""})})


def average_weights(model: nn.Module, decay: float) -> AveragedModel:
    """Begin an exponential moving average of weights and buffers, with a short warm-up."""

    @torch.no_grad()
    def update(means: Any, values: Any, _: Any) -> None:
        step = int(averaged.n_averaged)
        if means[0].is_floating_point():
            share = 1 - min(decay, (1 + step) / (10 + step))
            torch._foreach_lerp_(means, values, share)
        else:  # counters
            torch._foreach_copy_(means, values)

    averaged = AveragedModel(model, multi_avg_fn=update, use_buffers=True).requires_grad_(False)
    averaged.n_averaged += 1  # the first update averages with the initial weights
    return averaged


def _masks(train: FlowSet) -> Tensor:
    """Return the region masks of the clips, or the template's for each: (n, 2, H, W)."""
    if train.masks is not None:
        return torch.from_numpy(train.masks)
    size = train.maps.shape[-1]
    return torch.from_numpy(template_masks(size)).repeat(len(train), 1, 1, 1)


def gradients_of(
    config: ExperimentConfig, model: nn.Module, loss_of: MSWCE, device: str
) -> Gradients:
    """Make the function that sets gradients: recorded in a CUDA graph, if the settings ask for it.

    The loss is that of the logits, and the extra loss of a network with a second task.
    """
    parameters = [*model.parameters(), *loss_of.parameters()]

    def loss_of_batch(maps: Tensor, labels: Tensor) -> Tensor:
        logits, extra = forward_tasks(model, maps)
        return loss_of(logits, labels) + extra

    gradients = RecordedGradients(loss_of_batch, parameters)
    if not config.training.cuda_graphs:
        return gradients.unrecorded
    if config.flow.finetune:
        raise ConfigError(
            "training.cuda_graphs records the system alone, and flow.finetune trains the flow too",
            hint="leave one of them out",
        )
    if not device.startswith("cuda"):
        raise ConfigError(
            f"training.cuda_graphs needs a CUDA device, not {device}",
            hint="give --devices cuda, or leave the setting out",
        )
    return gradients


def rate_schedule(training: TrainingConfig, steps: int) -> Callable[[int], float]:
    """Make the factor of the rate: linear warm-up, then constant or half a cosine down to zero.

    `steps` make an epoch.
    """
    warmup, total = training.warmup_epochs * steps, training.epochs * steps

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        if training.schedule == "constant":
            return 1.0
        progress = (step - warmup) / max(1, total - warmup)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))

    return factor
