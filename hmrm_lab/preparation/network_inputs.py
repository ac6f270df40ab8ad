"""What a network can be given of a clip: the inputs that are compared, and how each looks.

After Nguyen et al. (arXiv 2509.00056), who compare the apex frame, optical flow and the dynamic
image with MESTI; dual-phase flow is FMANet's (arXiv 2510.07810). Decision 0018, of which
`python -m hmrm_lab.preparation.network_inputs` prints the last two tables.
"""

import sys
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hmrm_lab.datasets.synthetic import synthetic
from hmrm_lab.flow.estimator import FlowEstimator, dual_phase
from hmrm_lab.flow.normalise import without_median
from hmrm_lab.preparation.disturbed import CONDITIONS, SIDE_PX, kept, moving_pixels, rising_clips
from hmrm_lab.preparation.dynamic_image import dynamic_image, mesti
from hmrm_lab.preparation.gray import LENGTH, even_frames, gray_frame
from hmrm_lab.preparation.pictures import standardise
from hmrm_lab.records import PICTURES, Clip, Floats, FlowSet, KnownMotion
from hmrm_lab.registry import flows


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
