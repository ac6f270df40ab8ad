"""How long does a widget take to redraw when a control moves? Frames of 224x224, one thread.

The time is that of the kernel: from the new value of the control until all views are ready to be
sent. What the browser adds is not in it.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"

import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import pandas as pd
import torch
from harness import Bound, Level, Skipped, at_most, main, rounds_of

import hmrm_lab as lab
from hmrm_lab.api.result import Result, Study
from hmrm_lab.api.system import System
from hmrm_lab.config import load_config
from hmrm_lab.datasets.synthetic import synthetic
from hmrm_lab.preparation import load_clips, load_flowset
from hmrm_lab.preparation.network_inputs import rising_clips
from hmrm_lab.runtime.store import RunFolder
from hmrm_lab.studies.experiment import run_experiment
from hmrm_lab.studies.search import run_grid
from hmrm_lab.studies.space import grid
from hmrm_lab.studies.trials import Sweep
from hmrm_lab.training.trainer import fit

REDRAW, REMEMBERED, NEWS = at_most(100), at_most(30), at_most(250)  # ms


def measure(options: Namespace) -> Iterator[Level | Skipped]:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        import hmrm_widgets  # noqa: F401
    except ModuleNotFoundError as error:
        yield Skipped("widgets", f"the extra 'jupyter' is not installed: no {error.name}")
        return
    for redraws in WIDGETS:
        yield from redraws(rounds_of(options, 3))


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
        taken = moves(explorer.frame, steps)
        yield _level(f"FlowExplorer, known flow, {display}", name.lower(), taken, REMEMBERED)
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


def motionmix_studio(rounds: int) -> Iterator[Level]:
    """The slider of lambda, at the grain of a system's maps and over the face."""
    from hmrm_widgets import MotionMixStudio

    config = load_config("smoke", data="synthetic")
    studio = MotionMixStudio(load_flowset(config), load_clips(config))
    shares = [n / 20 for n in range(20)] * rounds
    for name, grain in studio.grain.options:
        studio.grain.value = grain
        taken = moves(studio.strength, shares)
        yield _level(f"MotionMixStudio, lambda, {grain}", name, taken, REDRAW)


def scan_playground(rounds: int) -> Iterator[Level]:
    """The slider of the decay."""
    from hmrm_widgets import ScanPlayground

    taken = moves(ScanPlayground().decay, [n / 10 for n in range(1, 21)] * rounds)
    yield _level("ScanPlayground, decay", "stems and matrix", taken, REDRAW)


def region_inspector(rounds: int) -> Iterator[Level]:
    """One region after the other, over the face."""
    from hmrm_widgets import RegionInspector

    config = load_config("smoke", data="synthetic")
    inspector = RegionInspector(load_flowset(config), load_clips(config))
    inspector.grain.value = "sub"
    regions = [value for _, value in inspector.region.options] * rounds
    taken = moves(inspector.region, regions)
    yield _level("RegionInspector, region", "face, motion and order", taken, REDRAW)


def magnifier_studio(rounds: int) -> Iterator[Level]:
    """The slider of the factor, and that of all ratios."""
    from hmrm_widgets import MagnifierStudio

    config = load_config("smoke", system="ammsm", data="synthetic")
    flowset = load_flowset(config)
    system = System.of_settings(config, fit(config, flowset, seed=0))
    studio = MagnifierStudio(system, flowset, load_clips(config))
    taken = moves(studio.alpha, [2 ** (n / 4) for n in range(16)] * rounds)
    yield _level("MagnifierStudio, alpha", "flow, gate and four stages", taken, REDRAW)
    taken = moves(studio.ratios[0], [n / 20 for n in range(1, 21)] * rounds)
    yield _level("MagnifierStudio, ratio", "one ratio for all stages", taken, REDRAW)


def search_monitor(rounds: int) -> Iterator[Level]:
    """Opened on the journal of a whole search, and then the slider of how many are drawn."""
    from hmrm_widgets import SearchMonitor

    from hmrm_lab.studies.evolve import JOURNAL, Evolution, breed, name_of
    from hmrm_lab.studies.space import Journal
    from hmrm_lab.studies.supernet import Fitness

    config = load_config("smoke", system="ammsm_temporal", data="synthetic")
    with tempfile.TemporaryDirectory() as folder:
        evolution = Evolution.of(config, load_flowset(config), Path(folder))
        evolution.sweep.folder.mkdir()
        study = Journal.open(evolution.sweep.folder / JOURNAL, name_of(evolution), ["maximize"])
        breed(
            evolution,
            study,
            lambda choices: [Fitness(1 / choice.alpha, choice.alpha) for choice in choices],
            lambda done, total: None,
        )
        opened = [_milliseconds(lambda: SearchMonitor(evolution)) for _ in range(5 * rounds)]
        monitor = SearchMonitor(evolution)
        taken = moves(monitor.count, [*range(1, 20)] * rounds)
    yield _level("SearchMonitor, 192 new trials", "journal, figures and table", opened, NEWS)
    yield _level("SearchMonitor, fittest drawn", "figures and table", taken, REDRAW)


def input_gallery(rounds: int) -> Iterator[Level]:
    """The slider of the noise: all inputs of a clip anew, two flows among them."""
    from hmrm_widgets import InputGallery

    gallery = InputGallery(rising_clips())
    gallery.drift.value = 3.0
    taken = moves(gallery.noise, [n / 2 for n in range(1, 13)] * rounds)
    yield _level("InputGallery, noise", "five inputs of 16 frames, flow by dis", taken, REDRAW)


def prediction_browser(rounds: int) -> Iterator[Level]:
    """One answer of a run after the other."""
    from hmrm_widgets import PredictionBrowser

    config = load_config("smoke", data="synthetic")
    with _trained() as (run, _):
        browser = PredictionBrowser(Result(run), load_flowset(config), load_clips(config))
        answers = [value for _, value in browser.answer.options] * rounds
        taken = moves(browser.answer, answers)
    yield _level("PredictionBrowser, next answer", "map, faces and bars", taken, REDRAW)


def loso_monitor(rounds: int) -> Iterator[Level]:
    """A look at the folder of a run, as its timer takes one every second."""
    from hmrm_widgets import LosoMonitor

    with _trained() as (run, _):
        monitor = LosoMonitor(Result(run))
        taken = [_milliseconds(monitor.update) for _ in range(5 * rounds)]
    yield _level("LosoMonitor, one look", "a finished run of four subjects", taken, REDRAW)


def ablation_board(rounds: int) -> Iterator[Level]:
    """A switch of the components, before anything is run."""
    from hmrm_widgets import AblationBoard

    with tempfile.TemporaryDirectory() as folder:
        board = AblationBoard("hmrm", lab.load("synthetic", preset="smoke"), out=folder)
        taken = moves(board.switches.width, [*board.switches.width.options] * rounds)
    yield _level("AblationBoard, width", "names and states of all runs", taken, REDRAW)


def heatmap_explorer(rounds: int) -> Iterator[Level]:
    """From one cell of a sweep to the next."""
    from hmrm_widgets import HeatmapExplorer

    config = load_config("smoke", data="synthetic", overrides=["training.epochs=1"])
    flowset = load_flowset(config)
    values = {"model.depth": (1,), "model.width": (8, 16)}
    with tempfile.TemporaryDirectory() as folder:
        sweep = Sweep.of(config, flowset, Path(folder))
        run_grid(sweep, flowset, grid(values))
        explorer = HeatmapExplorer(
            Study({}, pd.DataFrame(), pd.DataFrame(), sweep=sweep, axes=values)
        )
        taken = moves(explorer.column, [16, 8] * 5 * rounds)
    yield _level("HeatmapExplorer, next cell", "curves and confusion", taken, REDRAW)


def moves(control: object, values: Iterable[object], *, trait: str = "value") -> list[float]:
    """Milliseconds of each move of a control to the next value; one that it has is no move."""
    return [
        _milliseconds(lambda value=value: setattr(control, trait, value))
        for value in values
        if getattr(control, trait) != value
    ]


def _milliseconds(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return 1e3 * (time.perf_counter() - started)


@contextmanager
def _trained() -> Iterator[tuple[RunFolder, Path]]:
    """A short run on the built-in faces, and the folder that it lies in."""
    with tempfile.TemporaryDirectory() as folder:
        config = load_config("smoke", data="synthetic", overrides=["training.epochs=1"])
        yield run_experiment(config, out=Path(folder), final_model=False), Path(folder)


def _level(name: str, what: str, taken: list[float], bound: Bound) -> Level:
    return Level(name, f"{what}; median of {len(taken)} moves", "ms", taken, bound)


WIDGETS: tuple[Callable[[int], Iterator[Level]], ...] = (
    flow_explorer,
    clip_stepper,
    motionmix_studio,
    scan_playground,
    region_inspector,
    input_gallery,
    prediction_browser,
    loso_monitor,
    ablation_board,
    heatmap_explorer,
    magnifier_studio,
    search_monitor,
)


if __name__ == "__main__":
    main(measure)
