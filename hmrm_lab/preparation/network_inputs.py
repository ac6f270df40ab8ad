"""Inputs of a network side by side: how each looks, and how well it shows a faint movement.

After Nguyen et al. (arXiv 2509.00056), who compare the apex frame, optical flow and the dynamic
image with MESTI; dual-phase flow is FMANet's (arXiv 2510.07810). The motion of drawn faces on still
heads is known. `python -m hmrm_lab.preparation.network_inputs` prints the tables of decision 0018.
"""

import sys
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache, partial
from itertools import product
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from hmrm_lab.datasets.classes import MEGC3
from hmrm_lab.datasets.synthetic import RenderedFrames, neutral_landmarks, synthetic
from hmrm_lab.datasets.synthetic.motion import Motion
from hmrm_lab.datasets.synthetic.recipes import COMPOSITE, Script, farthest_px, scaled, unit_bumps
from hmrm_lab.flow.estimator import FlowEstimator
from hmrm_lab.flow.motion_maps import dual_phase, without_median
from hmrm_lab.preparation import clip_arrays
from hmrm_lab.preparation.clip_arrays import dynamic_image, mesti, pool, still_head
from hmrm_lab.records import PICTURES, Clip, ClipKey, Floats, FlowSet, Frames, KnownMotion
from hmrm_lab.registry import flows

KEPT_GRAINS = 32  # of 600 kB for a crop
SIDE_PX = 112
FRAMES = 16
FPS = 100.0
PEAK_PX = 1.5  # the farthest that a point of the face moves, in the crop of 224 px
MOVING = 0.5  # a pixel moves if it goes this share of the farthest


class Input(NamedTuple):
    """The name of an input, and the overrides with which a network takes it."""

    words: str
    overrides: Sequence[str]


_KNOWN = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
INPUTS = {name: Input(**of) for name, of in _KNOWN["inputs"].items()}


def look_at(clip: Clip, estimator: FlowEstimator) -> dict[str, Floats]:
    """Every input of one clip in the canonical crop, by the names of `INPUTS`.

    Flows are (2, H, W) at crop resolution, in pixels, less the median motion; pictures (S, S) of
    RMS 1, larger than networks take them; from frames whose head is held still.
    """
    marks = (clip.onset, clip.known_apex, clip.offset)
    onset, apex, offset = (clip.frames[number][None] for number in marks)
    onset_apex, apex_offset = estimator(onset, apex)[0], estimator(apex, offset)[0]
    frames = still_head(clip_arrays.even_frames(clip, clip_arrays.LENGTH, SIDE_PX))
    return {
        "apex": clip_arrays.standardise(clip_arrays.gray_frame(clip, clip.known_apex, SIDE_PX)),
        "flow": without_median(onset_apex),
        "dual_phase": dual_phase(onset_apex, apex_offset),
        "dynamic_image": dynamic_image(frames),
        "mesti": mesti(frames, clip_arrays.apex_place(clip, len(frames))),
    }


def given(flowset: FlowSet, number: int, both: FlowSet | None = None) -> dict[str, Floats]:
    """Every input of one clip as networks take it: as `look_at`, flow of 28 px, pictures of 56.

    A flow set without pictures has flow alone; `both` are the same clips with dual-phase flow.
    """
    found = {"flow": without_median(flowset.maps[number, :2])}
    if both is not None:
        found["dual_phase"] = without_median(both.maps[number, :2])
    if flowset.pictures is not None:
        found |= dict(zip(PICTURES, flowset.pictures[number], strict=True))
    return {name: found[name] for name in INPUTS if name in found}


@dataclass(frozen=True, eq=False)
class DisturbedFrames:
    """Frames with noise and evenly drifting light, computed when asked for and always the same."""

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
        return cv2.convertScaleAbs(np.maximum(scene, 0))


@lru_cache(KEPT_GRAINS)
def _grain(number: int, shape: tuple[int, ...]) -> Floats:
    rng = np.random.Generator(np.random.SFC64(number))
    return rng.standard_normal(shape, dtype=np.float32)


def disturbed(clip: Clip, *, noise: float = 0.0, drift: float = 0.0) -> Clip:
    """The clip with noise of so many levels and light that has changed by a share at the offset."""
    frames = DisturbedFrames(clip.frames, clip.onset, clip.offset, noise, drift)
    return replace(clip, frames=frames)


class RememberedFrames:
    def __init__(self, frames: Frames) -> None:
        self._frames, self._read = frames, cache(frames.__getitem__)

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int, /) -> NDArray[np.uint8]:
        return self._read(index)


def cached_clip(clip: Clip) -> Clip:
    """The clip with its frames kept in memory, to be disturbed repeatedly."""
    return replace(clip, frames=RememberedFrames(clip.frames))


def rising_clips(count: int = len(COMPOSITE), **condition: float) -> list[Clip]:
    """Clips of drawn faces on still heads, one class after the other, up to the apex and back.

    The condition is noise in 8-bit levels, a drift of light, the place of the apex and what is left
    of the movement.
    """
    return [_rising_clip(number, **condition) for number in range(count)]


def _rising_clip(
    number: int, *, noise: float = 0.0, drift: float = 0.0, apex: float = 0.5, left: float = 0.0
) -> Clip:
    landmarks = neutral_landmarks(0, number)
    label = number % len(COMPOSITE)
    units = COMPOSITE[label].variants[number % 3]
    bumps = np.concatenate([unit_bumps(name, landmarks) for name in units])
    bumps = scaled(bumps, PEAK_PX / farthest_px(bumps))
    time = np.linspace(0, 1, FRAMES)
    peak = round(apex * (FRAMES - 1))
    rise = np.clip(time / time[peak], 0, 1)
    fall = np.clip((time - time[peak]) / (1 - time[peak]), 0, 1)
    rise, fall = (0.5 - 0.5 * np.cos(np.pi * part) for part in (rise, fall))
    course = rise * (1 - (1 - left) * fall)
    strengths = np.repeat(course[:, None], len(bumps), axis=1).astype(np.float32)
    script = Script(
        motion=Motion(bumps, strengths, np.zeros((FRAMES, 4), np.float32)),
        onset=0,
        apex=peak,
        offset=FRAMES - 1,
        units=units,
        coded=units,
        peak_px=PEAK_PX,
        gain=(1 + drift * time).astype(np.float32),
        noise_level=noise,
    )
    frames = RenderedFrames(0, number, number, script)
    key = ClipKey("drawn", f"face {number}", "still head")
    return Clip(key, label, frames, 0, peak, FRAMES - 1, FPS, MEGC3.classes, action_units=units)


def moving_pixels(flow_px: Floats, side_px: int = SIDE_PX) -> NDArray[np.bool_]:
    """Pixels whose known flow (2, H, W), less that of the head, is over half of its longest."""
    length = np.hypot(*without_median(flow_px))
    small = cv2.resize(length, (side_px, side_px), interpolation=cv2.INTER_AREA)
    return small > MOVING * small.max()


def kept(picture: Floats, moving: NDArray[np.bool_]) -> float:
    """Root mean square of a picture where the face moves, divided by that of the rest."""
    squares = picture.astype(np.float64) ** 2
    return float(np.sqrt(squares[moving].mean() / squares[~moving].mean()))


def kept_of(seen: dict[str, Floats], clip: Clip) -> dict[str, float]:
    """`kept` of each input from `look_at`; empty for recorded clips, whose motion is not known."""
    if not isinstance(clip.frames, KnownMotion):
        return {}
    truth = clip.frames.flow(clip.onset, clip.known_apex)
    moving = {side: moving_pixels(truth, side) for side in {v.shape[-1] for v in seen.values()}}
    strengths = {name: np.hypot(*v) if v.ndim == 3 else v for name, v in seen.items()}
    return {name: kept(values, moving[len(values)]) for name, values in strengths.items()}


def pooled(clip: Clip, hold: Callable[[Floats], Floats] = still_head) -> dict[str, Floats]:
    """A clip's frames from onset to offset pooled by six kinds of weights: name to (S, S).

    `hold` takes the head's motion out of frames (T, S, S) before.
    """
    numbers = range(clip.onset, clip.offset + 1)
    frames = hold(np.stack([clip_arrays.gray_frame(clip, n, SIDE_PX) for n in numbers]))
    count, apex = len(frames), clip.known_apex - clip.onset
    step = np.zeros(count)
    step[[0, apex]] = -1, 1
    order = clip_arrays.apex_order(count, apex)
    parabola = clip_arrays.without_drift(-(np.arange(count, dtype=np.float64) ** 2))
    return {
        "apex less onset": pool(frames, step),
        "slope": pool(frames, clip_arrays.slope_weights(count)),
        "dynamic image": dynamic_image(frames),
        "ranks to the apex and back": pool(frames, order - order.mean()),
        "parabola": pool(frames, parabola),
        "MESTI": mesti(frames, apex),
    }


def measure(clips: Iterable[Clip], inputs: Callable[[Clip], dict[str, Floats]]) -> dict[str, float]:
    """The geometric mean of `kept` over drawn clips, for each input."""
    ratios = [kept_of(inputs(clip), clip) for clip in clips]
    means = np.exp(np.mean([[np.log(k) for k in row.values()] for row in ratios], axis=0))
    return dict(zip(ratios[0], map(float, means), strict=True))


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


def _print_table(rows: Mapping[str, Mapping[str, float]], digits: int) -> None:
    heads = [INPUTS[name].words if name in INPUTS else name for name in next(iter(rows.values()))]
    sys.stdout.write(f"| | {' | '.join(heads)} |\n|{' --- |' * (len(heads) + 1)}\n")
    for name, row in rows.items():
        cells = " | ".join(f"{value:.{digits}f}" for value in row.values())
        sys.stdout.write(f"| {name} | {cells} |\n")
    sys.stdout.write("\n")


def main() -> None:
    """Print tables as Markdown: `kept` of frames pooled as they are and held still; of inputs.

    Then `likeness`.
    """
    dis = flows["dis"].build()
    casts: dict[str, Sequence[Clip]] = {
        name: rising_clips(12, **condition) for name, condition in _KNOWN["conditions"].items()
    }
    for difficulty in (0.0, 0.5, 1.0):
        drawn = synthetic(subjects=8, clips=24, difficulty=difficulty)
        casts[f"data set `synthetic`, difficulty {difficulty:g}"] = drawn
    for inputs in (partial(pooled, hold=np.asarray), pooled, partial(look_at, estimator=dis)):
        _print_table({name: measure(cast, inputs) for name, cast in casts.items()}, 2)
    rows = {}
    for name, difficulty in product(("gru_attention", "dis"), (0.0, 0.5)):
        drawn = synthetic(subjects=6, clips=12, difficulty=difficulty)
        rows[f"{name}, difficulty {difficulty:g}"] = likeness(drawn, flows[name].build())
    _print_table(rows, 3)


if __name__ == "__main__":
    main()
