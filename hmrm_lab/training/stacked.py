"""Folds stacked in one model: a step of all of them is one forward and one backward pass.

Every weight, moment and average has a leading axis of folds, over which the network runs by
`torch.vmap`. A fold has what it has alone: initial weights, random numbers of its own for
augmentation and dropout, batches (the shorter ones filled up with clips that do not count), and
gradients of a loss of its own, clipped by their own norm; the optimizer is elementwise. Stacked and
alone agree up to rounding.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from typing import NamedTuple

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from hmrm_lab.config import ExperimentConfig
from hmrm_lab.errors import ConfigError, DivergedError
from hmrm_lab.models.layers import Draw, stacked_folds
from hmrm_lab.preparation.clip_arrays import MAP_SIDE_PX
from hmrm_lab.records import FlowSet
from hmrm_lab.training.checkpoint import Checkpoint
from hmrm_lab.training.learner import (
    Drawn,
    Learner,
    build_learner,
    random_state,
    set_random_state,
    split_batches,
    without_own_weights,
)
from hmrm_lab.training.system_inputs import has_epochs
from hmrm_lab.training.trainer import Fitted, divergence, finished, pretrained_weights

HINT = "leave --stack out"


def _tensors(learner: Learner) -> Iterator[Tensor]:
    """Iterate over the weights and buffers of a learner, and their averages."""
    averages = [learner.averaged.module] if learner.averaged else []
    return chain.from_iterable(
        chain(part.parameters(), part.buffers()) for part in (learner.loss, *averages)
    )


class FoldToFit(NamedTuple):
    """The arguments of `trainer.fit` that folds do not share."""

    train: FlowSet
    seed: int
    run_seed: int


def fit_stack(
    config: ExperimentConfig,
    folds: Sequence[FoldToFit],
    *,
    device: str = "cpu",
    checkpoint: Checkpoint | None = None,
) -> list[Fitted | DivergedError]:
    """Train folds with as many steps in an epoch as one model; see `trainer.fit`.

    A fold whose loss is not finite has an error as its result; the others do not notice it.
    """
    epochs, clips = config.training.epochs, [fold.train.fingerprint() for fold in folds]
    with torch.random.fork_rng(devices=[device] if device.startswith("cuda") else []):
        stack = Stack(config, folds, device=device)
        if checkpoint:
            checkpoint.begin(stack, clips, seed=[fold.seed for fold in folds], epochs=epochs)
        for _ in range(len(stack.losses), epochs):
            stack.losses.append(stack.run_epochs())
            if checkpoint:
                checkpoint.after_epoch(stack)
            if not any(map(math.isfinite, stack.losses[-1])):
                break
        stack.unstack()
    return [
        diverged(learner.losses) or finished(config, fold.train, fold.run_seed, learner)
        for fold, learner in zip(folds, stack.learners, strict=True)
    ]


def diverged(losses: Sequence[float]) -> DivergedError | None:
    wrong = (pair for pair in enumerate(losses, start=1) if not math.isfinite(pair[1]))
    return next((divergence(loss, epoch) for epoch, loss in wrong), None)


class Stack(Learner):
    """The learner of all folds: weights, moments and averages with a leading axis of folds."""

    def __init__(
        self, config: ExperimentConfig, folds: Sequence[FoldToFit], *, device: str
    ) -> None:
        super().__init__(config, folds[0].train, device=device)
        self.learners: list[Learner] = []
        self.states: list[dict[str, Tensor]] = []  # of the folds' random numbers
        for train, seed, run_seed in folds:
            weights = None
            if config.training.pretrain_epochs:
                weights = pretrained_weights(config, run_seed, train)
            torch.manual_seed(seed)
            self.learners.append(Learner(config, train, device=device, weights=weights))
            self.states.append(random_state(self.device))
        self.counts = torch.tensor([len(fold.train) for fold in folds])
        self.first = [0, *self.counts.cumsum(0).tolist()]  # clip of each fold among all
        mixes = [learner.mix for learner in self.learners]
        clips = zip(*((mix.maps, mix.labels, mix.masks) for mix in mixes), strict=True)
        maps, labels, masks = map(torch.cat, clips)
        self.mix = replace(self.mix, maps=maps, labels=labels, masks=masks)
        self.labels = labels.to(self.device)
        self.targets = torch.cat([learner.targets for learner in self.learners])
        for stacked, *own in zip(*map(_tensors, (self, *self.learners)), strict=True):
            stacked.data = torch.stack([tensor.detach() for tensor in own])

    @property
    def own(self) -> dict[str, Tensor]:
        """The `own` of every fold."""
        states: dict[str, Tensor] = {}
        for number, learner in enumerate(self.learners):
            with self._own_numbers(number):
                states |= {f"{number}.{name}": state for name, state in learner.own.items()}
        return states

    @own.setter
    def own(self, states: dict[str, Tensor]) -> None:
        for number, learner in enumerate(self.learners):
            with self._own_numbers(number):
                learner.own = {name: states[f"{number}.{name}"] for name in learner.own}

    def run_epochs(self) -> list[float]:
        """Learn from all clips of every fold once; returns the mean loss of each."""
        self.model.train()
        total, orders = torch.zeros(len(self.learners), device=self.device), []
        for number, learner in enumerate(self.learners):
            with self._own_numbers(number):
                orders.append(torch.randperm(len(learner.labels)))
        batches = (split_batches(order, self.config.training.batch) for order in orders)
        for drawn in self.ahead(map(self.draws, zip(*batches, strict=True))):
            clips = torch.tensor([len(one.rows) for one in drawn])
            total += self.steps(drawn) * clips.to(total)
        return (total / self.counts.to(total)).tolist()

    def draws(self, rows: Sequence[Tensor]) -> list[Drawn]:
        """Draw for a batch of each fold, clips at these positions."""
        drawn = []
        for number, (learner, own) in enumerate(zip(self.learners, rows, strict=True)):
            with self._own_numbers(number):
                drawn.append(learner.draw(own))
        return drawn

    def steps(self, drawn: Sequence[Drawn]) -> Tensor:
        """Learn from a batch of each fold; returns the loss of each, (F,)."""
        counts, parts, weights = [len(one.rows) for one in drawn], [], []
        longest = max(counts)
        for number, (own, count) in enumerate(zip(drawn, counts, strict=True)):
            again = torch.arange(longest).clamp_max(count - 1)
            filled = Drawn._make(None if one is None else one[again] for one in own)
            others = None if filled.others is None else filled.others + number * longest
            clips = (positions + self.first[number] for positions in filled[:2])
            parts.append((*clips, *filled[2:-2], others, filled.share))
            weights.append(F.pad(torch.full((count,), 1 / count), (0, longest - count)))
        columns = zip(*parts, strict=True)
        joined = Drawn._make(None if one[0] is None else torch.cat(one) for one in columns)
        batch = self.augment(joined)
        maps, labels, units = (part.unflatten(0, (-1, longest)) for part in batch)
        counted = torch.stack(weights).to(self.device)
        units = units.masked_fill(counted[..., None] == 0, torch.nan)  # of nobody known
        for parameter in self.loss.parameters():
            parameter.grad = None
        losses = self._losses(counts, longest, maps, labels, units, counted)
        losses.sum().backward()
        if self.config.training.clip_norm:
            self._clip(self.config.training.clip_norm)
        self.advance()
        return losses.detach()

    def unstack(self) -> None:
        """Hand weights and losses to the learners of the folds."""
        for number, learner in enumerate(self.learners):
            for own, stacked in zip(_tensors(learner), _tensors(self), strict=True):
                own.data.copy_(stacked[number])
            learner.losses = [losses[number] for losses in self.losses]

    def _losses(self, counts: list[int], longest: int, *arguments: Tensor) -> Tensor:
        loss = self.loss
        state = dict(chain(loss.named_parameters(), loss.named_buffers()))

        def loss_of_fold(state: dict[str, Tensor], *batch: Tensor) -> Tensor:
            return functional_call(loss, state, batch)

        draws = [self._draw(number, count, longest) for number, count in enumerate(counts)]
        with stacked_folds(draws):
            return torch.vmap(loss_of_fold)(state, *arguments)

    @contextmanager
    def _own_numbers(self, number: int) -> Iterator[None]:
        """Let a fold draw its random numbers, in the order in which it draws them alone."""
        set_random_state(self.states[number], self.device)
        yield
        self.states[number] = random_state(self.device)

    def _draw(self, number: int, clips: int, filled: int) -> Draw:
        """Make a function that draws for the clips of a fold's batch, filled up to so many."""

        def uniform_like(x: Tensor) -> Tensor:
            rows = len(x) // filled * clips
            with self._own_numbers(number):
                drawn = torch.rand_like(x[:rows])
            return drawn if rows == len(x) else torch.cat([drawn, torch.zeros_like(x[rows:])])

        return uniform_like

    @torch.no_grad()
    def _clip(self, most: float) -> None:
        """Clip the gradients of each fold as `clip_grad_norm_` does those of one."""
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        squares = torch.stack([gradient.flatten(1).square().sum(1) for gradient in gradients])
        shares = (most / (squares.sum(0).sqrt() + 1e-6)).clamp_max(1)
        for gradient in gradients:
            gradient.mul_(shares.view(-1, *[1] * (gradient.ndim - 1)))


def stack_size(
    asked: int | None, config: ExperimentConfig, flowset: FlowSet, devices: Sequence[str]
) -> int:
    """Return the most folds of a stack; where none is asked for, on CUDA devices all that fit.

    Raises `ConfigError` where stacks were asked for and cannot be.
    """
    if asked == 1 or not (asked or devices[0].startswith("cuda")):
        return 1
    try:
        check_stackable(config)
        try_stack(config, flowset)
    except ConfigError:
        if asked:
            raise
        return 1
    return asked or len(flowset)


def check_stackable(config: ExperimentConfig) -> None:
    """Raise `ConfigError` for settings whose folds cannot be trained as one model."""
    name = config.model.name
    problems = {
        f"{name} has no epochs to stack": not has_epochs(config),
        "--stack needs evaluation.epoch_rule=last": config.evaluation.epoch_rule != "last",
        "--stack and training.cuda_graphs exclude one another": config.training.cuda_graphs,
        "a flow that is fine-tuned cannot be stacked": config.flow.finetune,
        "kernels of mamba-ssm cannot be stacked": "mamba_ssm" in config.model.options.values(),
    }
    for problem, found in problems.items():
        if found:
            raise ConfigError(problem, hint=HINT)
    with torch.random.fork_rng(devices=[]):
        learner = build_learner(without_own_weights(config), MAP_SIDE_PX, 2)
    if any(isinstance(part, _BatchNorm) for part in learner.modules()):
        problem = f"{name} normalises over the clips of a batch, which a stack fills up"
        raise ConfigError(problem, hint=HINT)


def try_stack(config: ExperimentConfig, flowset: FlowSet) -> None:
    """Make one step of two folds on the CPU; raise `ConfigError` for what `vmap` cannot do."""
    fold = FoldToFit(flowset, 0, 0)
    with torch.random.fork_rng(devices=[]):
        stack = Stack(without_own_weights(config), [fold] * 2, device="cpu")
        try:
            stack.steps(stack.draws([torch.arange(2)] * 2))
        except RuntimeError as error:
            if not any(word in str(error) for word in ("vmap", "Batching rule")):
                raise
            raise ConfigError(
                f"{config.model.name} does what torch.vmap cannot do", hint=HINT
            ) from error
