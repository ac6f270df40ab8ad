"""Pre-training of GRU-AOFE: the loss, the batches, and a loop that can be killed at any time.

The batch of a step depends on the seed and the number of the step alone, and a checkpoint holds
everything else; so a run that was killed and resumed ends with the same bytes as one that was not.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from hmrm_lab.datasets.flow_pairs import PairSource, TruePair, degrade
from hmrm_lab.errors import DivergedError, InputError
from hmrm_lab.flow.curriculum import Preset, Stage, learning_rate
from hmrm_lab.flow.gru_attention import save_weights
from hmrm_lab.flow.gru_attention.gru_flow import GRUFlow
from hmrm_lab.runtime.processes import keep_memory
from hmrm_lab.runtime.store import PROCEDURAL, read_tensors, write_atomic, write_tensors

CHECKPOINT = "checkpoint.safetensors"
HISTORY = "loss.csv"
WEIGHTS = "weights.safetensors"
MOMENTS = ("exp_avg", "exp_avg_sq", "step")
_SCENES, _SENSOR = 21, 22  # streams of random numbers

OnStep = Callable[[int, int, float], None]


class Batch(NamedTuple):
    """Shapes: frames (B, 3, H, W) in 0..1; flow_px (B, 2, H, W), NaN where it is not known."""

    onset: Tensor
    apex: Tensor
    flow_px: Tensor


@dataclass(eq=False)
class TrainingState:
    """A pre-training between two steps."""

    preset: Preset
    seed: int
    network: GRUFlow
    averaged: GRUFlow
    optimizer: torch.optim.AdamW
    step: int = 0

    @classmethod
    def begin(cls, preset: Preset, seed: int, device: str) -> "TrainingState":
        """The state before the first step; the caller's random state does not change."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = GRUFlow(attention=preset.attention)
        network.to(device)
        decay = preset.weight_decay
        optimizer = torch.optim.AdamW(network.parameters(), lr=0.0, weight_decay=decay)
        averaged = deepcopy(network).requires_grad_(False)
        return cls(preset, seed, network, averaged, optimizer)

    @torch.no_grad()
    def average(self) -> None:
        """Update the moving average of the weights, which is faster in the first steps."""
        keep = min(self.preset.averaging, (1 + self.step) / (10 + self.step))
        for mean, now in zip(self.averaged.parameters(), self.network.parameters(), strict=True):
            mean.lerp_(now, 1 - keep)

    def identity(self) -> str:
        """Preset and seed, which all checkpoints of a run have in common."""
        return json.dumps({"preset": asdict(self.preset), "seed": self.seed}, sort_keys=True)


def write_checkpoint(path: Path, state: TrainingState) -> None:
    """Write weights, their average and the optimizer's moments to one safetensors file."""
    tensors = {f"network.{name}": value for name, value in state.network.state_dict().items()}
    tensors |= {f"averaged.{name}": value for name, value in state.averaged.state_dict().items()}
    for name, parameter in state.network.named_parameters():
        moments = state.optimizer.state[parameter]
        tensors |= {f"{moment}.{name}": moments[moment] for moment in MOMENTS}
    write_tensors(path, tensors, {"step": str(state.step), "run": state.identity()})


def read_checkpoint(path: Path, state: TrainingState) -> None:
    """Restore the state that was written."""
    metadata, tensors = read_tensors(
        path, problem="not a readable checkpoint", hint="delete it to start anew"
    )
    if metadata.get("run") != state.identity():
        raise InputError(
            "a checkpoint of another preset or seed", where=path, hint="choose another folder"
        )
    parts: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        part, name = key.split(".", 1)
        parts.setdefault(part, {})[name] = value
    state.step = int(metadata["step"])
    state.network.load_state_dict(parts["network"])
    state.averaged.load_state_dict(parts["averaged"])
    for name, parameter in state.network.named_parameters():
        moments = {moment: parts[moment][name] for moment in MOMENTS}
        moments |= {m: moments[m].to(parameter.device) for m in ("exp_avg", "exp_avg_sq")}
        state.optimizer.state[parameter] = moments


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
    """Train a network, or resume a run that was killed.

    Parameters
    ----------
    out
        Folder of the checkpoint, the loss of every step (CSV) and, at the end, the weights.
    sources
        Source of the pairs of each stage, by the stage's `data`.
    subjects
        The subjects that the sources show, for the header of the weights.
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
    _cut_history(out / HISTORY, state.step)
    feed = Feed(preset, sources, seed)
    while state.step < preset.steps:
        stage, within = preset.stage_of(state.step)
        batch = feed(state.step)
        loss, error_px = _train(state, stage, within, Batch(*(part.to(device) for part in batch)))
        rate = learning_rate(stage, within)
        with (out / HISTORY).open("a", encoding="utf-8", newline="") as file:
            file.write(f"{state.step},{loss:.6f},{error_px:.6f},{rate:.3e}\n")
        if on_step is not None:
            on_step(state.step, preset.steps, loss)
        if state.step % preset.checkpoint_every == 0 or state.step == preset.steps:
            write_checkpoint(out / CHECKPOINT, state)
    save_weights(out / WEIGHTS, state.averaged, subjects=subjects)
    return out / WEIGHTS


def _cut_history(path: Path, steps: int) -> None:
    """The header and the rows up to the checkpoint; later steps are repeated."""
    rows = path.read_text(encoding="utf-8").splitlines()[1 : steps + 1] if path.is_file() else []
    write_atomic(path, "\n".join(["step,loss,epe_px,learning_rate", *rows]) + "\n")


def _train(state: TrainingState, stage: Stage, within: int, batch: Batch) -> tuple[float, float]:
    """One step; returns its loss and end-point error."""
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
    """Charbonnier distance of every intermediate flow, relative to the RMS of the true motion.

    Relative, since an error of .1 px is small in a pair that moves 8 px and large in one that moves
    .2 px. Each earlier flow weighs less by a factor `fade`.

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

    With `Stage.replay` half of a batch are new scenes and half those of the step before, mirrored
    and with other noise: drawing a scene takes longer than a step with it.
    """

    def __init__(self, preset: Preset, sources: Mapping[str, PairSource], seed: int) -> None:
        self.preset, self.sources, self.seed = preset, sources, seed
        self._last: tuple[int, list[TruePair]] = (-1, [])

    def __call__(self, step: int) -> Batch:
        stage, within = self.preset.stage_of(step)
        before = self._scenes(step - 1 if within else step)[: stage.batch - stage.new_scenes]
        scenes = self._scenes(step)[: stage.new_scenes]
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, _SENSOR, step]))
        pairs = [*scenes, *(_mirrored(pair, rng) for pair in before)]
        frames = [degrade(pair, rng) for pair in pairs]
        onset, apex = (np.stack(side).transpose(0, 3, 1, 2) for side in zip(*frames, strict=True))
        return Batch(
            torch.from_numpy(onset).float() / 255,
            torch.from_numpy(apex).float() / 255,
            torch.from_numpy(np.stack([pair.flow_px for pair in pairs])),
        )

    def _scenes(self, step: int) -> list[TruePair]:
        if self._last[0] != step:
            stage, _ = self.preset.stage_of(step)
            seeds = np.random.SeedSequence([self.seed, _SCENES, step]).spawn(stage.new_scenes)
            source = self.sources[stage.data]
            self._last = step, [source(np.random.default_rng(seed)) for seed in seeds]
        return self._last[1]


def _mirrored(pair: TruePair, rng: np.random.Generator) -> TruePair:
    """The pair mirrored: left to right, upside down, or with its axes exchanged."""
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
