"""One look for every figure: colours that the colour-blind tell apart, on light and dark paper."""

import html
import math
import textwrap
import tomllib
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from plotly import graph_objects as go

_LOOK = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
CLASS_COLOURS: list[str] = _LOOK["class_colours"]  # by label
CLASS_SYMBOLS: list[str] = _LOOK["class_symbols"]  # by label
BLUE, ORANGE, GREEN, VERMILLION = CLASS_COLOURS[:4]
INK, LETTERS, GRID = _LOOK["ink"], _LOOK["letters"], _LOOK["grid"]
PART_COLOURS: dict[str, str] = _LOOK["part_colours"]  # by the first word of a part of the face
SERIES: list[tuple[str, str, str]] = _LOOK["series"]  # of several lines: colour, dash, symbol
TEMPLATE = go.layout.Template(layout=_LOOK["layout"])

CAPTION_COLUMNS, TITLE_COLUMNS = 60, 46  # a telephone is as wide
LINE_PX = 16
LETTER_PX = 7.6
META = ("least_width", "most_width", "foot", "caption")

# Of notes that begin at the left edge of the plot.
NOTE = {"x": 0, "xref": "paper", "yref": "paper", "xanchor": "left", "showarrow": False}


class Figure(go.Figure):
    """A figure whose caption a notebook shows below it, as wide as the page, and not in it."""

    def _ipython_display_(self) -> None:
        from IPython.display import HTML, display

        figure, caption = apart(self)
        figure.show()
        display(HTML(caption))


def apart(figure: go.Figure) -> tuple[go.Figure, str]:
    """A figure by `finish` without its caption, and the caption as a paragraph of HTML."""
    bare, meta = go.Figure(figure), figure.layout.meta
    bare.layout.annotations = [one for one in bare.layout.annotations if one.name != "caption"]
    bare.layout.height -= meta["foot"]
    bare.layout.margin.b -= meta["foot"]
    words = "<br>".join(map(plain, meta["caption"].strip().split("\n")))
    return bare, f'<p style="max-width:60em;line-height:1.45">{words}</p>' if words else ""


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
    figure = figure if isinstance(figure, Figure) else Figure(figure)
    wrap = partial(textwrap.wrap, width=CAPTION_COLUMNS, break_on_hyphens=False)
    lines = [part for line in caption.split("\n") for part in wrap(line)]
    foot = LINE_PX * len(lines) + 10 if lines else 0
    titles = textwrap.wrap(title, TITLE_COLUMNS)
    named = [trace.name for trace in figure.data if trace.name and trace.showlegend is not False]
    top = 48 + legend_px(named) if top is None else top
    top += 20 * (len(titles) - 1)
    axes = {
        key: {"title": axis} if isinstance(axis, str) else axis
        for key, axis in (("xaxis", x), ("yaxis", y))
        if axis is not None
    }
    figure.update_layout(
        template=TEMPLATE,
        title_text="<br>".join(titles),
        height=height + top + bottom + foot,
        margin={"l": left, "r": right, "t": top, "b": bottom + foot},
        meta=dict(zip(META, (*widths, foot, caption), strict=True)),
        **{"showlegend": bool(named)} | axes | layout,
    )
    if lines:
        place = NOTE | {"y": 0, "yanchor": "top", "xshift": -left + 4, "yshift": -bottom}
        words = "<br>".join(map(plain, lines))
        look = {"align": "left", "font": {"size": 12}, "name": "caption"}
        figure.add_annotation(text=words, **look, **place)
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
