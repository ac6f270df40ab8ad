"""Small data and trained things for the widgets; whoever shows them imports all of this."""

from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp

import pandas as pd
from conftest import make_flowset, quick_config
from reporting.made_runs import make_run, two_sets

import hmrm_lab as lab
from hmrm_lab.api.result import Study
from hmrm_lab.api.system import System
from hmrm_lab.datasets.synthetic import synthetic
from hmrm_lab.preparation import compute_flowset, load_flowset
from hmrm_lab.studies.evolve import Evolution, evolve
from hmrm_lab.studies.search import run_grid
from hmrm_lab.studies.space import grid
from hmrm_lab.studies.trials import Sweep
from hmrm_lab.training.trainer import fit

SMALL = ("model.width=8", "model.head=8", "training.epochs=1")
DEPTHS_AND_WIDTHS = {"model.depth": (1, 2), "model.width": (8, 16)}

out = Path(mkdtemp())
clips, loaded = synthetic(subjects=2, clips=4), lab.load("synthetic", preset="smoke")
quick = quick_config("hmrm", "training.epochs=3", "data.subjects=2", "data.clips=6")
drawn, maps = compute_flowset(clips, quick.flow), two_sets()
made = make_run(out, maps)


def fitted(system: str, *overrides: str) -> System:
    config = quick_config(system, "training.epochs=1", *overrides)
    return System.of_settings(config, fit(config, drawn, seed=0))


def searched() -> Evolution:
    """A search for the choice of a magnifier: one generation of two is there."""
    config = quick_config("ammsm_temporal", *SMALL, "data.subjects=4", "data.clips=8")
    flowset = load_flowset(config)
    whole = Evolution.of(config, flowset, out, population=4, generations=2)
    evolve(replace(whole, generations=1), flowset)
    return whole


def swept() -> Study:
    """A sweep of four cells, of which one is still missing."""
    flowset = make_flowset(subjects=6, per_subject=3)
    sweep = Sweep.of(quick_config("hmrm", "training.epochs=2"), flowset, out)
    run_grid(sweep, flowset, grid(DEPTHS_AND_WIDTHS)[:3])
    return Study({}, pd.DataFrame(), pd.DataFrame(), sweep=sweep, axes=DEPTHS_AND_WIDTHS)


magnifier = fitted("ammsm_temporal", *SMALL, "model.magnifier=gated")
study, evolution = swept(), searched()
