"""Pre-training of GRU-AOFE: presets and their pairs, the loss, a loop that can be killed any time.

The batch of a step depends on the seed and the number of the step alone, and a checkpoint holds
everything else; so a run that was killed and resumed ends with the same bytes as one that was not.
"""

import json
import math
import tomllib
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast, get_args

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from hmrm_lab.datasets.flow_pairs import PairSource, TruePair, degrade, procedural
from hmrm_lab.datasets.flow_pairs.stored import StoredPairs, flying_chairs, flying_things
from hmrm_lab.datasets.images import SUFFIXES, read_image
from hmrm_lab.errors import DivergedError, InputError, check_known
from hmrm_lab.flow.gru_attention import save_weights
from hmrm_lab.flow.gru_attention.gru_flow import GRUFlow
from hmrm_lab.flow.gru_attention.update import AttentionKind
from hmrm_lab.records import Floats
from hmrm_lab.runtime.processes import keep_memory
from hmrm_lab.runtime.store import PROCEDURAL, read_tensors, write_atomic, write_tensors

Data = Literal["procedural", "scenes", "flying_chairs", "flying_things"]
TRAINING_SEED = 20_000  # of pictures and faces; evaluation draws its own from other seeds
STOCK, PEOPLE = 160, 24
_LARGEST_SIDE = 900
CHECKPOINT = "checkpoint.safetensors"
HISTORY = "loss.csv"
WEIGHTS = "weights.safetensors"
MOMENTS = ("exp_avg", "exp_avg_sq", "step")
_SCENES, _SENSOR = 21, 22  # streams of random numbers


@dataclass(frozen=True)
class Stage:
    """A number of steps on one data set, with a one-cycle learning rate."""

    data: Data
    steps: int
    batch: int
    peak_rate: float = 2e-3
    replay: bool = False  # half of each batch are the scenes of the step before, with new noise
    warm_up: float = 0.05  # share of the steps in which the rate rises

    @property
    def new_scenes(self) -> int:
        return (self.batch + 1) // 2 if self.replay else self.batch


@dataclass(frozen=True)
class Preset:
    name: str
    stages: tuple[Stage, ...]
    crop: tuple[int, int]  # height and width in pixels, divisible by 8
    weight_decay: float = 1e-4
    averaging: float = 0.998
    checkpoint_every: int = 250
    attention: AttentionKind = "steps"  # 3.1.1 can be read either way; decision 0008

    @property
    def steps(self) -> int:
        return sum(stage.steps for stage in self.stages)

    def stage_of(self, step: int) -> tuple[Stage, int]:
        """The stage of a step, counted from 0, and the step's number within it."""
        for stage in self.stages:
            if step < stage.steps:
                return stage, step
            step -= stage.steps
        raise IndexError("beyond the last step")


def learning_rate(stage: Stage, within: int) -> float:
    """One cycle: a linear rise, then half a cosine down to a thousandth."""
    rise = max(1, round(stage.warm_up * stage.steps))
    if within < rise:
        return stage.peak_rate * (within + 1) / rise
    fallen = (within - rise + 1) / max(1, stage.steps - rise)
    return stage.peak_rate * (0.001 + 0.999 * (0.5 + 0.5 * math.cos(math.pi * fallen)))


_KNOWN = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
PRESETS = {
    name: Preset(
        name, tuple(Stage(**stage) for stage in of.pop("stages")), tuple(of.pop("crop")), **of
    )
    for name, of in _KNOWN.items()
}


def find_preset(name: str, attention: str = "steps") -> Preset:
    """A preset by name, or a `ConfigError` with the nearest one."""
    check_known("pre-training preset", name, PRESETS)
    check_known("attention", attention, get_args(AttentionKind))
    return replace(PRESETS[name], attention=cast(AttentionKind, attention))


def procedural_mixture(
    size: int, *, photographs: Path | None = None, stock: int = STOCK, people: int = PEOPLE
) -> PairSource:
    """Moving faces, if any, and layered scenes of drawn pictures, faces and photographs."""
    faces = procedural.face_pictures(TRAINING_SEED, range(people))
    pictures = [*procedural.procedural_pictures(TRAINING_SEED, stock), *faces]
    if photographs is not None:
        found = read_pictures(photographs)
        pictures += found * max(1, round(stock / len(found)))  # as often as drawn ones
    scenes = procedural.ProceduralPairs(pictures, size)
    sources = scenes, procedural.FacialPairs(faces, size) if faces else scenes
    return lambda rng: sources[rng.choice(2, p=[0.75, 0.25])](rng)


def read_pictures(folder: Path) -> list[Floats]:
    """Every picture of a folder as (H, W, 3) float32, RGB in 0..255, of 900 pixels at most."""
    files = sorted(path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES)
    if not files:
        raise InputError("no pictures", where=folder, hint="name a folder of photographs")
    pictures = []
    for file in files:
        picture = read_image(file)
        scale = _LARGEST_SIDE / max(picture.shape[:2])
        if scale < 1:
            picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        pictures.append(picture.astype(np.float32))
    return pictures


def sources_for(
    preset: Preset,
    *,
    chairs: Path | None = None,
    things: Path | None = None,
    photographs: Path | None = None,
) -> dict[str, PairSource]:
    """The source of every stage of a preset; an `InputError` if it needs a root that is not named.

    They are the folders of FlyingChairs, of FlyingThings3D, and of pictures for drawn scenes.
    """
    published: dict[str, tuple[Callable[[Path], Any], Path | None, str]] = {
        "flying_chairs": (flying_chairs, chairs, "FlyingChairs"),
        "flying_things": (flying_things, things, "FlyingThings3D"),
    }
    sources: dict[str, PairSource] = {}
    for data in dict.fromkeys(stage.data for stage in preset.stages):
        if data in ("procedural", "scenes"):
            people, size = PEOPLE if data == "procedural" else 0, preset.crop[0]
            sources[data] = procedural_mixture(size, photographs=photographs, people=people)
        else:
            find, root, name = published[data]
            if root is None:
                problem = f"preset '{preset.name}' learns from {name}"
                raise InputError(problem, hint="name its folder")
            sources[data] = StoredPairs(find(root), preset.crop)
    return sources


class Batch(NamedTuple):
    onset: Tensor
    apex: Tensor
    flow_px: Tensor


@dataclass(eq=False)
class TrainingState:
    preset: Preset
    seed: int
    network: GRUFlow
    averaged: GRUFlow
    optimizer: torch.optim.AdamW
    step: int = 0

    @classmethod
    def begin(cls, preset: Preset, seed: int, device: str) -> "TrainingState":
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
    problem, hint = "not a readable checkpoint", "delete it to start anew"
    metadata, tensors = read_tensors(path, problem=problem, hint=hint)
    if metadata.get("run") != state.identity():
        problem = "a checkpoint of another preset or seed"
        raise InputError(problem, where=path, hint="choose another folder")
    state.step = int(metadata["step"])
    for part, network in (("network.", state.network), ("averaged.", state.averaged)):
        own = {name: value for name, value in tensors.items() if name.startswith(part)}
        network.load_state_dict({name.removeprefix(part): value for name, value in own.items()})
    for name, parameter in state.network.named_parameters():
        moments = {moment: tensors[f"{moment}.{name}"] for moment in MOMENTS}
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
    on_step: Callable[[int, int, float], None] | None = None,
) -> Path:
    """Train a network, or resume a run that was killed; returns the file of the averaged weights.

    The folder holds the checkpoint, the loss of every step (CSV) and, at the end, the weights, with
    the subjects that the sources (one for each `data` of a stage) show. `on_step` is called with
    the step's number, the number of all steps, and the loss.
    """
    keep_memory()
    state = TrainingState.begin(preset, seed, device)
    if (out / CHECKPOINT).is_file():
        read_checkpoint(out / CHECKPOINT, state)
    past = (out / HISTORY).read_text("utf-8").splitlines() if (out / HISTORY).is_file() else []
    kept = ["step,loss,epe_px,learning_rate", *past[1 : state.step + 1]]  # later ones are repeated
    write_atomic(out / HISTORY, "\n".join(kept) + "\n")
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

    An error of .1 px is small in a pair that moves 8 px and large in one that moves .2 px. Each
    earlier flow weighs less by a factor `fade`; the truth is NaN where it is not known.
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

    With `Stage.replay` half of a batch are those of the step before, mirrored and with other noise:
    drawing a scene takes longer than a step with it.
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
