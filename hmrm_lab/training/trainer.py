"""The one classifier loop. It is given training clips, and nothing else exists for it."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

import hmrm_lab.models  # noqa: F401  registers the systems
from hmrm_lab.augment.geometry import flip, jitter, shift
from hmrm_lab.augment.motionmix import MapSource, MotionMix, template_masks
from hmrm_lab.config import EvaluationConfig, ExperimentConfig, TrainingConfig
from hmrm_lab.errors import DivergedError
from hmrm_lab.flow.normalise import select_channels
from hmrm_lab.records import CLASSES, Floats, FlowSet
from hmrm_lab.registry import systems
from hmrm_lab.training.finetune import map_source, parameter_groups, with_flow
from hmrm_lab.training.losses import MSWCE, balance_classes

Classifier = Callable[[FlowSet], Floats]
EpochProbe = Callable[[int, Classifier], None]


@dataclass
class Fitted:
    """A trained system with the story of its training.

    `losses` has the mean training loss of every epoch; `partners` the persons whose motion was
    mixed into other clips.
    """

    model: nn.Module
    config: ExperimentConfig
    losses: list[float] = field(default_factory=list)
    partners: tuple[str, ...] = ()

    def classify(self, flowset: FlowSet) -> Floats:
        """Probabilities (n, K) of clips, each on its own: no statistic is shared among them."""
        return classify(self.model, self.config, flowset)


def fit(
    config: ExperimentConfig,
    train: FlowSet,
    *,
    seed: int,
    epochs: int | None = None,
    device: str = "cpu",
    on_epoch: EpochProbe | None = None,
) -> Fitted:
    """Train a system on these clips from scratch.

    The same clips, settings and seed give the same weights, bit for bit, on one machine. The
    random state of the caller is left as it was. `on_epoch(epoch, classify)` is called after each
    epoch, which is how an epoch rule looks at a model on the way; it must not draw random numbers.

    Raises `DivergedError` as soon as the loss is not finite.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _fit(config, train, epochs or config.training.epochs, device, on_epoch)


def _fit(
    config: ExperimentConfig,
    train: FlowSet,
    epochs: int,
    device: str,
    on_epoch: EpochProbe | None,
) -> Fitted:
    labels = torch.from_numpy(train.labels).to(device)
    model = build_learner(config, train.maps.shape[-1]).to(device)
    mix = _motion_mix(config, train, labels, map_source(config, model, train, device))
    loss_of = _loss(config, labels).to(device)
    optimizer = _optimizer(config.training, parameter_groups(config, model, loss_of))
    steps = math.ceil(len(train) / config.training.batch)
    schedule = _schedule(config.training, optimizer, steps, epochs)
    averaged = WeightAverage(model, config.training.ema) if config.training.ema else None
    fitted = Fitted(averaged.model if averaged else model, config)
    for epoch in range(1, epochs + 1):
        model.train()
        total = torch.zeros((), device=device)
        for rows in torch.randperm(len(train)).to(device).split(config.training.batch):
            inputs = _augmented(config, mix, rows)
            loss = loss_of(model(inputs), labels[rows])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            if config.training.clip_norm:
                nn.utils.clip_grad_norm_(model.parameters(), config.training.clip_norm)
            optimizer.step()
            schedule.step()
            if averaged:
                averaged.update(model)
            total += loss.detach() * len(rows)
        fitted.losses.append(_finite(total.item() / len(train), epoch))
        if on_epoch:
            on_epoch(epoch, fitted.classify)
    fitted.model.eval()
    fitted.partners = tuple(sorted({train.persons[partner] for _, partner in mix.provenance}))
    return fitted


def build_model(config: ExperimentConfig, size: int) -> nn.Module:
    """The system of the settings, untrained, for maps of `size` pixels."""
    build = systems[config.model.name].build
    return build(len(config.input.channels), size, **config.model.options)


def build_learner(config: ExperimentConfig, size: int) -> nn.Module:
    """All that a fold trains: the system, and the flow before it where that is fine-tuned."""
    return with_flow(config, build_model(config, size), size)


def classify(model: nn.Module, config: ExperimentConfig, flowset: FlowSet) -> Floats:
    """Probabilities (n, K), averaged over the views that the settings ask for."""
    device = next(model.parameters()).device
    source = map_source(config, model, flowset, str(device))
    was_training = model.training
    model.eval()
    with torch.no_grad():
        maps = source[torch.arange(len(flowset), device=device)]
        views = [
            _read_out(model(select_channels(view, config.input.channels)), config.evaluation)
            for view in _views(maps, config.evaluation)
        ]
    model.train(was_training)
    return torch.stack(views).mean(0).cpu().numpy().astype(np.float32)


class WeightAverage:
    """An exponential moving average of weights and buffers, with a short warm-up."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = copy.deepcopy(model).requires_grad_(False)
        self.decay, self.step = decay, 0

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        self.step += 1
        decay = min(self.decay, (1 + self.step) / (10 + self.step))
        ours, theirs = self.model.state_dict().values(), model.state_dict().values()
        for mean, new in zip(ours, theirs, strict=True):
            if mean.is_floating_point():
                mean.lerp_(new, 1 - decay)
            else:
                mean.copy_(new)


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


def _loss(config: ExperimentConfig, labels: Tensor) -> MSWCE:
    return MSWCE(
        config.loss.scale_weights,
        gamma=config.loss.gamma,
        learn_scale_weights=config.loss.learn_scale_weights,
        class_weights=balance_classes(labels, len(CLASSES), config.loss.class_weight_power),
        label_smoothing=config.loss.label_smoothing,
    )


def _optimizer(training: TrainingConfig, groups: list[dict[str, Any]]) -> Optimizer:
    kind = {"adamw": AdamW, "adam": Adam}[training.optimizer]
    return kind(groups, lr=training.lr, weight_decay=training.weight_decay, fused=True)


def _schedule(training: TrainingConfig, optimizer: Optimizer, steps: int, epochs: int) -> LambdaLR:
    """Linear warm-up, then constant or half a cosine down to zero, per step."""
    warmup, total = training.warmup_epochs * steps, epochs * steps

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        if training.schedule == "constant":
            return 1.0
        progress = (step - warmup) / max(1, total - warmup)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))

    return LambdaLR(optimizer, factor)


def _read_out(logits: Tensor, evaluation: EvaluationConfig) -> Tensor:
    """(B, S, K) logits to (B, K) probabilities: the first head, or the mean of all."""
    probabilities = logits.softmax(-1)
    return probabilities.mean(1) if evaluation.readout == "mean" else probabilities[:, 0]


def _views(maps: Tensor, evaluation: EvaluationConfig) -> list[Tensor]:
    """The maps as they are, and mirrored and shifted where the settings ask for it."""
    views = [maps, flip(maps)] if evaluation.tta_flip else [maps]
    reach = range(-evaluation.tta_shift_px, evaluation.tta_shift_px + 1)
    return [shift(view, right, down) for view in views for right in reach for down in reach]


def _finite(loss: float, epoch: int) -> float:
    if not math.isfinite(loss):
        raise DivergedError(f"the loss is {loss} in epoch {epoch}; lower training.lr")
    return loss
