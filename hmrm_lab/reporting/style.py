"""One look for every figure: colours that the colour-blind tell apart, on light and dark paper."""

import html
import math
import textwrap
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from plotly import graph_objects as go

_LOOK = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
CLASS_COLOURS: list[str] = _LOOK["class_colours"]  # by label
CLASS_SYMBOLS: list[str] = _LOOK["class_symbols"]  # by label
BLUE, ORANGE, GREEN, VERMILLION = CLASS_COLOURS[:4]
INK, GRID = _LOOK["ink"], _LOOK["grid"]
SERIES: list[tuple[str, str, str]] = _LOOK["series"]  # of several lines: colour, dash, symbol
TEMPLATE = go.layout.Template(layout=_LOOK["layout"])

CAPTION_COLUMNS = 62
LINE_PX = 15
LETTER_PX = 7.6

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
