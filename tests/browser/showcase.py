"""The widgets that are tested in the browser, and what is done with each. A new one is a row."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

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


class Showcase:
    """How to make a widget on small data, and what a reader does with it from its opening on."""

    def __init__(self, code: str, steps: list[dict[str, Any]]) -> None:
        self.code, self.steps = code, [Step(**step) for step in steps]


TABLE = tomllib.loads(Path(__file__).with_name("showcase.toml").read_text(encoding="utf-8"))
SETUP = TABLE["setup"]
SHOWCASES = {name: Showcase(**case) for name, case in TABLE["widgets"].items()}


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
