"""What every widget must do, on the widgets of the table for the browser: each is made once."""

import tomllib
from collections.abc import Iterator
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
from hmrm_lab.preparation.network_inputs import INPUTS

CONTROLS = (w.Dropdown, w.Checkbox, w.ToggleButtons, w.IntSlider, w.FloatSlider, w.Select, w.Button)
STAGES = " stage0 stage1 stage2 stage3"
CARDS = " ".join(f"{name} {name}heading" for name in INPUTS) + " caption"

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


@pytest.mark.parametrize(
    ("name", "control", "value", "changed"),
    [
        ("FlowExplorer", "frame", 3, "face motion caption"),
        ("FlowExplorer", "clip", 2, "face motion caption"),
        ("FlowExplorer", "method", "farneback", "motion caption"),
        ("FlowExplorer", "display", "quiver", "motion legend caption"),
        ("FlowExplorer", "display", "strain", "motion legend caption"),
        ("FlowExplorer", "display", "error", "motion legend caption"),
        ("FlowExplorer", "steady", True, "motion caption"),
        ("FlowExplorer", "magnification", 12, "face caption"),
        ("ClipStepper", "frame", 6, "face curve caption"),
        ("ClipStepper", "clip", 2, "face curve caption"),
        ("ClipStepper", "provider", "template", "face curve caption"),
        ("ClipStepper", "landmarks", False, "face"),
        ("ClipStepper", "parts", True, "face caption"),
        ("ClipStepper", "core", True, "face"),
        ("ClipStepper", "crop", True, "face"),
        ("MotionMixStudio", "strength", 0.5, "mixture caption"),
        ("MotionMixStudio", "regions", ("mouth",), "A B mask mixture caption"),
        ("MotionMixStudio", "display", "quiver", "A B mixture legend caption"),
        ("MotionMixStudio", "display", "strain", "A B mixture legend caption"),
        ("MotionMixStudio", "grain", "crop", "A B mask mixture caption"),
        ("MotionMixStudio", "steady", False, "A B mixture caption"),
        ("MagnifierStudio", "alpha", 8.0, "magnified caption" + STAGES),
        ("MagnifierStudio", "scale", 16.0, "original magnified caption" + STAGES),
        ("MagnifierStudio", "clip", 1, "original magnified gate caption" + STAGES),
        ("MagnifierStudio", "ground", "face", STAGES),
        ("RegionInspector", "clip", 2, "face motion caption"),
        ("RegionInspector", "grain", "sub", "face motion order caption"),
        ("RegionInspector", "tokens", "pixels", "face order caption"),
        ("RegionInspector", "region", 3, "face motion order caption"),
        ("RegionInspector", "ground", "map", "face"),
        ("RegionInspector", "steady", False, "motion caption"),
        ("ScanPlayground", "decay", 1.5, "stems matrix caption"),
        ("ScanPlayground", "step", 0.6, "stems matrix caption"),
        ("ScanPlayground", "strength", 10.0, "stems matrix caption"),
        ("ScanPlayground", "attended", 2, "caption"),
        ("ScanPlayground", "impulse", 7, "stems"),
        ("ScanPlayground", "input", "ones", "stems"),
        ("ScanPlayground", "direction", "backward", "stems matrix"),
        ("ScanPlayground", "direction", "both", "stems matrix"),
        ("ScanPlayground", "skip", 0.5, "stems matrix"),
        ("InputGallery", "noise", 2.0, CARDS.replace("apexheading", "")),
        ("InputGallery", "drift", 5.0, CARDS.replace("apexheading", "")),
        ("InputGallery", "clip", 1, CARDS),
        ("PredictionBrowser", "display", "quiver", "motion legend caption"),
        ("PredictionBrowser", "display", "strain", "motion legend caption"),
        ("PredictionBrowser", "answer", 5, "motion bars caption"),
        ("HeatmapExplorer", "row", 2, "cell curves confusion"),
        ("HeatmapExplorer", "column", 16, "cell curves confusion"),
        ("SearchMonitor", "count", 1, "plot"),
    ],
)
def test_a_control_changes_what_it_should_and_back(
    widgets: dict[str, Any], name: str, control: str, value: object, changed: str
) -> None:
    widget = widgets[name]
    before, part = seen(widget), getattr(widget, control)
    start, part.value = part.value, value
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


def test_what_cannot_be_shown_is_refused(names: dict[str, Any]) -> None:
    table = Path(__file__).with_name("refused_widgets.toml").read_text(encoding="utf-8")
    for code, message in tomllib.loads(table).items():
        with pytest.raises((ValueError, InputError), match=message):
            eval(code, names)
