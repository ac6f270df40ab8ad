"""A clip as a worse camera would have seen it: more noise, and light that drifts."""

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from hmrm_lab.datasets.synthetic import RenderedFrames, synthetic
from hmrm_lab.datasets.synthetic.action_units import CORE, unit_bumps
from hmrm_lab.datasets.synthetic.motion import Motion
from hmrm_lab.datasets.synthetic.recipes import Script, farthest_px, scaled
from hmrm_lab.datasets.synthetic.rendering import neutral_landmarks
from hmrm_lab.preparation.dynamic_image import dynamic_image, mesti, pool, slope_weights
from hmrm_lab.records import Clip, ClipKey, Floats, Frames

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
    variants = [*CORE.values()][number % len(CORE)]
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


def rising_clips(condition: Condition = UNDISTURBED, count: int = len(CORE)) -> list[Clip]:
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


def measure(clips: Iterable[RenderedFrames]) -> dict[str, float]:
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


def main() -> None:
    """One row for each kind of clips, as Markdown."""
    casts = {name: _twelve(condition) for name, condition in CONDITIONS.items()}
    for difficulty in (0.0, 0.5, 1.0):
        casts[f"data set `synthetic`, difficulty {difficulty:g}"] = _data_set(difficulty)
    for place, (name, cast) in enumerate(casts.items()):
        row = measure(cast)
        if not place:
            sys.stdout.write(f"| | {' | '.join(row)} |\n|{' --- |' * (len(row) + 1)}\n")
        cells = " | ".join(f"{ratio:.2f}" for ratio in row.values())
        sys.stdout.write(f"| {name} | {cells} |\n")


def _as_clip(frames: RenderedFrames) -> Clip:
    key = ClipKey("drawn", f"face {frames.subject}", "still head")
    script = frames.script
    label = frames.clip % len(CORE)
    marks = (script.onset, script.apex, script.offset)
    return Clip(key, label, frames, *marks, FPS, tuple(CORE))


def _twelve(condition: Condition) -> list[RenderedFrames]:
    return [rise_and_fall(number, condition) for number in range(12)]


def _data_set(difficulty: float) -> list[RenderedFrames]:
    clips = synthetic(subjects=8, clips=24, difficulty=difficulty)
    return [clip.frames for clip in clips if isinstance(clip.frames, RenderedFrames)]


if __name__ == "__main__":
    main()
