"""One look for every figure: colours that the colour-blind tell apart, on light and dark paper."""

import html
import math
import textwrap
from collections.abc import Mapping
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
SERIES_COLOURS = (BLUE, VERMILLION, GREEN, ORANGE, "#CC79A7", "#56B4E9")  # of several lines
SERIES_SYMBOLS = ("circle", "diamond", "square", "triangle-up", "star", "cross")
SERIES_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
ON_COLOUR = "#000000"

CAPTION_COLUMNS = 62
LINE_PX = 15
LETTER_PX = 7.6

_AXIS = {
    "gridcolor": GRID,
    "linecolor": GRID,
    "zeroline": False,
    "ticks": "outside",
    "tickcolor": GRID,
    "title": {"standoff": 8},
}
TEMPLATE = go.layout.Template(
    layout={
        "font": {"family": "system-ui, 'DejaVu Sans', sans-serif", "size": 13, "color": INK},
        "title": {"x": 0, "xref": "container", "xanchor": "left", "font": {"size": 15}},
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


def finish(
    figure: go.Figure,
    title: str,
    *,
    x: str | Mapping[str, Any] | None = None,
    y: str | Mapping[str, Any] | None = None,
    caption: str = "",
    height: int = 280,
    least_width: int = 0,
    most_width: int = 0,
    left: int = 64,
    right: int = 16,
    top: int | None = None,
    bottom: int = 52,
    **layout: Any,
) -> go.Figure:
    """Set title, axes, size, margins in pixels, and the caption below.

    Parameters
    ----------
    x, y
        Title or properties of the axes.
    height
        Of the plot itself.
    least_width, most_width
        Wishes to the page that shows the figure (`layout.meta`): scroll rather than squeeze below
        one, leave room beyond the other.
    top
        Margin with the title (default: with room for a legend of the traces that have a name).
    """
    lines = [part for line in caption.split("\n") for part in textwrap.wrap(line, CAPTION_COLUMNS)]
    foot = LINE_PX * len(lines) + 10 if lines else 0
    named = [trace.name for trace in figure.data if trace.name and trace.showlegend is not False]
    wide = sum(LETTER_PX * len(name) + 45 for name in named)  # of the legend
    if top is None:
        top = 48 + 22 * min(math.ceil(wide / 420), 3)
    layout.setdefault("showlegend", bool(named))
    for key, axis in (("xaxis", x), ("yaxis", y)):
        if axis is not None:
            layout[key] = {"title": axis} if isinstance(axis, str) else axis
    figure.update_layout(
        template=TEMPLATE,
        title_text=title,
        title_y=1,
        title_yref="container",
        title_yanchor="top",
        title_pad={"t": 12, "l": 4},
        height=height + top + bottom + foot,
        margin={"l": left, "r": right, "t": top, "b": bottom + foot},
        meta={"least_width": least_width, "most_width": most_width},
        **layout,
    )
    if lines:
        figure.add_annotation(
            text="<br>".join(map(plain, lines)),
            x=0,
            y=0,
            xref="paper",
            yref="paper",
            xanchor="left",
            yanchor="top",
            xshift=-left + 4,
            yshift=-bottom,
            align="left",
            showarrow=False,
            font={"size": 11},
        )
    return figure


def plain(text: object) -> str:
    """Text from files for a figure, where angle brackets would be markup."""
    return html.escape(str(text), quote=False)


def message_figure(title: str, words: str, *, caption: str = "") -> go.Figure:
    """A figure with a sentence in place of data."""
    figure = go.Figure()
    figure.add_annotation(
        text="<br>".join(textwrap.wrap(plain(words), CAPTION_COLUMNS)),
        x=0,
        y=0.5,
        xref="paper",
        yref="paper",
        xanchor="left",
        showarrow=False,
        align="left",
    )
    hidden = {"visible": False}
    return finish(figure, title, caption=caption, height=60, bottom=8, x=hidden, y=hidden)
