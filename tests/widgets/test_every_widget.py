"""What every widget must do, on the widgets of the table for the browser: each is made once."""

import tomllib
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ipywidgets", reason="the extra 'jupyter' is not installed")
pytest.importorskip("optuna", reason="the extra 'sweep' is not installed")

import hmrm_widgets
import ipywidgets as w
from browser.showcase import SETUP, SHOWCASES
from hmrm_widgets.viewer import Viewer

from hmrm_lab.errors import InputError

CONTROLS = (w.Dropdown, w.Checkbox, w.ToggleButtons, w.IntSlider, w.FloatSlider, w.Select, w.Button)
CONTROLLED = tomllib.loads(Path(__file__).with_name("controls.toml").read_text(encoding="utf-8"))

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    known = dict(vars(hmrm_widgets))
    exec(SETUP, known)
    return known


@pytest.fixture(scope="module")
def widgets(names: dict[str, Any]) -> dict[str, Any]:
    return {name: eval(case.code, names) for name, case in SHOWCASES.items()}


def parts(widget: w.Widget) -> Iterator[w.Widget]:
    for child in getattr(widget, "children", ()):
        yield child
        yield from parts(child)


def seen(viewer: Viewer) -> dict[str, Any]:
    """What its views show."""
    return {
        name.replace(" ", ""): getattr(part, "outputs" if isinstance(part, w.Output) else "value")
        for name, part in viewer.views.items()
    }


def test_every_control_has_a_name(widgets: dict[str, Any]) -> None:
    nameless = [
        (name, part)
        for name, widget in widgets.items()
        for part in parts(widget)
        if isinstance(part, CONTROLS) and not (part.description or part.tooltip)
    ]
    assert not nameless


@pytest.mark.parametrize(("name", "control", "value", "changed"), CONTROLLED["controls"])
def test_a_control_changes_what_it_should_and_back(
    widgets: dict[str, Any], name: str, control: str, value: object, changed: str
) -> None:
    widget = widgets[name]
    before, part = seen(widget), getattr(widget, control)
    start = part.value
    part.value = tuple(value) if isinstance(value, list) else value
    after, part.value = seen(widget), start
    assert {view for view in after if after[view] != before[view]} == set(changed.split())
    assert seen(widget) == before
    assert not widget.problem.value


@pytest.mark.parametrize("fault", [ZeroDivisionError("0"), InputError("<13> is unlucky", hint="!")])
def test_what_goes_wrong_is_told_and_empties_the_views(
    widgets: dict[str, Any], fault: Exception
) -> None:
    def fail(self: Viewer) -> None:
        raise fault

    for name, widget in widgets.items():
        if not isinstance(widget, Viewer):
            continue
        before = seen(widget)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(widget), "render", fail)
            if isinstance(fault, InputError):
                widget.redraw()
                assert "&lt;13&gt; is unlucky; !" in widget.problem.value, name
            else:
                with pytest.raises(ZeroDivisionError):  # where there is a kernel, it is shown
                    widget.redraw()
        assert not any(seen(widget).values()), name
        widget.redraw()
        assert seen(widget) == before, name
        assert not widget.problem.value, name


def test_without_a_kernel_a_page_shows_it_as_html(widgets: dict[str, Any]) -> None:
    for name, widget in widgets.items():
        if isinstance(widget, Viewer):
            shown = [part for part in parts(widget) if part.layout.display != "none"]
            html = widget._repr_mimebundle_()["text/html"]
            held = (getattr(part, "value", None) for part in shown)
            drawn = any(isinstance(value, bytes | memoryview) for value in held)
            assert drawn == ("<img" in html), name
            named = [part for part in shown if isinstance(part, CONTROLS)]
            assert all(escape(part.description) in html for part in named), name


def test_what_cannot_be_shown_is_refused(names: dict[str, Any]) -> None:
    table = Path(__file__).with_name("refused_widgets.toml").read_text(encoding="utf-8")
    for code, message in tomllib.loads(table).items():
        with pytest.raises((ValueError, InputError), match=message):
            eval(code, names)
