"""One look for every figure: colours that the colour-blind tell apart, on light and dark paper."""

import html
import textwrap
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
ON_COLOUR = "#000000"

CAPTION_COLUMNS = 62
LINE_PX = 15

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
    caption: str = "",
    height: int,
    least_width: int = 0,
    most_width: int = 0,
    left: int = 56,
    right: int = 16,
    top: int = 48,
    bottom: int = 52,
    **layout: Any,
) -> go.Figure:
    """Set title, size, margins in pixels, and the caption below.

    `height` is that of the plot itself. The two widths are wishes to the page that shows the
    figure (`layout.meta`): scroll rather than squeeze below one, leave room beyond the other.
    """
    lines = [part for line in caption.split("\n") for part in textwrap.wrap(line, CAPTION_COLUMNS)]
    foot = LINE_PX * len(lines) + 10 if lines else 0
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
    """A figure that says why there is nothing to see."""
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
    return finish(
        figure,
        title,
        caption=caption,
        height=60,
        bottom=8,
        xaxis_visible=False,
        yaxis_visible=False,
    )
