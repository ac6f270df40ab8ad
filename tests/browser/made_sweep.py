"""A small sweep for the page of the widgets: one cell is still missing."""

from pathlib import Path

import pandas as pd
from conftest import make_flowset, quick_config

from hmrm_lab.api.result import Study
from hmrm_lab.studies.search import run_grid
from hmrm_lab.studies.space import grid
from hmrm_lab.studies.trials import Sweep

DEPTHS_AND_WIDTHS = {"model.depth": (1, 2), "model.width": (8, 16)}


def swept(out: Path) -> Study:
    flowset = make_flowset(subjects=6, per_subject=3)
    sweep = Sweep.of(quick_config("hmrm", "training.epochs=2"), flowset, out)
    run_grid(sweep, flowset, grid(DEPTHS_AND_WIDTHS)[:3])
    return Study({}, pd.DataFrame(), pd.DataFrame(), sweep=sweep, axes=DEPTHS_AND_WIDTHS)
