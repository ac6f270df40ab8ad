"""The widgets that are tested in the browser, and what is done with each. A new one is a row."""

from dataclasses import dataclass
from typing import Literal

Role = Literal["combobox", "slider", "button", "checkbox", "listbox", "application"]


@dataclass(frozen=True)
class Step:
    """One action on one control, and what the widget shows then.

    `key` is pressed on the control; without, `option` is chosen, or it is clicked (in the middle
    or a corner). `says` is part of the text then; `draws` tells that a picture changes.
    """

    role: Role
    name: str = ""
    key: str = ""
    option: str = ""
    says: str = ""
    draws: bool = True
    corner: bool = False


def press(role: Role, name: str, key: str, says: str = "", *, draws: bool = True) -> Step:
    return Step(role, name, key=key, says=says, draws=draws)


def choose(name: str, option: str, says: str = "", *, draws: bool = True) -> Step:
    return Step("combobox", name, option=option, says=says, draws=draws)


def click(role: Role, name: str, says: str = "", *, draws: bool = True) -> Step:
    return Step(role, name, says=says, draws=draws)


class Showcase:
    """How to make a widget on small data, and what a reader does with it from its opening on."""

    def __init__(self, code: str, *steps: Step) -> None:
        self.code, self.steps = code, steps


SETUP = """
from dataclasses import replace

import numpy as np
from browser.made_for_widgets import *
from conftest import Pixels, make_flowset
from hmrm_lab.api.result import Result
from hmrm_lab.preparation.network_inputs import rising_clips
from hmrm_lab.registry import providers
from hmrm_lab.runtime.store import RunFolder
"""

SHOWCASES = {
    "FlowExplorer": Showcase(
        "FlowExplorer(clips, methods=('dis', 'farneback'))",
        press("slider", "Frame", "Home", "longest vector 0.00 px", draws=False),
        press("slider", "Frame", "ArrowRight", "10 ms after the onset"),
        click("button", "Strain", "% strain"),
        click("button", "Error", "is an error of"),
        press("combobox", "Flow method", "End", "Flow by exact"),
        press("slider", "Magnify motion", "End", "moved 20 times"),
        click("checkbox", "Take head motion (the median) away"),
        press("checkbox", "Take head motion (the median) away", "Space"),
        Step("application", says="Column 0, row 0 of the onset.", corner=True),
        press("application", "", "ArrowDown", "Column 0, row 1 of the onset."),
        press("application", "", "Shift+ArrowRight", "Column 10, row 1 of the onset."),
        press("application", "", "Escape"),
        choose("Clip", "s02 · s02_sur_01 (surprise)", "Frame"),
    ),
    "ClipStepper": Showcase(
        "ClipStepper(clips, {'template': providers['template'].build()})",
        press("slider", "Frame", "ArrowRight", " 10 ms after the onset"),
        click("checkbox", "Parts", "brow"),
        press("checkbox", "Canonical crop", "Space"),
        choose("Clip", "s02 · s02_sur_01 (surprise)", "Frame"),
        click("button", "Play", " 20 ms after the onset"),
        click("button", "Play", draws=False),
    ),
    "FlowParticles": Showcase(
        "FlowParticles(clips[0], clips[0].frames.flow(clips[0].onset, clips[0].apex), 'exact')",
        press("slider", "Frame", "End", "Flow: exact"),
        press("slider", "Frame", "Home"),
        click("checkbox", "Particles"),
        click("checkbox", "Particles"),
        click("button", "Play the particles", "Pause"),
        click("button", "Pause the particles", "Play", draws=False),
    ),
    "MotionMixStudio": Showcase(
        "MotionMixStudio(drawn, clips)",
        press("slider", "Share λ", "Home", "λ = 0.00"),
        click("button", "Mouth"),
        click("button", "Arrows", "arrow"),
        press("combobox", "Resolution", "End"),
        click("checkbox", "Take head motion (the median) away"),
    ),
    "MagnifierStudio": Showcase(
        "MagnifierStudio(magnifier, drawn, clips)",
        press("slider", "Factor alpha", "Home", "With alpha 1.00"),
        click("button", "16×", "Full colour is 16×"),
        press("slider", "Ratio, stage 1", "End", "Stage 4: 4 of 4"),
        click("checkbox", "One ratio for all stages", draws=False),
        press("slider", "Ratio, stage 1", "Home", "Stage 1: 10 of 196"),
        choose("Clip", "s02 · s02_sur_01 (surprise)"),
    ),
    "RegionInspector": Showcase(
        "RegionInspector(drawn, clips)",
        press("combobox", "Region", "ArrowDown", "The region is token 1 of 4"),
        click("button", "16 sub-regions", "The region is token 0 of 16"),
        click("button", "Motion map"),
        click("button", "Face"),
        click("checkbox", "Take head motion (the median) away"),
    ),
    "ScanPlayground": Showcase(
        "ScanPlayground()",
        press("slider", "Decay (-A)", "End", "a memory halves in"),
        press("slider", "its dt, times", "End", draws=False),
        press("slider", "Attend to token", "Home", "Token 0 writes", draws=False),
        click("button", "Every token"),
        click("button", "Backward"),
    ),
    "InputGallery": Showcase(
        "InputGallery([*rising_clips(), *clips])",
        press("slider", "Noise (8-bit levels)", "ArrowRight", "Noise of 0.5 levels"),
        press("slider", "Light drifts by (%)", "End", "drifts by 10 %"),
        choose("Clip", "face 2 · still head (surprise)", "where the face moves"),
    ),
    "PredictionBrowser": Showcase(
        "PredictionBrowser(Result(made), maps)",
        press("listbox", "Answer", "ArrowDown", "held-out fold"),
        choose("Answers", "wrong", " 0 right"),
        click("button", "Strain", "Yellow is a strain"),
        click("button", "Arrows", "longest arrow"),
    ),
    "AblationBoard": Showcase(
        "AblationBoard('hmrm', loaded, out=out)",
        choose("Flow", "dis", draws=False),
        press("slider", "MotionMix share", "Home", "MotionMix 0", draws=False),
        choose("Depth", "12", "depth 12", draws=False),
        click("button", "none", "fusion none", draws=False),
    ),
    "LosoMonitor": Showcase(
        "LosoMonitor(Result(RunFolder.of(quick, out / 'watched'), config=quick))",
        click("button", "Start", "Complete: 2 of 2 folds"),
    ),
    "HeatmapExplorer": Showcase(
        "HeatmapExplorer(study)",
        press("slider", "Width", "End", "Depth 1, Width 16: UF1"),
        press("slider", "Depth", "End", "Depth 2, Width 16: not done yet"),
    ),
    "SearchMonitor": Showcase(
        "SearchMonitor(evolution)", press("slider", "Fittest drawn", "End", "the winner")
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
