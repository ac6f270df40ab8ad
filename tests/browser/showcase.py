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
from browser.made_for_widgets import DEPTHS_AND_WIDTHS, searched, swept, trained_magnifier
from reporting.made_runs import make_run, two_sets

from hmrm_lab.datasets.synthetic import synthetic
from hmrm_lab.preparation.disturbed import rising_clips
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
            "a point by click and key": (
                Step("application", says="Column 0, row 0 of the onset.", corner=True),
                press("application", "", "ArrowDown", "Column 0, row 1 of the onset."),
                press("application", "", "Shift+ArrowRight", "Column 10, row 1 of the onset."),
                press("application", "", "Escape"),
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
    "FlowParticles": Showcase(
        "FlowParticles(clips[0], clips[0].frames.flow(clips[0].onset, clips[0].apex), 'exact')",
        {
            "frames by key": (
                press("slider", "Frame", "Home", "Flow: exact", draws=False),
                press("slider", "Frame", "ArrowRight"),
                press("slider", "Frame", "End"),
            ),
            "particles by click": (
                click("checkbox", "Particles"),
                click("checkbox", "Particles"),
            ),
            "play and pause": (
                click("button", "Play the particles", "Pause"),
                click("button", "Pause the particles", "Play", draws=False),
            ),
        },
    ),
    "MotionMixStudio": Showcase(
        "MotionMixStudio(compute_flowset(clips, quick.flow), clips)",
        {
            "share of B by key": (
                press("slider", "Share λ", "Home", "λ = 0.00", draws=False),
                press("slider", "Share λ", "End", "λ = 1.00"),
                press("slider", "Share λ", "ArrowLeft", "λ = 0.95"),
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
    "MagnifierStudio": Showcase(
        "MagnifierStudio(*trained_magnifier(clips), clips)",
        {
            "factor by key": (
                press("slider", "Factor alpha", "Home", "With alpha 1.00", draws=False),
                press("slider", "Factor alpha", "ArrowRight", "With alpha 1.19"),
                press("slider", "Factor alpha", "End", "With alpha 16.00"),
            ),
            "scale and ground by click": (
                click("button", "4×", "Full colour is 4×", draws=False),
                click("button", "16×", "Full colour is 16×"),
                click("button", "1×", "Full colour is 1×"),
                click("button", "Face"),
                click("button", "Magnified flow"),
            ),
            "ratios by key": (
                press("slider", "Ratio, stage 1", "Home", "Stage 1: 10 of 196", draws=False),
                press("slider", "Ratio, stage 1", "End", "Stage 4: 4 of 4"),
                click("checkbox", "One ratio for all stages", draws=False),
                press("slider", "Ratio, stage 1", "Home", "Stage 1: 10 of 196"),  # all move now
                press("slider", "Ratio, stage 3", "Home", "Stage 3: 1 of 16"),
                press("slider", "Ratio, stage 4", "Home", "Stage 4: 1 of 4"),
                press("slider", "Ratio, stage 2", "Home", "Stage 2: 3 of 49"),
                press("slider", "Ratio, stage 1", "End", "Stage 1: 196 of 196"),
                click("checkbox", "One ratio for all stages", "Stage 4: 4 of 4"),
            ),
            "another clip": (
                choose("Clip", "s01 · s01_neg_01 (negative)", draws=False),
                choose("Clip", "s02 · s02_sur_01 (surprise)"),
            ),
        },
    ),
    "RegionInspector": Showcase(
        "RegionInspector(compute_flowset(clips, quick.flow), clips)",
        {
            "regions by key": (
                click("button", "4 core regions", " of 4 (", draws=False),
                press("combobox", "Region", "Home", "The region is token 0 of 4", draws=False),
                press("combobox", "Region", "ArrowDown", "The region is token 1 of 4"),
            ),
            "grain and tokens by click": (
                click("button", "4 core regions", " of 4 (", draws=False),
                click("button", "16 sub-regions", "The region is token 0 of 16"),
                click("button", "Its pixels", "sequence of 49 tokens"),
                click("button", "Whole regions", "The region is token 0 of 16"),
            ),
            "face and map": (
                click("button", "Motion map", draws=False),
                click("button", "Face"),
                click("checkbox", "Take head motion (the median) away"),
            ),
        },
    ),
    "ScanPlayground": Showcase(
        "ScanPlayground()",
        {
            "decay by key": (
                press("slider", "Decay (-A)", "Home", draws=False),
                press("slider", "Decay (-A)", "ArrowRight", "a memory halves in"),
                press("slider", "Decay (-A)", "End", "a memory halves in"),
            ),
            "attended token by key": (
                press("slider", "Attend to token", "Home", "Token 0 writes", draws=False),
                press("slider", "its dt, times", "Home", draws=False),
                press("slider", "its dt, times", "End", "Token 0 writes"),
                press("slider", "Attend to token", "End", "Token 11 writes"),
            ),
            "input and direction by click": (
                click("button", "Every token", draws=False),
                click("button", "One impulse"),
                click("button", "Backward"),
                click("button", "Forward"),
            ),
        },
    ),
    "InputGallery": Showcase(
        "InputGallery([*rising_clips(), *clips])",
        {
            "noise and drift by key": (
                press("slider", "Noise (8-bit levels)", "Home", "Noise of 0 levels", draws=False),
                press("slider", "Light drifts by (%)", "Home", "drifts by 0 %", draws=False),
                press("slider", "Noise (8-bit levels)", "ArrowRight", "Noise of 0.5 levels"),
                press("slider", "Light drifts by (%)", "End", "drifts by 10 %"),
            ),
            "another clip": (
                choose("Clip", "face 0 · still head (negative)", draws=False),
                choose("Clip", "face 2 · still head (surprise)", "where the face moves"),
                choose("Clip", "s01 · s01_neg_01 (negative)", "where the face moves"),
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
    "HeatmapExplorer": Showcase(
        "HeatmapExplorer(swept(out), DEPTHS_AND_WIDTHS)",
        {
            "cells by slider": (
                press("slider", "Depth", "Home", "Depth 1, Width", draws=False),
                press("slider", "Width", "Home", "Depth 1, Width 8: UF1", draws=False),
                press("slider", "Width", "End", "Depth 1, Width 16: UF1"),
                press("slider", "Depth", "End", "Depth 2, Width 16: not done yet"),
            ),
        },
    ),
    "SearchMonitor": Showcase(
        "SearchMonitor(searched(out))",
        {
            "fittest by key": (
                press("slider", "Fittest drawn", "Home", "the winner", draws=False),
                press("slider", "Fittest drawn", "End", "the winner"),
                press("slider", "Fittest drawn", "Home", "the winner"),
            ),
            "the search to its end": (
                click("button", "Start the search", "8 of 8 trials, complete"),
            ),
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
