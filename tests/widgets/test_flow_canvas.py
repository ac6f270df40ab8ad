"""The canvas as the kernel sees it; what a browser makes of it is tested in a browser."""

from pathlib import Path

import pytest

pytest.importorskip("anywidget", reason="the extra 'jupyter' is not installed")

import hmrm_widgets
import traitlets
from hmrm_widgets.flow_canvas import FlowCanvas

FOLDER = Path(hmrm_widgets.__file__).parent


def test_its_script_and_style_are_those_of_the_package() -> None:
    canvas = FlowCanvas()
    assert canvas.get_state(["_esm"])["_esm"] == (FOLDER / "flow_canvas.js").read_text("utf-8")
    assert canvas.get_state(["_css"])["_css"] == (FOLDER / "flow_canvas.css").read_text("utf-8")


def test_a_picture_comes_with_all_that_belongs_to_it() -> None:
    canvas = FlowCanvas()
    canvas.picture(b"content", "jpeg", (5, 4), "A face")
    state = canvas.get_state(["value", "format", "size", "label", "point", "pointing"])
    assert state == {
        "value": b"content",
        "format": "jpeg",
        "size": (5, 4),
        "label": "A face",
        "point": None,
        "pointing": False,
    }


def test_what_the_browser_sends_arrives() -> None:
    canvas = FlowCanvas(pointing=True)
    canvas.set_state({"point": [3, 1]})
    assert canvas.point == (3, 1)
    canvas.set_state({"point": None})
    assert canvas.point is None


@pytest.mark.parametrize("point", [[1], [1, 2, 3], ["1", 2], "12"])
def test_what_is_no_point_is_refused(point: object) -> None:
    with pytest.raises(traitlets.TraitError):
        FlowCanvas().point = point


def test_only_known_formats() -> None:
    with pytest.raises(traitlets.TraitError, match="png"):
        FlowCanvas().picture(b"", "gif", (1, 1), "")


@pytest.mark.parametrize("script", ["flow_canvas.js", "flow_particles.js"])
def test_scripts_are_checked_and_load_nothing(script: str) -> None:
    text = (FOLDER / script).read_text(encoding="utf-8")
    assert text.startswith("// @ts-check")
    assert "export default { render }" in text
    for reach in ("import ", "fetch(", "http:", "https:", "eval(", "innerHTML"):
        assert reach not in text
    assert "lmSuppressShortcuts" in text, "JupyterLab would take the arrow keys"
