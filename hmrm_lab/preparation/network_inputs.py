"""What a network can be given of a clip: the inputs that are compared, and how each looks.

After Nguyen et al. (arXiv 2509.00056), who compare the apex frame, optical flow and the dynamic
image with MESTI; dual-phase flow is FMANet's (arXiv 2510.07810). Decision 0018, of which
`python -m hmrm_lab.preparation.network_inputs` prints the last two tables.
"""

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

import hmrm_lab.flow  # noqa: F401  registers the estimators
from hmrm_lab.datasets.synthetic import RenderedFrames, synthetic
from hmrm_lab.datasets.synthetic.action_units import CORE, unit_bumps
from hmrm_lab.datasets.synthetic.appearance import neutral_landmarks
from hmrm_lab.datasets.synthetic.motion import Motion
from hmrm_lab.datasets.synthetic.recipes import Script, farthest_px, scaled
from hmrm_lab.flow.estimator import FlowEstimator
from hmrm_lab.flow.motion_maps import dual_phase, without_median
from hmrm_lab.preparation.dynamic_image import (
    LENGTH,
    dynamic_image,
    even_frames,
    gray_frame,
    mesti,
    pool,
    slope_weights,
    standardise,
)
from hmrm_lab.records import CLASSES, PICTURES, Clip, ClipKey, Floats, FlowSet, Frames, KnownMotion
from hmrm_lab.registry import flows

KEPT_GRAINS = 32  # of 600 kB for a crop


@dataclass(frozen=True, eq=False)
class DisturbedFrames:
    """Frames with noise and drift upon them, each made when asked for and always the same.

    Light changes evenly from onset to offset; before and after it goes on likewise.
    """

    frames: Frames
    onset: int
    offset: int
    noise: float
    drift: float

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int, /) -> NDArray[np.uint8]:
        number = range(len(self))[index]
        gain = 1 + self.drift * (number - self.onset) / max(1, self.offset - self.onset)
        scene = self.frames[number] * np.float32(gain)
        if self.noise:
            scene += _grain(number, scene.shape) * np.float32(self.noise)
        return np.asarray(cv2.convertScaleAbs(np.maximum(scene, 0)), dtype=np.uint8)


class RememberedFrames:
    """Frames that are read or rendered once, and kept as long as this is."""

    def __init__(self, frames: Frames) -> None:
        self._frames = frames
        self._known: dict[int, NDArray[np.uint8]] = {}

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int, /) -> NDArray[np.uint8]:
        if index not in self._known:
            self._known[index] = self._frames[index]
        return self._known[index]


def remembering(clip: Clip) -> Clip:
    """The clip with frames that are kept, to be disturbed again and again."""
    return replace(clip, frames=RememberedFrames(clip.frames))


def disturbed(clip: Clip, *, noise: float = 0.0, drift: float = 0.0) -> Clip:
    """The clip with sensor noise and drifting light.

    Parameters
    ----------
    noise
        Standard deviation in 8-bit levels, of each colour by itself.
    drift
        The change of light from onset to offset, as a share: 0.03 is 3 % brighter in the end.
    """
    frames = DisturbedFrames(clip.frames, clip.onset, clip.offset, noise, drift)
    return replace(clip, frames=frames)


@lru_cache(KEPT_GRAINS)
def _grain(number: int, shape: tuple[int, ...]) -> Floats:
    rng = np.random.Generator(np.random.SFC64(number))
    return rng.standard_normal(shape, dtype=np.float32)


SIDE_PX = 112
FRAMES = 16
FPS = 100.0
PEAK_PX = 1.5  # the farthest that a point of the face moves, in the crop of 224 px
MOVING = 0.5  # a pixel moves if it goes this share of the farthest


@dataclass(frozen=True)
class Condition:
    """How a clip is disturbed, and when its apex is.

    `noise` is the sensor's, in 8-bit levels; `drift` is the even change of light from the first
    frame to the last, as a share; `apex` the place of the apex in the clip; `left` the share of
    the movement that is still there at the end.
    """

    noise: float = 0.0
    drift: float = 0.0
    apex: float = 0.5
    left: float = 0.0


UNDISTURBED = Condition()
CONDITIONS: Mapping[str, Condition] = {
    "undisturbed": UNDISTURBED,
    "noise": Condition(noise=2),
    "light drifts by 3 %": Condition(drift=0.03),
    "noise and drift": Condition(noise=2, drift=0.03),
    "the same, apex at 25 %": Condition(noise=2, drift=0.03, apex=0.25),
    "the same, apex at 75 %": Condition(noise=2, drift=0.03, apex=0.75),
    "the same, half is left": Condition(noise=2, drift=0.03, left=0.5),
    "the same, all is left": Condition(noise=2, drift=0.03, left=1.0),
}


def rise_and_fall(number: int, condition: Condition) -> RenderedFrames:
    """Face `number`, which shows units of its class, up to the apex and back."""
    landmarks = neutral_landmarks(0, number)
    variants = CORE[number % len(CORE)]
    bumps = np.concatenate([unit_bumps(name, landmarks) for name in variants[number % 3]])
    bumps = scaled(bumps, PEAK_PX / farthest_px(bumps))
    time = np.linspace(0, 1, FRAMES)
    apex = round(condition.apex * (FRAMES - 1))
    rise = np.clip(time / time[apex], 0, 1)
    fall = np.clip((time - time[apex]) / (1 - time[apex]), 0, 1)
    course = (0.5 - 0.5 * np.cos(np.pi * rise)) * (
        1 - (1 - condition.left) * (0.5 - 0.5 * np.cos(np.pi * fall))
    )
    script = Script(
        motion=Motion(
            bumps,
            np.repeat(course[:, None], len(bumps), axis=1).astype(np.float32),
            np.zeros((FRAMES, 4), np.float32),
        ),
        onset=0,
        apex=apex,
        offset=FRAMES - 1,
        units=variants[number % 3],
        peak_px=PEAK_PX,
        gain=(1 + condition.drift * time).astype(np.float32),
        noise_level=condition.noise,
    )
    return RenderedFrames(0, number, number, script)


def rising_clips(condition: Condition = UNDISTURBED, count: int = len(CLASSES)) -> list[Clip]:
    """Such clips of as many faces, one class after the other."""
    return [_as_clip(rise_and_fall(number, condition)) for number in range(count)]


def gray(frames: RenderedFrames) -> NDArray[np.uint8]:
    """The frames from onset to offset as (T, 112, 112) uint8."""
    numbers = range(frames.script.onset, frames.script.offset + 1)
    pictures = (cv2.cvtColor(frames[number], cv2.COLOR_RGB2GRAY) for number in numbers)
    area = cv2.INTER_AREA
    small = [cv2.resize(picture, (SIDE_PX, SIDE_PX), interpolation=area) for picture in pictures]
    return np.stack(small).astype(np.uint8)


def moving_pixels(flow_px: Floats, side_px: int = SIDE_PX) -> NDArray[np.bool_]:
    """Where a known flow (2, H, W), less that of the head, is over half of its longest."""
    u, v = flow_px - np.median(flow_px, axis=(1, 2), keepdims=True)
    length = np.hypot(u, v)
    small = cv2.resize(length, (side_px, side_px), interpolation=cv2.INTER_AREA)
    return np.asarray(small > MOVING * small.max(), dtype=np.bool_)


def kept(picture: Floats, moving: NDArray[np.bool_]) -> float:
    """Root mean square of a picture where the face moves, divided by that of the rest."""
    squares = picture.astype(np.float64) ** 2
    return float(np.sqrt(squares[moving].mean() / squares[~moving].mean()))


def measure_pooling(clips: Iterable[RenderedFrames]) -> dict[str, float]:
    """The geometric mean over clips of `kept` for each way to make a picture."""
    found: dict[str, list[float]] = {}
    for frames in clips:
        onset, apex = frames.script.onset, frames.script.apex
        moving, clip = moving_pixels(frames.flow(onset, apex)), gray(frames)
        for name, picture in _pictures(clip, apex - onset).items():
            found.setdefault(name, []).append(kept(picture, moving))
    return {name: float(np.exp(np.mean(np.log(ratios)))) for name, ratios in found.items()}


def _pictures(clip: NDArray[np.uint8], apex: int) -> dict[str, Floats]:
    step = np.zeros(len(clip))
    step[[0, apex]] = -1, 1
    return {
        "apex less onset": pool(clip, step),
        "slope": pool(clip, slope_weights(len(clip))),
        "dynamic image": dynamic_image(clip),
        "MESTI": mesti(clip),
    }


def print_pooling() -> None:
    """One row for each kind of clips, as Markdown."""
    casts = {name: _twelve(condition) for name, condition in CONDITIONS.items()}
    for difficulty in (0.0, 0.5, 1.0):
        casts[f"data set `synthetic`, difficulty {difficulty:g}"] = _data_set(difficulty)
    for place, (name, cast) in enumerate(casts.items()):
        row = measure_pooling(cast)
        if not place:
            sys.stdout.write(f"| | {' | '.join(row)} |\n|{' --- |' * (len(row) + 1)}\n")
        cells = " | ".join(f"{ratio:.2f}" for ratio in row.values())
        sys.stdout.write(f"| {name} | {cells} |\n")


def _as_clip(frames: RenderedFrames) -> Clip:
    key = ClipKey("drawn", f"face {frames.subject}", "still head")
    script = frames.script
    label = frames.clip % len(CLASSES)
    return Clip(key, label, frames, script.onset, script.apex, script.offset, FPS)


def _twelve(condition: Condition) -> list[RenderedFrames]:
    return [rise_and_fall(number, condition) for number in range(12)]


def _data_set(difficulty: float) -> list[RenderedFrames]:
    clips = synthetic(subjects=8, clips=24, difficulty=difficulty)
    return [clip.frames for clip in clips if isinstance(clip.frames, RenderedFrames)]


@dataclass(frozen=True)
class Input:
    """What an input is in words, and the overrides that make a network read it."""

    words: str
    overrides: tuple[str, ...]


RISE, MAPS = "flow.phases=rise", 'input.channels=["u","v","strain"]'
INPUTS = {
    "apex": Input("apex frame", (RISE, 'input.channels=["apex"]')),
    "flow": Input("onset-apex flow", (RISE, MAPS)),
    "dual_phase": Input("dual-phase flow", ("flow.phases=both", MAPS)),
    "dynamic_image": Input("dynamic image", (RISE, 'input.channels=["dynamic_image"]')),
    "mesti": Input("MESTI", (RISE, 'input.channels=["mesti"]')),
}


def look_at(clip: Clip, estimator: FlowEstimator) -> dict[str, Floats]:
    """Every input of one clip in the canonical crop, by the names of `INPUTS`.

    Flows are at crop resolution and pictures of `kept.SIDE_PX`, larger than networks are given
    them, and for the eye.

    Shapes
    ------
    flow, dual_phase : (2, H, W), pixels, the median motion taken away
    apex, dynamic_image, mesti : (S, S), RMS 1
    """
    onset, apex, offset = (
        clip.frames[number][None] for number in (clip.onset, clip.known_apex, clip.offset)
    )
    rise, fall = estimator(onset, apex)[0], estimator(apex, offset)[0]
    frames = even_frames(clip, LENGTH, SIDE_PX)
    return {
        "apex": standardise(gray_frame(clip, clip.known_apex, SIDE_PX)),
        "flow": without_median(rise),
        "dual_phase": dual_phase(rise, fall),
        "dynamic_image": dynamic_image(frames),
        "mesti": mesti(frames),
    }


def given(flowset: FlowSet, number: int, both: FlowSet | None = None) -> dict[str, Floats]:
    """Every input of one clip as networks are given it: maps of 28 px, pictures of 56.

    Without pictures in the flow set, which data without frames never have, flow alone.

    Parameters
    ----------
    both
        The same clips with flow of both phases, if there are such maps.

    Shapes
    ------
    flow, dual_phase : (2, h, h), in the unit of the maps, the median motion taken away
    apex, dynamic_image, mesti : (S, S), RMS 1
    """
    found = {"flow": without_median(flowset.maps[number, :2])}
    if both is not None:
        found["dual_phase"] = without_median(both.maps[number, :2])
    if flowset.pictures is not None:
        pictures = zip(PICTURES, flowset.pictures[number], strict=True)
        found |= {name: picture for name, picture in pictures if name in INPUTS}
    return {name: found[name] for name in INPUTS if name in found}


def kept_of(seen: dict[str, Floats], clip: Clip) -> dict[str, float]:
    """How strong each input is where the face moves, divided by elsewhere (`kept`).

    Empty where nobody knows where the face moves: the exact motion is known of drawn faces alone.

    Parameters
    ----------
    seen
        What `look_at` gives, of this clip or of one that was disturbed.
    """
    if not isinstance(clip.frames, KnownMotion):
        return {}
    truth = clip.frames.flow(clip.onset, clip.known_apex)
    moving: dict[int, NDArray[np.bool_]] = {}
    found = {}
    for name, values in seen.items():
        strength = np.hypot(*values) if values.ndim == 3 else values
        side = len(strength)
        if side not in moving:
            moving[side] = moving_pixels(truth, side)
        found[name] = kept(strength, moving[side])
    return found


def measure(clips: Iterable[Clip], estimator: FlowEstimator) -> dict[str, float]:
    """The geometric mean over drawn clips of what each input keeps."""
    logs = [[np.log(k) for k in kept_of(look_at(c, estimator), c).values()] for c in clips]
    means = np.exp(np.mean(logs, axis=0))
    return dict(zip(INPUTS, map(float, means), strict=True))


def likeness(clips: Iterable[Clip], estimator: FlowEstimator) -> dict[str, float]:
    """The mean cosine between flows of drawn clips and the exact one from onset to apex."""
    found: dict[str, list[float]] = {"flow": [], "dual_phase": []}
    for clip in clips:
        if isinstance(clip.frames, KnownMotion):
            seen = look_at(clip, estimator)
            exact = without_median(clip.frames.flow(clip.onset, clip.known_apex))
            for name, cosines in found.items():
                lengths = np.linalg.norm(exact) * np.linalg.norm(seen[name])
                cosines.append(float((exact * seen[name]).sum() / lengths))
    return {name: float(np.mean(cosines)) for name, cosines in found.items()}


def main() -> None:
    """What is kept, and how near flows are to the exact one, as Markdown."""
    estimator = flows["dis"].build()
    casts = {name: rising_clips(condition, 12) for name, condition in CONDITIONS.items()}
    for difficulty in (0.0, 0.5, 1.0):
        drawn = synthetic(subjects=8, clips=24, difficulty=difficulty)
        casts[f"data set `synthetic`, difficulty {difficulty:g}"] = drawn
    heads = " | ".join(known.words for known in INPUTS.values())
    sys.stdout.write(f"| | {heads} |\n|{' --- |' * (len(INPUTS) + 1)}\n")
    for name, cast in casts.items():
        cells = " | ".join(f"{ratio:.2f}" for ratio in measure(cast, estimator).values())
        sys.stdout.write(f"| {name} | {cells} |\n")
    sys.stdout.write(f"\n| | {INPUTS['flow'].words} | {INPUTS['dual_phase'].words} |\n")
    sys.stdout.write("| --- | --- | --- |\n")
    for name in ("gru_attention", "dis"):
        for difficulty in (0.0, 0.5):
            drawn = synthetic(subjects=6, clips=12, difficulty=difficulty)
            cells = " | ".join(f"{c:.3f}" for c in likeness(drawn, flows[name].build()).values())
            sys.stdout.write(f"| {name}, difficulty {difficulty:g} | {cells} |\n")


if __name__ == "__main__":
    main()
