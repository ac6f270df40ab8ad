"""The widgets that are tested in the browser, and what is done with each. A new one is a row."""

from dataclasses import dataclass
from typing import Literal

Role = Literal["combobox", "slider", "button", "checkbox", "radio", "spinbutton", "textbox"]


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


CLIPS = "from hmrm_lab.datasets.synthetic import synthetic\nclips = synthetic(subjects=2, clips=4)"

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
    return [CLIPS, *shown]
