"""The tables of decision 0018, as Markdown.

The ratio `kept` of frames pooled by six kinds of weights, as they are and with the head held still;
that of every input that a network can be given; how like the flows are to the exact one; and MM-COF
by its threshold.
"""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import product

import numpy as np

from hmrm_lab.datasets.synthetic import synthetic
from hmrm_lab.flow.estimator import FlowEstimator
from hmrm_lab.flow.motion_maps import modulate, without_median
from hmrm_lab.preparation.clip_arrays import (
    apex_order,
    dynamic_image,
    gray_frame,
    mesti,
    pool,
    slope_weights,
    still_head,
    without_drift,
)
from hmrm_lab.preparation.network_inputs import INPUTS, SIDE_PX, kept_of, look_at, rising_clips
from hmrm_lab.records import Clip, Floats, KnownMotion
from hmrm_lab.registry import flows

FACES = 12
THRESHOLDS = (0.1, 0.2, 0.3, 0.5, 0.7)
FLOWS = ("flow", "dual_phase", "mm_cof")  # inputs of one vector for each pixel
STILL_HEADS: dict[str, dict[str, float]] = {  # noise in 8-bit levels, shares of the rest
    "undisturbed": {},
    "noise": {"noise": 2},
    "light drifts by 3 %": {"drift": 0.03},
    "noise and drift": {"noise": 2, "drift": 0.03},
    "the same, apex at 25 %": {"noise": 2, "drift": 0.03, "apex": 0.25},
    "the same, apex at 75 %": {"noise": 2, "drift": 0.03, "apex": 0.75},
    "the same, half is left": {"noise": 2, "drift": 0.03, "left": 0.5},
    "the same, all is left": {"noise": 2, "drift": 0.03, "left": 1.0},
}


def pooled(clip: Clip, hold: Callable[[Floats], Floats] = still_head) -> dict[str, Floats]:
    """A clip's frames from onset to offset pooled by six kinds of weights: name to (S, S).

    `hold` takes the head's motion out of frames (T, S, S) before.
    """
    numbers = range(clip.onset, clip.offset + 1)
    frames = hold(np.stack([gray_frame(clip, n, SIDE_PX) for n in numbers]))
    count, apex = len(frames), clip.known_apex - clip.onset
    step = np.zeros(count)
    step[[0, apex]] = -1, 1
    order = apex_order(count, apex)
    parabola = without_drift(-(np.arange(count, dtype=np.float64) ** 2))
    return {
        "apex less onset": pool(frames, step),
        "slope": pool(frames, slope_weights(count)),
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
    found: dict[str, list[float]] = {name: [] for name in FLOWS}
    for clip in clips:
        if isinstance(clip.frames, KnownMotion):
            seen = look_at(clip, estimator)
            exact = without_median(clip.frames.flow(clip.onset, clip.known_apex))
            for name, cosines in found.items():
                cosines.append(cosine(exact, seen[name]))
    return {name: float(np.mean(cosines)) for name, cosines in found.items()}


def cosine(one: Floats, other: Floats) -> float:
    """The cosine between two flows of one shape."""
    return float((one * other).sum() / (np.linalg.norm(one) * np.linalg.norm(other)))


def by_threshold(clips: Iterable[Clip], estimator: FlowEstimator) -> dict[float, list[float]]:
    """The mean of `kept` and of the cosine with the exact flow of MM-COF, for each threshold."""
    found: dict[float, list[tuple[float, float]]] = {threshold: [] for threshold in THRESHOLDS}
    for clip in clips:
        marks = (clip.onset, clip.known_apex, clip.offset)
        onset, apex, offset = (clip.frames[number][None] for number in marks)
        pairs = (estimator(onset, apex)[0], estimator(apex, offset)[0])
        phases = [without_median(flow) for flow in pairs]
        exact = without_median(clip.frames.flow(clip.onset, clip.known_apex))
        for threshold, figures in found.items():
            flow = modulate(*phases, threshold=threshold)
            figures.append((np.log(kept_of({"mm_cof": flow}, clip)["mm_cof"]), cosine(exact, flow)))
    means = {threshold: np.mean(figures, axis=0) for threshold, figures in found.items()}
    return {
        threshold: [float(np.exp(kept)), float(near)] for threshold, (kept, near) in means.items()
    }


def print_table(rows: Mapping[str, Mapping[str, float]], digits: int) -> None:
    """Print rows of figures by name as a table of Markdown."""
    heads = [INPUTS[name].words if name in INPUTS else name for name in next(iter(rows.values()))]
    sys.stdout.write(f"| | {' | '.join(heads)} |\n|{' --- |' * (len(heads) + 1)}\n")
    for name, row in rows.items():
        cells = " | ".join(f"{value:.{digits}f}" for value in row.values())
        sys.stdout.write(f"| {name} | {cells} |\n")
    sys.stdout.write("\n")


def main() -> None:
    """Print five tables: `kept` of pooled frames and of inputs; `likeness`; `by_threshold`."""
    dis = flows["dis"].build()
    casts: dict[str, Sequence[Clip]] = {
        name: rising_clips(FACES, **condition) for name, condition in STILL_HEADS.items()
    }
    for difficulty in (0.0, 0.5, 1.0):
        drawn = synthetic(subjects=8, clips=24, difficulty=difficulty)
        casts[f"data set `synthetic`, difficulty {difficulty:g}"] = drawn
    for inputs in (partial(pooled, hold=np.asarray), pooled, partial(look_at, estimator=dis)):
        print_table({name: measure(cast, inputs) for name, cast in casts.items()}, 2)
    rows = {}
    for name, difficulty in product(("gru_attention", "dis"), (0.0, 0.5)):
        drawn = synthetic(subjects=6, clips=12, difficulty=difficulty)
        rows[f"{name}, difficulty {difficulty:g}"] = likeness(drawn, flows[name].build())
    print_table(rows, 3)
    chosen = ("noise and drift", "data set `synthetic`, difficulty 0.5")
    found = {name: by_threshold(casts[name], dis) for name in chosen}
    print_table(
        {
            f"threshold {threshold:g}": {
                f"{name}: {figure}": value
                for name in chosen
                for figure, value in zip(("kept", "cosine"), found[name][threshold], strict=True)
            }
            for threshold in THRESHOLDS
        },
        3,
    )


if __name__ == "__main__":
    main()
