"""What every widget must do; a new one is tested by its row in the table for the browser."""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ipywidgets", reason="the extra 'jupyter' is not installed")
pytest.importorskip("optuna", reason="the extra 'sweep' is not installed")

import hmrm_widgets
import ipywidgets as w
from browser.showcase import SETUP, SHOWCASES
from hmrm_widgets.viewer import Viewer

CONTROLS = (w.Dropdown, w.Checkbox, w.ToggleButtons, w.IntSlider, w.FloatSlider, w.Select, w.Button)
QUICK_S = 0.15  # of a processor, from a control to the new views

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def widgets() -> dict[str, Any]:
    names = dict(vars(hmrm_widgets))
    exec(SETUP, names)
    return {name: eval(case.code, names) for name, case in SHOWCASES.items()}


def parts(widget: w.Widget) -> Iterator[w.Widget]:
    for child in getattr(widget, "children", ()):
        yield child
        yield from parts(child)


def pictures(widget: Viewer) -> list[bytes]:
    return [part.value for part in parts(widget) if isinstance(getattr(part, "value", ""), bytes)]


def test_every_control_has_a_name(widgets: dict[str, Any]) -> None:
    nameless = [
        (name, part)
        for name, widget in widgets.items()
        for part in parts(widget)
        if isinstance(part, CONTROLS) and not (part.description or part.tooltip)
    ]
    assert not nameless


def test_a_fault_empties_the_views_and_is_not_swallowed(widgets: dict[str, Any]) -> None:
    for name, widget in widgets.items():
        if not isinstance(widget, Viewer):
            continue
        before = pictures(widget)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(widget), "render", lambda self: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                widget.redraw()
        assert not any(pictures(widget)), name
        assert not getattr(getattr(widget, "caption", None), "value", ""), name
        widget.redraw()
        assert pictures(widget) == before, name


@pytest.mark.full
def test_a_redraw_is_quick(widgets: dict[str, Any]) -> None:
    for name, widget in widgets.items():
        sliders = [part for part in parts(widget) if isinstance(part, (w.IntSlider, w.FloatSlider))]
        for slider in (some for some in sliders if not some.disabled):
            seconds = []
            for value in np.linspace(slider.min, slider.max, 7):
                started = time.process_time()  # a busy machine does not count
                slider.value = type(slider.value)(value)
                seconds.append(time.process_time() - started)
            assert np.median(seconds) < QUICK_S, (name, slider.description)
