"""What is done with a widget in the browser: steps, and flows of steps."""

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
