"""The learner: model, weight average, loss, optimizer and schedule; steps as CUDA graphs."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel

from hmrm_lab.config import ExperimentConfig
from hmrm_lab.config.sections import TrainingConfig
from hmrm_lab.errors import ConfigError
from hmrm_lab.flow.motion_maps import MotionFromFrames, learnt_network, select_channels
from hmrm_lab.models.layers import in_bfloat16
from hmrm_lab.records import FlowSet
from hmrm_lab.registry import systems
from hmrm_lab.training import action_units, augmentation
from hmrm_lab.training.losses import MSWCE, balance_classes, forward_tasks
from hmrm_lab.training.system_inputs import FineTuned, map_source

Loss = Callable[..., Tensor]  # of the maps, labels and action units of a batch
Record = Callable[[Callable[[], Tensor]], tuple[Callable[[], None], Tensor]]
WARM_UP = 3  # steps of each size of batch that run before one is recorded


class Drawn(NamedTuple):
    """Random numbers for the clips of a batch, each (B,), on the host; None of what is off."""

    rows: Tensor  # positions of the clips
    partners: Tensor  # for MotionMix
    strength: Tensor | None
    mirrored: Tensor | None
    zoom: Tensor | None
    angle_rad: Tensor | None
    right_px: Tensor | None
    down_px: Tensor | None
    others: Tensor | None  # for mixup: positions in the batch
    share: Tensor | None


class Learner:
    """The state of a training between two epochs; it begins with `weights`, or random ones."""

    def __init__(
        self,
        config: ExperimentConfig,
        train: FlowSet,
        *,
        device: str,
        weights: Mapping[str, Tensor] | None = None,
    ) -> None:
        training, loss, self.device = config.training, config.loss, torch.device(device)
        self.config, self.classes = config, len(train.classes)
        on_host = torch.from_numpy(train.labels)
        self.labels = on_host.to(device)
        units = action_units.units_to_learn(config, train)
        self.targets = action_units.unit_targets(train, units).to(device)  # (n, U)
        size, outputs = train.maps.shape[-1], (self.classes, len(units))
        self.model = build_learner(config, size, *outputs).to(device)
        if weights is not None:
            self.model.load_state_dict(weights)
        if (offset := action_units.unit_offset(self.model)) is not None:
            offset.copy_(action_units.log_odds(self.targets))
        masks = train.masks
        if masks is None:
            masks = np.repeat(
                augmentation.template_masks(train.maps.shape[-1])[None], len(train), axis=0
            )
        self.mix = augmentation.MotionMix(
            map_source(config, self.model, train, device),
            on_host,
            torch.from_numpy(masks).to(device),
            share=config.augment.motionmix,
            strength=config.augment.mix_lambda,
            regions=config.augment.mix_regions,
        )
        loss_of = MSWCE(
            loss.scale_weights,
            gamma=loss.gamma,
            learn_scale_weights=loss.learn_scale_weights,
            class_weights=balance_classes(self.labels, self.classes, loss.class_weight_power),
            label_smoothing=loss.label_smoothing,
            margin=loss.margin,
        ).to(device)
        self.loss = BatchLoss(self.model, loss_of, loss.action_units)
        self.optimizer: Optimizer = {"adamw": AdamW, "adam": Adam}[training.optimizer](
            parameter_groups(config, self.model, loss_of),
            lr=training.lr,
            weight_decay=training.weight_decay,
            fused=True,
        )
        steps = count_steps(config, len(train))
        self.schedule = LambdaLR(self.optimizer, rate_schedule(training, steps))
        self.averaged = average_weights(self.model, training.ema) if training.ema else None
        self.gradients = gradients_of(config, self.loss, device)
        self.losses: list[Any] = []  # the mean of every epoch done
        self.probes: list[Any] = []  # likewise the results of the probe

    @property
    def answering(self) -> nn.Module:
        """The model that classifies: the average of weights, if there is one."""
        return self.averaged.module if self.averaged else self.model

    @property
    def own(self) -> dict[str, Tensor]:
        """What was drawn and will be: the pairs that were mixed, the state of random numbers."""
        pairs = torch.tensor(sorted(self.mix.provenance), dtype=torch.int64)
        return {"mixed": pairs.reshape(-1, 2), **random_state(self.device)}

    @own.setter
    def own(self, state: dict[str, Tensor]) -> None:
        self.mix.provenance.update((own, partner) for own, partner in state["mixed"].tolist())
        set_random_state(state, self.device)

    def run_epoch(self) -> float:
        """Learn from all clips once, in random order; returns the mean loss."""
        self.model.train()
        count, total = len(self.labels), torch.zeros((), device=self.device)
        batches = split_batches(torch.randperm(count), self.config.training.batch)
        for drawn in self.ahead(map(self.draw, batches)):
            total += self.step(drawn) * len(drawn.rows)
        return total.item() / count

    def ahead(self, drawn: Iterator[Any]) -> Iterable[Any]:
        """Draw all of an epoch before its first step, on a card, whose dropout draws elsewhere."""
        return drawn if self.device.type == "cpu" else list(drawn)

    def step(self, drawn: Drawn) -> Tensor:
        """Learn from a batch; returns its loss."""
        loss = self.gradients(*self.augment(drawn))
        if self.config.training.clip_norm:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.config.training.clip_norm)
        self.advance()
        return loss

    def advance(self) -> None:
        """Move weights, schedule and averages by the gradients."""
        self.optimizer.step()
        self.schedule.step()
        if self.averaged:
            self.averaged.update_parameters(self.model)

    def draw(self, rows: Tensor) -> Drawn:
        """Draw how the clips at these positions are mixed and moved."""
        augment, mixed = self.config.augment, self.mix.draw(rows)
        moves = augmentation.draw_moves(len(rows), augment)
        others, share = augmentation.draw_blend(len(rows), augment.mixup)
        if others is not None:
            self.mix.provenance.update(zip(rows.tolist(), rows[others].tolist(), strict=True))
        return Drawn._make((rows, *mixed, *moves, others, share))

    def augment(self, drawn: Drawn) -> tuple[Tensor, Tensor, Tensor]:
        """Return maps, labels and action units of clips, mixed and moved as drawn."""
        rows, partners, strength, *moves, others, share = drawn
        maps = augmentation.jitter(self.mix.mix(rows, partners, strength), *moves)
        maps = select_channels(maps, self.config.input.channels)
        labels = self.labels[rows.to(self.device)]
        own, theirs = (self.targets[clips.to(self.device)] for clips in (rows, partners))
        units = torch.where(own == theirs, own, torch.nan)  # nobody has coded a mixture
        if others is not None and share is not None:
            targets = torch.cat([F.one_hot(labels, self.classes).to(maps), units], dim=1)
            maps, targets = augmentation.blend(maps, targets, others, share)
            labels, units = targets.tensor_split([self.classes], dim=1)
        return maps, labels, units


class BatchLoss(nn.Module):
    """A network with its loss: maps, labels and action units of a batch to one number.

    `weights` (B,) of the clips that count, in place of a mean over all, are of MSWCE alone.
    """

    def __init__(self, model: nn.Module, loss_of: MSWCE, unit_weight: float) -> None:
        super().__init__()
        self.model, self.loss_of, self.unit_weight = model, loss_of, unit_weight

    def forward(
        self, maps: Tensor, labels: Tensor, units: Tensor, weights: Tensor | None = None
    ) -> Tensor:
        answers, extra = forward_tasks(self.model, maps)
        if weights is not None and isinstance(extra, Tensor):
            problem = "this system has a loss of a whole batch, which a stack fills up"
            raise ConfigError(problem, hint="leave --stack out")
        logits, of_units = action_units.split_logits(self.model, answers)
        beside = action_units.unit_loss(of_units, units, self.loss_of.scale_weights)
        return self.loss_of(logits, labels, weights) + extra + self.unit_weight * beside


def count_steps(config: ExperimentConfig, clips: int) -> int:
    """Count the steps of an epoch over so many clips."""
    return len(split_batches(torch.arange(clips), config.training.batch))


def random_state(device: torch.device) -> dict[str, Tensor]:
    """Return the state of torch's random numbers on the CPU, and on a CUDA device."""
    on_card = {"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {}
    return {"cpu": torch.get_rng_state(), **on_card}


def set_random_state(state: Mapping[str, Tensor], device: torch.device) -> None:
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"], device)


def split_batches(order: Tensor, size: int) -> list[Tensor]:
    """Split into batches of `size`; a single clip that is left joins the batch before it."""
    batches = list(order.split(size))
    if size > 1 and len(batches) > 1 and len(batches[-1]) == 1:
        *batches, last, single = batches  # batch normalisation cannot train on a single clip
        batches.append(torch.cat([last, single]))
    return batches


def build_model(config: ExperimentConfig, size: int, classes: int, units: int = 0) -> nn.Module:
    """Build the system of the settings for maps of `size` pixels, classes and action units."""
    build = systems[config.model.name].build
    channels = len(config.input.channels)
    model = build(channels, config.input.side(size), classes + units, **config.model.options)
    if units:
        model.register_buffer("unit_offset", torch.zeros(units))
    return model


def build_learner(config: ExperimentConfig, size: int, classes: int, units: int = 0) -> nn.Module:
    """Build what a fold trains: the system, and a copy of the flow before it if fine-tuned."""
    learner = build_model(config, size, classes, units)
    if config.flow.finetune:
        learner = FineTuned(MotionFromFrames(learnt_network(config.flow), size), learner)
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


def parameter_groups(
    config: ExperimentConfig, model: nn.Module, loss: nn.Module
) -> list[dict[str, Any]]:
    """Group the parameters of the optimizer; a fine-tuned flow has a smaller rate and no decay."""
    if not isinstance(model, FineTuned):
        return [{"params": [*model.parameters(), *loss.parameters()]}]
    system = [*model.system.parameters(), *loss.parameters()]
    rate = config.training.lr * config.flow.finetune_lr_scale
    # decay would pull it towards zero, not towards its pre-trained weights
    flow = {"params": [*model.motion.parameters()], "lr": rate, "weight_decay": 0.0}
    return [{"params": system}, flow]


def gradients_of(config: ExperimentConfig, loss: BatchLoss, device: str) -> Loss:
    """Make the function that sets the gradients of a batch and returns its loss."""
    both = "training.cuda_graphs records the system alone, and flow.finetune trains the flow too"
    gradients = RecordedGradients(loss, [*loss.parameters()])
    if not config.training.cuda_graphs:
        return gradients.unrecorded
    if config.flow.finetune:
        raise ConfigError(both, hint="leave one of them out")
    if not device.startswith("cuda"):
        problem = f"training.cuda_graphs needs a CUDA device, not {device}"
        raise ConfigError(problem, hint="give --devices cuda, or leave the setting out")
    return gradients


def record_cuda(work: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = work()
    return graph.replay, result


class RecordedGradients:
    """Set the gradients of the parameters as a backward pass does; returns the loss.

    A step of a small model launches some hundreds of kernels, for which the GPU waits; a recorded
    step is one launch. Forward pass, loss and backward pass are recorded, once for each size of
    batch, after a few steps that are not; augmentation, optimizer and averages stay outside.
    `loss_of` may draw random numbers on the device, and must neither read a number from the device
    nor copy to it.
    """

    def __init__(
        self, loss_of: Loss, parameters: list[nn.Parameter], record: Record = record_cuda
    ) -> None:
        self.loss_of, self.parameters, self.record = loss_of, parameters, record
        self._seen: Counter[int] = Counter()
        self._recorded: dict[int, tuple[Any, ...]] = {}  # with memory of their own

    def __call__(self, *batch: Tensor) -> Tensor:
        size = len(batch[0])
        self._seen[size] += 1
        if self._seen[size] <= WARM_UP:
            return self._on_own_stream(*batch)
        if size not in self._recorded:
            own = [tensor.clone() for tensor in batch]
            recorded = self.record(lambda: self.unrecorded(*own))
            gradients = [parameter.grad for parameter in self.parameters]
            self._recorded[size] = own, *recorded, gradients
        own, replay, loss, gradients = self._recorded[size]
        for place, tensor in zip(own, batch, strict=True):
            place.copy_(tensor)
        replay()
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient
        return loss

    def unrecorded(self, *batch: Tensor) -> Tensor:
        """Set the gradients without a recording, on any device."""
        for parameter in self.parameters:
            parameter.grad = None  # so that a recording sets them and does not add to them
        loss = self.loss_of(*batch)
        loss.backward()
        return loss.detach()

    def _on_own_stream(self, *batch: Tensor) -> Tensor:
        device = batch[0].device
        if device.type != "cuda":
            return self.unrecorded(*batch)
        own, current = torch.cuda.Stream(device), torch.cuda.current_stream(device)
        own.wait_stream(current)
        with torch.cuda.stream(own):
            loss = self.unrecorded(*batch)
        current.wait_stream(own)
        return loss


def rate_schedule(training: TrainingConfig, steps: int) -> Callable[[int], float]:
    """Make the factor of the rate: linear warm-up, then constant or half a cosine down to zero."""
    warmup, total = training.warmup_epochs * steps, training.epochs * steps

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        if training.schedule == "constant":
            return 1.0
        progress = (step - warmup) / max(1, total - warmup)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))

    return factor
