"""The widgets that are tested in the browser, and what is done with each. A new one is a row."""

from dataclasses import dataclass
from typing import Literal

Role = Literal["combobox", "slider", "button", "checkbox", "listbox", "radio", "spinbutton"]


@dataclass(frozen=True)
class Step:
    """One action on one control, and what the widget shows then.

    `key` is pressed on the control; without, `option` is chosen, or it is clicked. `says` is part
    of the widget's text afterwards. `draws` tells that a picture changes.
    """

    role: Role
    name: str
    key: str = ""
    option: str = ""
    says: str = ""
    draws: bool = True


def press(role: Role, name: str, key: str, says: str = "", *, draws: bool = True) -> Step:
    return Step(role, name, key=key, says=says, draws=draws)


def choose(name: str, option: str, says: str = "", *, draws: bool = True) -> Step:
    return Step("combobox", name, option=option, says=says, draws=draws)


def click(role: Role, name: str, says: str = "", *, draws: bool = True) -> Step:
    return Step(role, name, says=says, draws=draws)


@dataclass(frozen=True)
class Showcase:
    """How to make a widget on small data, and what a reader does with it, flow by flow.

    The first step of a flow holds from any state, so that a flow can be run alone.
    """

    code: str
    flows: dict[str, tuple[Step, ...]]


SETUP = """
from pathlib import Path
from tempfile import mkdtemp

from conftest import quick_config
from reporting.made_runs import make_run, two_sets

from hmrm_lab.datasets.synthetic import synthetic
from hmrm_lab.preparation import compute_flowset

out = Path(mkdtemp())
clips = synthetic(subjects=2, clips=4)
maps = two_sets()
made = make_run(out, maps)
quick = quick_config("hmrm", "training.epochs=3", "data.subjects=2", "data.clips=6")
"""

SHOWCASES = {
    "FlowExplorer": Showcase(
        "FlowExplorer(clips, methods=('dis', 'farneback'))",
        {
            "frames by key": (
                press("slider", "Frame", "Home", "longest vector 0.00 px", draws=False),
                press("slider", "Frame", "ArrowRight", "10 ms after the onset"),
                press("slider", "Frame", "End", "Flow by"),
            ),
            "method by key": (
                press("combobox", "Flow method", "Home", "Flow by dis", draws=False),
                press("combobox", "Flow method", "ArrowDown", "Flow by farneback"),
                press("combobox", "Flow method", "End", "Flow by exact"),
            ),
            "displays by click": (
                choose("Flow method", "dis", "Flow by dis", draws=False),
                click("button", "Strain", "% strain", draws=False),
                click("button", "Arrows", "longest arrow"),
                click("button", "Error", "is an error of"),
                click("button", "Colour wheel", "Full saturation"),
            ),
            "magnified motion": (
                press("slider", "Magnify motion", "Home", draws=False),
                press("slider", "Magnify motion", "End", "moved 20 times"),
                press("slider", "Magnify motion", "Home"),
            ),
            "head motion taken away": (
                click("checkbox", "Take head motion (the median) away"),
                press("checkbox", "Take head motion (the median) away", "Space"),
            ),
            "another clip": (
                choose("Clip", "s01 · s01_neg_01 (negative)", draws=False),
                choose("Clip", "s02 · s02_sur_01 (surprise)", "Frame"),
            ),
        },
    ),
    "ClipStepper": Showcase(
        "ClipStepper(clips)",
        {
            "frames by key": (
                press("slider", "Frame", "Home", " 0 ms after the onset", draws=False),
                press("slider", "Frame", "ArrowRight", " 10 ms after the onset"),
                press("slider", "Frame", "ArrowRight", " 20 ms after the onset"),
                press("slider", "Frame", "Home", " 0 ms after the onset"),
            ),
            "layers by click": (
                click("checkbox", "68 landmarks"),
                click("checkbox", "Parts", "brow"),
                click("checkbox", "Core regions"),
                click("checkbox", "Canonical crop"),
            ),
            "layers by key": (
                press("checkbox", "68 landmarks", "Space"),
                press("checkbox", "Core regions", "Space"),
            ),
            "another clip": (
                choose("Clip", "s01 · s01_neg_01 (negative)", draws=False),
                choose("Clip", "s02 · s02_sur_01 (surprise)", "Frame"),
            ),
            "it plays": (
                press("slider", "Frame", "Home", " 0 ms after the onset", draws=False),
                click("button", "Play", " 20 ms after the onset"),
                click("button", "Play", draws=False),
            ),
        },
    ),
    "MotionMixStudio": Showcase(
        "MotionMixStudio(compute_flowset(clips, quick.flow), clips)",
        {
            "share of B by key": (
                press("slider", "λ (share of B)", "Home", "λ = 0.00", draws=False),
                press("slider", "λ (share of B)", "End", "λ = 1.00"),
                press("slider", "λ (share of B)", "ArrowLeft", "λ = 0.95"),
            ),
            "regions by click": (
                click("button", "Both", draws=False),
                click("button", "Eyes"),
                click("button", "Mouth"),
            ),
            "displays by click": (
                click("button", "Strain", "strain", draws=False),
                click("button", "Arrows", "arrow"),
                click("button", "Colour wheel", "saturation"),
            ),
            "at crop resolution": (
                press("combobox", "Resolution", "Home", draws=False),
                press("combobox", "Resolution", "End"),
                click("checkbox", "Take head motion (the median) away"),
            ),
        },
    ),
    "PredictionBrowser": Showcase(
        "PredictionBrowser([made], maps)",
        {
            "answers by key": (
                press("listbox", "Answer", "Home", "held-out fold", draws=False),
                press("listbox", "Answer", "ArrowDown", "held-out fold"),
                press("listbox", "Answer", "End", "held-out fold"),
            ),
            "filters": (
                choose("Answers", "any", "30 of 30 answers", draws=False),
                choose("Answers", "wrong", " 0 right"),
                choose("Data set", "other", " 0 right", draws=False),
                choose("Subject", "other/s02", " 0 right", draws=False),
                choose("Subject", "any", draws=False),
                choose("Data set", "any", draws=False),
                choose("Answers", "any", "30 of 30 answers", draws=False),
            ),
            "displays by click": (
                click("button", "Strain", "Yellow is a strain", draws=False),
                click("button", "Arrows", "longest arrow"),
                click("button", "Colour wheel", "Full saturation"),
            ),
        },
    ),
    "AblationBoard": Showcase(
        "AblationBoard(quick, out=out)",
        {
            "switches by key": (
                choose("Flow", "dis", draws=False),
                press("slider", "MotionMix share", "Home", "MotionMix 0", draws=False),
                press("slider", "MotionMix share", "ArrowRight", "MotionMix 0.1", draws=False),
                press("combobox", "Width", "End", "width 384", draws=False),
                press("combobox", "Width", "Home", draws=False),
                press("combobox", "Width", "ArrowDown", "width 32", draws=False),
                press("combobox", "Depth", "End", "depth 12", draws=False),
            ),
            "fusion by click": (
                choose("Depth", "12", "depth 12", draws=False),
                click("button", "none", "fusion none", draws=False),
                click("button", "attention", draws=False),
            ),
        },
    ),
    "LosoMonitor": Showcase(
        "LosoMonitor(quick, out=out / 'watched')",
        {
            "a run from start to end": (click("button", "Start", "Complete: 2 of 2 folds"),),
        },
    ),
}


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
