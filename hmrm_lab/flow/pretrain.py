"""Pre-training of GRU-AOFE: the loss, the schedule, and a loop that can be killed at any time.

What a step sees depends on the seed and the number of the step alone, and a checkpoint holds all
else; so a run that was killed and resumed ends with the same bytes as one that was not.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from hmrm_lab.datasets.flow_pairs import PairSource, TruePair
from hmrm_lab.datasets.flow_pairs.pairs import degrade
from hmrm_lab.errors import DivergedError
from hmrm_lab.flow.gru_attention.weights import save_weights
from hmrm_lab.flow.schedules import Preset, Stage, learning_rate
from hmrm_lab.flow.weight_files import History, TrainingState, read_checkpoint, write_checkpoint
from hmrm_lab.runtime.processes import keep_memory
from hmrm_lab.runtime.tensors import PROCEDURAL

CHECKPOINT = "checkpoint.safetensors"
HISTORY = "loss.csv"
WEIGHTS = "weights.safetensors"
_SCENES, _SENSOR = 21, 22  # streams of random numbers

OnStep = Callable[[int, int, float], None]


class Batch(NamedTuple):
    """Shapes: frames (B, 3, H, W) in 0..1; flow_px (B, 2, H, W), NaN where it is not known."""

    onset: Tensor
    apex: Tensor
    flow_px: Tensor


def pretrain(
    preset: Preset,
    out: Path,
    sources: Mapping[str, PairSource],
    *,
    seed: int = 0,
    device: str = "cpu",
    subjects: Iterable[str] = (PROCEDURAL,),
    on_step: OnStep | None = None,
) -> Path:
    """Train a network, or go on where a killed run stopped.

    Parameters
    ----------
    out
        The folder of the checkpoint, the loss of every step (CSV) and, at the end, the weights.
    sources
        Where the pairs of each stage come from, by the stage's `data`.
    subjects
        Whom the sources show, for the header of the weights.
    on_step
        Called after every step with its number, the number of all steps, and the loss.

    Returns
    -------
    Path
        The file of the averaged weights.

    Raises
    ------
    InputError
        If `out` holds a run of another preset or seed.
    DivergedError
        If a loss is not finite.
    """
    keep_memory()
    state = TrainingState.begin(preset, seed, device)
    if (out / CHECKPOINT).is_file():
        read_checkpoint(out / CHECKPOINT, state)
    history = History(out / HISTORY, done=state.step)
    feed = Feed(preset, sources, seed)
    while state.step < preset.steps:
        stage, within = preset.stage_of(state.step)
        batch = feed(state.step)
        loss, error_px = _train(state, stage, within, Batch(*(part.to(device) for part in batch)))
        history.append(state.step, loss, error_px, learning_rate(stage, within))
        if on_step is not None:
            on_step(state.step, preset.steps, loss)
        if state.step % preset.checkpoint_every == 0 or state.step == preset.steps:
            write_checkpoint(out / CHECKPOINT, state)
    save_weights(out / WEIGHTS, state.averaged, subjects=subjects)
    return out / WEIGHTS


def _train(state: TrainingState, stage: Stage, within: int, batch: Batch) -> tuple[float, float]:
    """One step; the state moves on by one."""
    for group in state.optimizer.param_groups:
        group["lr"] = learning_rate(stage, within)
    flows = state.network.unroll(batch.onset, batch.apex).flows
    loss = sequence_loss(flows, batch.flow_px)
    if not torch.isfinite(loss):
        raise DivergedError(f"the loss of step {state.step + 1} is {loss.item()}")
    state.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(state.network.parameters(), 1.0)
    state.optimizer.step()
    state.step += 1
    state.average()
    error = torch.linalg.vector_norm(flows[-1].detach() - batch.flow_px, dim=1)
    return loss.item(), error.nanmean().item()


def sequence_loss(flows: list[Tensor], truth_px: Tensor, *, fade: float = 0.7) -> Tensor:
    """Charbonnier distance of every intermediate flow, relative to how much moves.

    Relative, since an error of .1 px is nothing in a pair that moves 8 px and everything in one
    that moves .2 px; earlier flows weigh less by a factor `fade` each.

    Shapes
    ------
    flows : n tensors (B, 2, H, W)
    truth_px : (B, 2, H, W), NaN where it is not known
    returns : scalar
    """
    known = torch.isfinite(truth_px).all(dim=1)
    truth = torch.where(known[:, None], truth_px, 0.0)
    count = known.sum(dim=(1, 2)).clamp_min(1)
    rms = ((truth**2).sum(dim=(1, 2, 3)) / count).sqrt()
    total = truth.new_zeros(())
    for number, flow in enumerate(reversed(flows)):
        squared = ((flow - truth) ** 2).sum(dim=1)
        distance = ((squared + 1e-4).sqrt() * known).sum(dim=(1, 2)) / count
        total = total + fade**number * (distance / (rms + 0.08)).mean()
    return total


class Feed:
    """The batch of every step.

    Half of a batch are new scenes and half are those of the step before, mirrored and with other
    noise: a scene costs more to make than to learn from once.
    """

    def __init__(self, preset: Preset, sources: Mapping[str, PairSource], seed: int) -> None:
        self.preset, self.sources, self.seed = preset, sources, seed
        self._last: tuple[int, list[TruePair]] = (-1, [])

    def __call__(self, step: int) -> Batch:
        stage, within = self.preset.stage_of(step)
        fresh = (stage.batch + 1) // 2 if stage.replay else stage.batch
        before = self._scenes(step - 1 if within else step)[: stage.batch - fresh]
        scenes = self._scenes(step)[:fresh]
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, _SENSOR, step]))
        pairs = [*scenes, *(_mirrored(pair, rng) for pair in before)]
        return _stacked(pairs, rng)

    def _scenes(self, step: int) -> list[TruePair]:
        if self._last[0] != step:
            stage, _ = self.preset.stage_of(step)
            count = (stage.batch + 1) // 2 if stage.replay else stage.batch
            seeds = np.random.SeedSequence([self.seed, _SCENES, step]).spawn(count)
            source = self.sources[stage.data]
            self._last = step, [source(np.random.default_rng(seed)) for seed in seeds]
        return self._last[1]


def _mirrored(pair: TruePair, rng: np.random.Generator) -> TruePair:
    """The pair seen in a mirror: left to right, upside down, or with its axes exchanged."""
    onset, apex, flow = pair.onset, pair.apex, pair.flow_px
    kind = rng.integers(3)
    if kind == 0:
        onset, apex = onset[:, ::-1], apex[:, ::-1]
        flow = flow[:, :, ::-1] * np.array([-1, 1], np.float32)[:, None, None]
    elif kind == 1:
        onset, apex = onset[::-1], apex[::-1]
        flow = flow[:, ::-1] * np.array([1, -1], np.float32)[:, None, None]
    elif onset.shape[0] == onset.shape[1]:
        onset, apex = onset.transpose(1, 0, 2), apex.transpose(1, 0, 2)
        flow = flow[::-1].transpose(0, 2, 1)
    return TruePair(*(np.ascontiguousarray(part) for part in (onset, apex, flow)))


def _stacked(pairs: list[TruePair], rng: np.random.Generator) -> Batch:
    frames = [degrade(pair, rng) for pair in pairs]
    onset, apex = (np.stack(side).transpose(0, 3, 1, 2) for side in zip(*frames, strict=True))
    return Batch(
        torch.from_numpy(onset).float() / 255,
        torch.from_numpy(apex).float() / 255,
        torch.from_numpy(np.stack([pair.flow_px for pair in pairs])),
    )
