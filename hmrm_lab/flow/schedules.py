"""How long GRU-AOFE is pre-trained, on what, and at which rate."""

import math
from dataclasses import dataclass, replace
from typing import Literal, cast, get_args

from hmrm_lab.errors import unknown_name
from hmrm_lab.flow.gru_attention.update import AttentionKind

Data = Literal["procedural", "flying_chairs", "flying_things"]


@dataclass(frozen=True)
class Stage:
    """One data set for so many steps, under a one-cycle rate of its own."""

    data: Data
    steps: int
    batch: int
    peak_rate: float = 2e-3
    replay: bool = False  # half of each batch are the scenes of the step before, with new noise
    warm_up: float = 0.05  # share of the steps in which the rate rises


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
    # the same in a sixth of the time, to compare variants
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
