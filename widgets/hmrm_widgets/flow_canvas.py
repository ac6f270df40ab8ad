"""A picture that can be pointed into, with the mouse or with the arrow keys."""

from pathlib import Path
from typing import Any

import anywidget
import traitlets as t

HERE = Path(__file__).parent


class FlowCanvas(anywidget.AnyWidget):
    """A picture on a canvas, with a cross on the chosen point.

    It takes the place of `ipywidgets.Image`, which does not say where it was clicked, and has the
    same `value` and `format`. The picture is drawn as wide as the layout allows.

    Attributes
    ----------
    value, format
        The encoded picture, and "png" or "jpeg".
    size
        Columns and rows of the grid that is pointed into; the picture may be sharper than that.
    point
        Column and row of the cross, counted from the upper left; None for no cross. Changed by the
        reader where `pointing` is set.
    pointing
        Whether a click and the arrow keys move the cross.
    label
        What the picture shows, for those who do not see it.
    """

    _esm = HERE / "flow_canvas.js"
    _css = HERE / "flow_canvas.css"

    value = t.Bytes(b"").tag(sync=True)
    format = t.Enum(("png", "jpeg"), "png").tag(sync=True)
    size = t.Tuple(t.Int(min=1), t.Int(min=1), default_value=(1, 1)).tag(sync=True)
    point: Any = t.Tuple(t.Float(), t.Float(), default_value=None, allow_none=True).tag(sync=True)
    pointing = t.Bool(False).tag(sync=True)
    label = t.Unicode("").tag(sync=True)

    def picture(self, value: bytes, format: str, size: tuple[int, int], label: str) -> None:
        """Show another picture, sent with all that belongs to it in one message."""
        with self.hold_sync():
            self.size, self.format, self.label, self.value = size, format, label, value
