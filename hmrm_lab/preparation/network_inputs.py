"""Inputs of a network side by side: how each looks, and how well it shows a faint movement.

After Nguyen et al. (arXiv 2509.00056), who compare the apex frame, optical flow and the dynamic
image with MESTI; both phases joined are after FMANet (arXiv 2510.07810). The motion of drawn faces
on still heads is known. `python benchmarks/network_inputs.py` prints the tables of decision 0018.
"""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from hmrm_lab.datasets.classes import MEGC3
from hmrm_lab.datasets.synthetic import FPS, RenderedFrames, neutral_landmarks
from hmrm_lab.datasets.synthetic.motion import Motion
from hmrm_lab.datasets.synthetic.recipes import COMPOSITE, Script, farthest_px, scaled, unit_bumps
from hmrm_lab.flow.estimator import FlowEstimator
from hmrm_lab.flow.motion_maps import dual_phase, without_median
from hmrm_lab.preparation import clip_arrays
from hmrm_lab.preparation.clip_arrays import dynamic_image, mesti, still_head
from hmrm_lab.records import PICTURES, Clip, ClipKey, Floats, FlowSet, Frames, KnownMotion

KEPT_GRAINS = 32  # of 600 kB for a crop
SIDE_PX = 112
FRAMES = 16
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
        "mm_cof": dual_phase(onset_apex, apex_offset, phases="mm_cof"),
        "dynamic_image": dynamic_image(frames),
        "mesti": mesti(frames, clip_arrays.apex_place(clip, len(frames))),
    }


def given(flowset: FlowSet, number: int, **joined: FlowSet) -> dict[str, Floats]:
    """Every input of one clip as networks take it: as `look_at`, flow of 28 px, pictures of 56.

    A flow set without pictures has flow alone; `joined`: the same clips as `dual_phase`, `mm_cof`.
    """
    flows = {"flow": flowset, **joined}
    found = {name: without_median(one.maps[number, :2]) for name, one in flows.items()}
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
