"""How long does a widget take to redraw when a control moves? Frames of 224x224, one thread.

The time is that of the kernel: from the new value of the control until all views are ready to be
sent. What the browser adds is not in it.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"

import time
from argparse import Namespace
from collections.abc import Iterable, Iterator

import cv2
import torch
from harness import Bound, Level, Skipped, at_most, main, rounds_of

from hmrm_lab.datasets.synthetic import synthetic

REDRAW, REMEMBERED = at_most(100), at_most(30)  # ms


def measure(options: Namespace) -> Iterator[Level | Skipped]:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        import hmrm_widgets  # noqa: F401
    except ModuleNotFoundError as error:
        yield Skipped("widgets", f"the extra 'jupyter' is not installed: no {error.name}")
        return
    rounds = rounds_of(options, 3)
    yield from flow_explorer(rounds)
    yield from clip_stepper(rounds)


def flow_explorer(rounds: int) -> Iterator[Level]:
    """The frame slider from onset to apex: flow yet to be computed, and flow that is known."""
    from hmrm_widgets import FlowExplorer

    clips = synthetic(subjects=2, clips=4)
    fresh = []
    for _ in range(rounds):
        explorer = FlowExplorer(clips, ["dis"])
        frames = range(explorer.frame.min, explorer.frame.max)  # it opens at the apex
        fresh += moves(explorer.frame, frames)
    yield _level("FlowExplorer, new frame, flow by dis", "colours", fresh, REDRAW)
    steps = [*range(explorer.frame.min, explorer.frame.max + 1)] * rounds
    for name, display in explorer.display.options:
        explorer.display.value = display
        moves(explorer.frame, steps[: len(frames) + 1])
        what = f"{name.lower()}, every frame seen before"
        taken = moves(explorer.frame, steps)
        yield _level(f"FlowExplorer, known flow, {display}", what, taken, REMEMBERED)
    points = [(10 * n % 224, 7 * n % 224) for n in range(1, 1 + 10 * rounds)]
    taken = moves(explorer.motion, points, trait="point")
    yield _level("FlowExplorer, point", "the motion of a point is read", taken, REMEMBERED)


def clip_stepper(rounds: int) -> Iterator[Level]:
    """The frame slider from onset to offset, all that can be drawn on the face."""
    from hmrm_widgets import ClipStepper

    clips = synthetic(subjects=2, clips=4)
    fresh = []
    for _ in range(rounds):
        stepper = ClipStepper(clips)
        stepper.parts.value = stepper.core.value = True
        frames = range(stepper.frame.min + 1, stepper.frame.max + 1)  # it opens at the onset
        fresh += moves(stepper.frame, frames)
    yield _level("ClipStepper, new frame", "landmarks, parts and core regions", fresh, REDRAW)
    again = moves(stepper.frame, [*frames] * rounds)
    yield _level("ClipStepper, known frame", "every frame seen before", again, REMEMBERED)


def moves(control: object, values: Iterable[object], *, trait: str = "value") -> list[float]:
    """Milliseconds of each move of a control to the next value; one that it has is no move."""
    taken = []
    for value in values:
        if getattr(control, trait) == value:
            continue
        started = time.perf_counter()
        setattr(control, trait, value)
        taken.append(1e3 * (time.perf_counter() - started))
    return taken


def _level(name: str, what: str, taken: list[float], bound: Bound) -> Level:
    return Level(name, f"{what}; median of {len(taken)} moves", "ms", taken, bound)


if __name__ == "__main__":
    main(measure)
