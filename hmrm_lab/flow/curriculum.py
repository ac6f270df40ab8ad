"""Presets of GRU-AOFE's pre-training: stages, learning rates, and the pairs of each stage."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast, get_args

import cv2
import numpy as np

from hmrm_lab.datasets.flow_pairs import PairSource, TruePair
from hmrm_lab.datasets.flow_pairs.facial import FacialPairs, face_pictures
from hmrm_lab.datasets.flow_pairs.procedural import ProceduralPairs, procedural_pictures
from hmrm_lab.datasets.flow_pairs.stored import StoredPairs, flying_chairs, flying_things
from hmrm_lab.datasets.images import SUFFIXES, read_image
from hmrm_lab.errors import InputError, unknown_name
from hmrm_lab.flow.gru_attention.update import AttentionKind
from hmrm_lab.records import Floats

Data = Literal["procedural", "flying_chairs", "flying_things"]
TRAINING_SEED = 20_000  # of pictures and faces; evaluation draws its own from other seeds
STOCK, PEOPLE = 160, 24
_LARGEST_SIDE = 900


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
        """Number of scenes of a batch that are drawn for it."""
        return (self.batch + 1) // 2 if self.replay else self.batch


@dataclass(frozen=True)
class Preset:
    """The stages of one pre-training."""

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


_LIST = (
    # 3.1.1: FlyingChairs, then FlyingThings3D, batch 10. The text gives no number of steps; these
    # are RAFT's (Teed and Deng 2020).
    Preset(
        "paper",
        (
            Stage("flying_chairs", 100_000, 10, peak_rate=4e-4),
            Stage("flying_things", 100_000, 10, peak_rate=1.25e-4),
        ),
        crop=(368, 496),
        checkpoint_every=1000,
    ),
    Preset("cpu", (Stage("procedural", 9_000, 8, replay=True),), crop=(128, 128)),
    # a sixth of the time of `cpu`, to compare variants
    Preset("brief", (Stage("procedural", 1_500, 8, replay=True),), crop=(128, 128)),
    Preset("gpu", (Stage("procedural", 60_000, 32),), crop=(192, 192), checkpoint_every=1000),
)
PRESETS = {preset.name: preset for preset in _LIST}


def find_preset(name: str, attention: str = "steps") -> Preset:
    """A preset by name, or a `ConfigError` with the nearest one."""
    if name not in PRESETS:
        raise unknown_name("pre-training preset", name, PRESETS)
    if attention not in get_args(AttentionKind):
        raise unknown_name("attention", attention, get_args(AttentionKind))
    return replace(PRESETS[name], attention=cast(AttentionKind, attention))


@dataclass(frozen=True)
class Mixture:
    """Pairs drawn at random from several sources."""

    sources: Sequence[PairSource]
    shares: Sequence[float]

    def __call__(self, rng: np.random.Generator) -> TruePair:
        return self.sources[rng.choice(len(self.sources), p=self.shares)](rng)


def procedural_mixture(
    size: int, *, photographs: Path | None = None, stock: int = STOCK, people: int = PEOPLE
) -> Mixture:
    """Moving faces, and layered scenes of drawn pictures, faces and a folder of photographs."""
    faces = face_pictures(TRAINING_SEED, range(people))
    pictures = [*procedural_pictures(TRAINING_SEED, stock), *faces]
    if photographs is not None:
        found = read_pictures(photographs)
        pictures += found * max(1, round(stock / len(found)))  # as often as drawn ones
    return Mixture([ProceduralPairs(pictures, size), FacialPairs(faces, size)], [0.75, 0.25])


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
    """The source of every stage of a preset.

    Parameters
    ----------
    chairs, things
        The roots of FlyingChairs and FlyingThings3D, for presets that use them.
    photographs
        A folder of pictures for the procedural scenes.

    Raises
    ------
    InputError
        If a stage needs a root that is not named.
    """
    published: dict[str, tuple[Callable[[Path], Any], Path | None, str]] = {
        "flying_chairs": (flying_chairs, chairs, "FlyingChairs"),
        "flying_things": (flying_things, things, "FlyingThings3D"),
    }
    sources: dict[str, PairSource] = {}
    for data in dict.fromkeys(stage.data for stage in preset.stages):
        if data == "procedural":
            sources[data] = procedural_mixture(preset.crop[0], photographs=photographs)
            continue
        find, root, name = published[data]
        if root is None:
            problem = f"preset '{preset.name}' learns from {name}"
            raise InputError(problem, hint="name its folder")
        sources[data] = StoredPairs(find(root), preset.crop)
    return sources
