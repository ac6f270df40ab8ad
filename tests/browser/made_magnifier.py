"""A small trained magnifier, and a search for its choice that is half done."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from conftest import quick_config

from hmrm_lab.api.system import System
from hmrm_lab.preparation import compute_flowset, load_flowset
from hmrm_lab.records import Clip, FlowSet
from hmrm_lab.studies.evolve import Evolution, evolve
from hmrm_lab.training.trainer import fit

SMALL = ("model.width=8", "model.head=8", "training.epochs=1")


def trained_magnifier(clips: Sequence[Clip]) -> tuple[System, FlowSet]:
    flowset = compute_flowset(clips, quick_config().flow)
    config = quick_config("ammsm_temporal", *SMALL)
    return System.of_settings(config, fit(config, flowset, seed=0)), flowset


def searched(out: Path) -> Evolution:
    """One generation of two is there."""
    config = quick_config("ammsm_temporal", *SMALL, "data.subjects=4", "data.clips=8")
    flowset = load_flowset(config)
    whole = Evolution.of(config, flowset, out, population=4, generations=2)
    evolve(replace(whole, generations=1), flowset)
    return whole
