"""Small trained things for the page of the widgets; the kernel that shows them imports this."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
from conftest import make_flowset, quick_config

from hmrm_lab.api.result import Study
from hmrm_lab.api.system import System
from hmrm_lab.preparation import compute_flowset, load_flowset
from hmrm_lab.records import Clip, FlowSet
from hmrm_lab.studies.evolve import Evolution, evolve
from hmrm_lab.studies.search import run_grid
from hmrm_lab.studies.space import grid
from hmrm_lab.studies.trials import Sweep
from hmrm_lab.training.trainer import fit

SMALL = ("model.width=8", "model.head=8", "training.epochs=1")
DEPTHS_AND_WIDTHS = {"model.depth": (1, 2), "model.width": (8, 16)}


def trained_magnifier(clips: Sequence[Clip]) -> tuple[System, FlowSet]:
    flowset = compute_flowset(clips, quick_config().flow)
    config = quick_config("ammsm_temporal", *SMALL)
    return System.of_settings(config, fit(config, flowset, seed=0)), flowset


def searched(out: Path) -> Evolution:
    """A search for the choice of a magnifier: one generation of two is there."""
    config = quick_config("ammsm_temporal", *SMALL, "data.subjects=4", "data.clips=8")
    flowset = load_flowset(config)
    whole = Evolution.of(config, flowset, out, population=4, generations=2)
    evolve(replace(whole, generations=1), flowset)
    return whole


def swept(out: Path) -> Study:
    """A sweep of four cells, of which one is still missing."""
    flowset = make_flowset(subjects=6, per_subject=3)
    sweep = Sweep.of(quick_config("hmrm", "training.epochs=2"), flowset, out)
    run_grid(sweep, flowset, grid(DEPTHS_AND_WIDTHS)[:3])
    return Study({}, pd.DataFrame(), pd.DataFrame(), sweep=sweep, axes=DEPTHS_AND_WIDTHS)
