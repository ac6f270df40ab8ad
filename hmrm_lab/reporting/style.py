"""One look for every figure: colours that the colour-blind tell apart, on light and dark paper."""

import html
import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from plotly import graph_objects as go

# Okabe and Ito 2008; their blue a little lighter, for dark paper.
BLUE, ORANGE, GREEN, VERMILLION = "#2A87D0", "#E69F00", "#009E73", "#D55E00"
INK = "#747b86"  # contrast above 4 on white and on near black
GRID = "rgba(125, 132, 142, 0.25)"
CLASS_COLOURS = (  # by label; after Okabe and Ito come three of Tol 2021
    *(BLUE, ORANGE, GREEN, VERMILLION, "#CC79A7", "#56B4E9", "#F0E442"),
    *("#882255", "#999933", "#BBBBBB"),
)
CLASS_SYMBOLS = (  # by label
    *("circle", "square", "diamond", "cross", "x", "triangle-up"),
    *("triangle-down", "star", "pentagon", "hexagon"),
)
SERIES = (  # of several lines: colour, dash, symbol
    (BLUE, "solid", "circle"),
    (VERMILLION, "dash", "diamond"),
    (GREEN, "dot", "square"),
    (ORANGE, "dashdot", "triangle-up"),
    ("#CC79A7", "longdash", "star"),
    ("#56B4E9", "longdashdot", "cross"),
)

CAPTION_COLUMNS = 62
LINE_PX = 15
LETTER_PX = 7.6

_AXIS = {
    "gridcolor": GRID,
    "linecolor": GRID,
    "tickcolor": GRID,
    "zeroline": False,
    "ticks": "outside",
    "title": {"standoff": 8},
}
_TOP_LEFT = {"x": 0, "xref": "container", "xanchor": "left", "y": 1, "yref": "container"}
TEMPLATE = go.layout.Template(
    layout={
        "font": {"family": "system-ui, 'DejaVu Sans', sans-serif", "size": 13, "color": INK},
        "title": _TOP_LEFT | {"yanchor": "top", "pad": {"t": 12, "l": 4}, "font": {"size": 15}},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "colorway": [BLUE, ORANGE, GREEN, VERMILLION, "#CC79A7", "#56B4E9"],
        "xaxis": _AXIS,
        "yaxis": _AXIS,
        "dragmode": False,
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": INK, "activecolor": BLUE},
        "hoverlabel": {"align": "left"},
        "legend": {"orientation": "h", "x": 0, "xanchor": "left", "y": 1, "yanchor": "bottom"},
    }
)
# Of notes that begin at the left edge of the plot.
NOTE = {"x": 0, "xref": "paper", "yref": "paper", "xanchor": "left", "showarrow": False}


def finish(
    figure: go.Figure,
    title: str,
    x: str | Mapping[str, Any] | None = None,
    y: str | Mapping[str, Any] | None = None,
    *,
    caption: str = "",
    height: int = 280,
    widths: tuple[int, int] = (0, 0),
    left: int = 64,
    right: int = 16,
    top: int | None = None,
    bottom: int = 52,
    **layout: Any,
) -> go.Figure:
    """Set title, axes, size, margins in pixels, and the caption below.

    `height` is that of the plot itself. `widths` are wishes to the page that shows the figure
    (`layout.meta`): scroll rather than squeeze below the first, leave room beyond the second.
    """
    lines = [part for line in caption.split("\n") for part in textwrap.wrap(line, CAPTION_COLUMNS)]
    foot = LINE_PX * len(lines) + 10 if lines else 0
    named = [trace.name for trace in figure.data if trace.name and trace.showlegend is not False]
    top = 48 + legend_px(named) if top is None else top
    axes = {
        key: {"title": axis} if isinstance(axis, str) else axis
        for key, axis in (("xaxis", x), ("yaxis", y))
        if axis is not None
    }
    figure.update_layout(
        template=TEMPLATE,
        title_text=title,
        height=height + top + bottom + foot,
        margin={"l": left, "r": right, "t": top, "b": bottom + foot},
        meta=dict(zip(("least_width", "most_width"), widths, strict=True)),
        **{"showlegend": bool(named)} | axes | layout,
    )
    if lines:
        place = NOTE | {"y": 0, "yanchor": "top", "xshift": -left + 4, "yshift": -bottom}
        words = "<br>".join(map(plain, lines))
        figure.add_annotation(text=words, align="left", font={"size": 11}, **place)
    return figure


def legend_px(names: Sequence[str], width: int = 420) -> int:
    """Height of a legend above a plot of this width; where one row is too short, of columns."""
    spans = [7 * len(name) + 45 for name in names]
    columns = len(spans) if sum(spans) <= width else max(int(width // max(spans)), 1)
    return 22 * math.ceil(len(spans) / max(columns, 1))


def class_marker(label: int) -> dict[str, Any]:
    return {"color": CLASS_COLOURS[label], "symbol": CLASS_SYMBOLS[label]}


def series(number: int) -> tuple[str, str, str]:
    return SERIES[number % len(SERIES)]


def plain(text: object) -> str:
    """Text from files for a figure, where angle brackets would be markup."""
    return html.escape(str(text), quote=False)


def message_figure(title: str, words: str, *, caption: str = "", height: int = 60) -> go.Figure:
    """A figure with a sentence in place of data."""
    figure = go.Figure()
    text = "<br>".join(textwrap.wrap(plain(words), CAPTION_COLUMNS))
    figure.add_annotation(text=text, y=0.5, align="left", **NOTE)
    hidden = {"visible": False}
    return finish(figure, title, hidden, hidden, caption=caption, height=height, bottom=8)
