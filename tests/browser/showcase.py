"""The widgets that are tested in the browser. A new one is a row in one of the two tables."""

from showcases_of_clips import CLIPS
from showcases_of_runs import RUNS

SETUP = """
from pathlib import Path
from tempfile import mkdtemp

from conftest import quick_config
from browser.made_magnifier import searched, trained_magnifier
from browser.made_sweep import swept
from reporting.made_runs import make_run, two_sets

import hmrm_lab as lab
from hmrm_lab.api.result import Result
from hmrm_lab.datasets.synthetic import synthetic
from hmrm_lab.preparation.network_inputs import rising_clips
from hmrm_lab.preparation import compute_flowset
from hmrm_lab.runtime.store import RunFolder

out = Path(mkdtemp())
clips = synthetic(subjects=2, clips=4)
maps = two_sets()
made = make_run(out, maps)
quick = quick_config("hmrm", "training.epochs=3", "data.subjects=2", "data.clips=6")
"""

SHOWCASES = {**CLIPS, **RUNS}


def cells() -> list[str]:
    """The code of a notebook that shows all of them, one below the other."""
    shown = [
        f"from hmrm_widgets import {name}\n"
        f"widget = {case.code}\n"
        f"widget.add_class('shows-{name}')\n"
        "widget"
        for name, case in SHOWCASES.items()
    ]
    return [SETUP, *shown]
