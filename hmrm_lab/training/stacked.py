"""Folds stacked in one model: a step of all of them is one forward and one backward pass.

Every weight, moment and average has a leading axis of folds, over which the network runs by
`torch.vmap`. A fold has what it has alone: initial weights, random numbers of its own for
augmentation and dropout, batches (the shorter ones filled up with clips that do not count), and
gradients of a loss of its own, clipped by their own norm; the optimizer is elementwise. Stacked and
alone agree up to rounding. A stack that is stopped begins again.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
from hmrm_lab.training.checkpoint import Tell
from hmrm_lab.training.learner import (
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
    tell: Tell = lambda done, epochs, loss: None  # after each epoch


def fit_stack(
    config: ExperimentConfig, folds: Sequence[FoldToFit], *, device: str = "cpu"
) -> list[Fitted | DivergedError]:
    """Train folds with as many steps in an epoch as one model; see `trainer.fit`.

    A fold whose loss is not finite has an error as its result; the others do not notice it.
    """
    with torch.random.fork_rng(devices=[device] if device.startswith("cuda") else []):
        stack = Stack(config, folds, device=device)
        for epoch in range(1, config.training.epochs + 1):
            for number, loss in enumerate(stack.run_epoch()):
                if stack.diverged[number] is None:
                    stack.learners[number].losses.append(loss)
                    folds[number].tell(epoch, config.training.epochs, loss)
            if all(stack.diverged):
                break
        stack.unstack()
    return [
        error or finished(config, fold.train, fold.run_seed, learner)
        for error, fold, learner in zip(stack.diverged, folds, stack.learners, strict=True)
    ]


class Stack:
    """The state of folds in training, between two epochs."""

    def __init__(
        self, config: ExperimentConfig, folds: Sequence[FoldToFit], *, device: str
    ) -> None:
        self.config, self.device = config, torch.device(device)
        self.learners, self.random = [], []
        for train, seed, run_seed, _ in folds:
            weights = None
            if config.training.pretrain_epochs:
                weights = pretrained_weights(config, run_seed, train)
            torch.manual_seed(seed)
            self.learners.append(Learner(config, train, device=device, weights=weights))
            self.random.append(random_state(self.device))
        self.diverged: list[DivergedError | None] = [None] * len(folds)
        self.counts = torch.tensor([len(fold.train) for fold in folds], device=device)
        self.all = Learner(config, folds[0].train, device=device)
        for stacked, *own in zip(*map(_tensors, (self.all, *self.learners)), strict=True):
            stacked.data = torch.stack([tensor.detach() for tensor in own])

    def run_epoch(self) -> list[float]:
        """Learn from all clips of every fold once; returns the mean loss of each."""
        self.all.model.train()
        total, orders = torch.zeros(len(self.learners), device=self.device), []
        for number, learner in enumerate(self.learners):
            with self._own_numbers(number):
                orders.append(torch.randperm(len(learner.mix.labels)))
        batches = (split_batches(order, self.config.training.batch) for order in orders)
        for rows in zip(*batches, strict=True):
            total += self.step(rows) * torch.tensor([len(one) for one in rows]).to(total)
        losses: list[float] = (total / self.counts).tolist()
        for number, loss in enumerate(losses):
            if self.diverged[number] is None and not math.isfinite(loss):
                self.diverged[number] = divergence(loss, len(self.learners[number].losses) + 1)
        return losses

    def step(self, rows: Sequence[Tensor]) -> Tensor:
        """Learn from the clips at these positions of each fold; returns the loss of each, (F,)."""
        longest, batches, weights = max(map(len, rows)), [], []
        for number, (learner, own) in enumerate(zip(self.learners, rows, strict=True)):
            with self._own_numbers(number):
                maps, labels, units = learner.augment(own.to(self.device))
            missing = longest - len(own)
            again = torch.arange(longest).clamp_max(len(own) - 1).to(self.device)
            units = F.pad(units, (0, 0, 0, missing), value=torch.nan)  # of nobody known
            batches.append((maps[again], labels[again], units))
            weights.append(F.pad(torch.full((len(own),), 1 / len(own)), (0, missing)))
        arguments = [torch.stack(part) for part in zip(*batches, strict=True)]
        counted = torch.stack(weights).to(self.device)
        for parameter in self.all.loss.parameters():
            parameter.grad = None
        losses = self._losses([len(own) for own in rows], longest, *arguments, counted)
        losses.sum().backward()
        if self.config.training.clip_norm:
            self._clip(self.config.training.clip_norm)
        self.all.advance()
        return losses.detach()

    def unstack(self) -> None:
        """Hand the weights to the learners of the folds."""
        for number, learner in enumerate(self.learners):
            for own, stacked in zip(_tensors(learner), _tensors(self.all), strict=True):
                own.data.copy_(stacked[number])

    def _losses(self, counts: list[int], longest: int, *arguments: Tensor) -> Tensor:
        loss = self.all.loss
        state = dict(chain(loss.named_parameters(), loss.named_buffers()))

        def loss_of_fold(state: dict[str, Tensor], *batch: Tensor) -> Tensor:
            return functional_call(loss, state, batch)

        draws = [self._draw(number, count, longest) for number, count in enumerate(counts)]
        with stacked_folds(draws):
            return torch.vmap(loss_of_fold)(state, *arguments)

    @contextmanager
    def _own_numbers(self, number: int) -> Iterator[None]:
        """Let a fold draw its random numbers, in the order in which it draws them alone."""
        set_random_state(self.random[number], self.device)
        yield
        self.random[number] = random_state(self.device)

    def _draw(self, number: int, clips: int, filled: int) -> Draw:
        """Make a function that draws for the clips of a fold's batch, filled up to so many."""

        def uniform_like(x: Tensor) -> Tensor:
            rows = len(x) // filled * clips
            with self._own_numbers(number):
                drawn = torch.rand_like(x[:rows])
            return torch.cat([drawn, torch.zeros_like(x[rows:])])

        return uniform_like

    @torch.no_grad()
    def _clip(self, most: float) -> None:
        """Clip the gradients of each fold as `clip_grad_norm_` does those of one."""
        gradients = [p.grad for p in self.all.model.parameters() if p.grad is not None]
        squares = torch.stack([gradient.flatten(1).square().sum(1) for gradient in gradients])
        shares = (most / (squares.sum(0).sqrt() + 1e-6)).clamp_max(1)
        for gradient in gradients:
            gradient.mul_(shares.view(-1, *[1] * (gradient.ndim - 1)))


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
            stack.step([torch.arange(2)] * 2)
        except RuntimeError as error:
            if not any(word in str(error) for word in ("vmap", "Batching rule")):
                raise
            raise ConfigError(
                f"{config.model.name} does what torch.vmap cannot do", hint=HINT
            ) from error
