"""What the widgets have in common."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

import ipywidgets as w
import pandas as pd
from plotly import graph_objects as go

from hmrm_lab.records import Clip


def row(*children: w.Widget, gap: str = "0") -> w.HBox:
    """Controls side by side, on further lines where there is no room."""
    layout = w.Layout(flex_flow="row wrap", align_items="center", grid_gap=gap)
    return w.HBox(children, layout=layout)


def title(clip: Clip) -> str:
    return f"{clip.key.subject} · {clip.key.clip} ({clip.expression})"


def named_clips(clips: Sequence[Clip] | Mapping[str, Clip]) -> tuple[list[str], list[Clip]]:
    """The names to show and the clips; those without names of their own have their titles."""
    if isinstance(clips, Mapping):
        return list(clips), list(clips.values())
    return [title(clip) for clip in clips], list(clips)


def since_onset(clip: Clip, frame: int) -> str:
    """How long after the onset a frame is: in frames where their rate is not known."""
    count = frame - clip.onset
    return f"{1000 * count / clip.fps:.0f} ms" if clip.fps else f"{count} frames"


def plain(text: object) -> str:
    """Text that no browser takes for markup."""
    return html.escape(str(text))


def table_html(table: pd.DataFrame) -> str:
    """A table that scrolls where it is wider than the page, its headings above their columns."""
    text = table.to_html(index=False, border=0, escape=True, justify="left")
    style = "border-collapse:separate;border-spacing:12px 0;white-space:nowrap"
    styled = text.replace("<table", f'<table style="{style}"', 1)
    return f'<div style="overflow-x:auto">{styled}</div>'


def figure_output(figure: go.Figure) -> dict[str, Any]:
    """A figure for `Output.outputs`; a FigureWidget would leave 5 MB in a saved notebook."""
    bundle = {"application/vnd.plotly.v1+json": figure.to_plotly_json()}
    return {"output_type": "display_data", "data": bundle, "metadata": {}}
