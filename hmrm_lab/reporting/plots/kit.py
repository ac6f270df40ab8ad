"""Shared parts of figures: dots with intervals, pictures side by side, lines, heatmaps."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from markupsafe import Markup
from numpy.typing import ArrayLike
from plotly import graph_objects as go
from plotly.subplots import make_subplots

from hmrm_lab.reporting import style
from hmrm_lab.reporting.drawing import Image, image_uri, wheel_picture
from hmrm_lab.reporting.style import BLUE, INK, finish, plain
from hmrm_lab.reporting.svg import WHEEL_PX, legend_html, piece

ROOM = 0.06  # of the range, beyond the last end of an interval
ROW_PX, HEADING_PX = 260, 38  # of pictures, where they are no HTML; two lines above each
PANEL_QUALITY = 80  # of JPEG: a notebook holds many pictures


def dots(
    name: str,
    values: Iterable[float],
    places: Iterable[float] | None = None,
    *,
    ends: tuple[Sequence[float], Sequence[float]] | None = None,
    colour: str = BLUE,
    symbol: str = "circle",
    words: Sequence[str] = (),
    labels: Sequence[str] = (),
    digits: str = ".3f",
    upright: bool = False,
) -> go.Scatter:
    """A series of estimates along x, or along y if `upright`; one that is NaN is not drawn.

    `places` are rows of an `interval_plot`, `ends` those of the intervals, if any; `words` are read
    by the pointer above each value, `labels` stand beside it.
    """
    along, across = ("y", "x") if upright else ("x", "y")
    table = pd.DataFrame({along: list(values)})
    table[across] = range(len(table)) if places is None else list(places)
    table["hovertext"] = [f"{name}: {value:{digits}}" for value in table[along]]
    if ends:
        table["low"], table["high"] = map(list, ends)
        between = zip(*ends, strict=True)
        table["hovertext"] += [f" [{low:{digits}}, {high:{digits}}]" for low, high in between]
    if words:
        table["hovertext"] = [f"{word}<br>" for word in words] + table["hovertext"]
    if labels:
        table["text"] = [f" {label}" for label in labels]
    table = table.dropna(subset=[along])
    shown = (along, across, "hovertext", *(["text"] if labels else []))
    trace = go.Scatter(
        {column: table[column].tolist() for column in shown},
        mode="markers+text" if labels else "markers",
        marker={"color": colour, "symbol": symbol, "size": 11},
        marker_line={"width": 2, "color": colour},
        name=name,
        hovertemplate="%{hovertext}<extra></extra>",
        cliponaxis=False,
    )
    if labels:
        trace.textposition = "middle right"
    if ends:
        reach = {"array": table["high"] - table[along], "arrayminus": table[along] - table["low"]}
        trace[f"error_{along}"] = {end: by.tolist() for end, by in reach.items()}
        trace[f"error_{along}"].update(thickness=2, width=5)
    return trace


def column_dots(table: pd.DataFrame, column: str, name: str, **look: Any) -> go.Scatter:
    """A column, with the interval of `COLUMN low` and `COLUMN high`; no dots without it."""
    values = table[column] if column in table else np.full(len(table), math.nan)
    ends = tuple(table[f"{column} {end}"] for end in ("low", "high") if f"{column} {end}" in table)
    return dots(name, values, **({"ends": ends or None} | look))


def interval_plot(
    rows: Sequence[str],
    series: Sequence[go.Scatter],
    title: str,
    *,
    x: Mapping[str, Any],
    reference: float | None = None,
    caption: str = "",
    row_px: int = 30,
    top_row: float = -0.6,
    right: int = 24,
) -> go.Figure:
    """Draw estimates (`dots`) with their intervals, a row for each name, the first on top.

    Rows, numbered from 0, are markup: `plain` escapes what comes from files. The range of x is by
    default that of all intervals and of the `reference`, a broken vertical line.
    """
    figure = go.Figure([trace for trace in series if trace.x])
    ends = [] if reference is None else [reference]
    for trace in figure.data:
        values, reach = np.array(trace.x), trace.error_x
        ends += values.tolist()
        if reach.array is not None:
            ends += [*(values + reach.array), *(values - reach.arrayminus)]
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    room = ROOM * ((high - low) or 1.0)
    if reference is not None:
        add_reference(figure, x=reference, dash="dash")
    lines = [re.sub("<[^>]*>", "", line) for row in rows for line in row.split("<br>")]
    names = {"tickvals": list(range(len(rows))), "ticktext": list(rows), "ticks": ""}
    x = {"range": [low - room, high + room], **x}
    y = names | {"range": [len(rows) - 0.4, top_row], "showgrid": False}
    height = row_px * len(rows) + 24
    left = 24 + int(style.LETTER_PX * max(map(len, lines)))
    widths = (430, 900)
    return finish(
        figure, title, x, y, caption=caption, height=height, left=left, right=right, widths=widths
    )


def add_reference(
    figure: go.Figure,
    *,
    x: float | None = None,
    y: float | None = None,
    words: str = "",
    dash: str = "dot",
    colour: str = INK,
    width: float = 1.5,
    at: float = 1.0,
    beyond: bool = False,
    below: bool = False,
    **cell: int,
) -> None:
    """Draw a line at one value of x or of y, with its meaning in words.

    Words at a vertical line stand `at` a height of 0 to 1, before or `beyond` it; at a horizontal
    one above or `below` it.
    """
    line = {"color": colour, "width": width, "dash": dash}
    note = {"text": words, "showarrow": False, "font_size": 11, "name": "reference"}
    if x is not None:
        figure.add_vline(x=x, line=line, **cell)
        logarithmic = next(figure.select_xaxes(**cell)).type == "log"
        note |= {"x": math.log10(x) if logarithmic else x, "y": at, "yanchor": "top"}
        note |= {"xanchor": "left", "xshift": 4} if beyond else {"xanchor": "right", "xshift": -4}
    else:
        figure.add_hline(y=y, line=line, **cell)
        note |= {"x": 1, "xanchor": "right", "y": y, "yanchor": "top" if below else "bottom"}
    if words:
        axis = next(figure.select_yaxes(**cell) if x is not None else figure.select_xaxes(**cell))
        domain = f"{axis.plotly_name.replace('axis', '')} domain"
        figure.add_annotation(**note, **cell)
        figure.layout.annotations[-1].update({"yref" if x is not None else "xref": domain})


def add_line(
    figure: go.Figure,
    x: ArrayLike,
    y: ArrayLike,
    name: str,
    number: int = 0,
    *,
    band: tuple[ArrayLike, ArrayLike] | None = None,
    **look: Any,
) -> None:
    """Draw a curve in the look of that number, with a band from low to high if given."""
    colour, dash, symbol = style.series(number)
    across = np.asarray(x).tolist()
    if band is not None:
        low, high = (np.asarray(edge).round(4).tolist() for edge in band)
        area = go.Scatter(x=[*across, *across[::-1]], y=[*high, *low[::-1]], fill="toself")
        quiet = {"mode": "lines", "line_width": 0, "hoverinfo": "skip", "showlegend": False}
        figure.add_trace(area.update(fillcolor=f"{colour}33", **quiet))
    usual = {"line": {"color": colour, "dash": dash}, "marker": {"symbol": symbol, "size": 8}}
    data = {"x": across, "y": np.asarray(y).round(4).tolist(), "name": plain(name)}
    figure.add_scatter(**{"mode": "lines+markers"} | usual | data | look)


@dataclass(frozen=True)
class Bar:
    """The legend of pictures by `heat_picture`."""

    title: str
    low: float
    high: float


Legend = Literal["wheel"] | Bar | None


class Pictures(style.Figure):
    """Pictures that notebooks and pages show as HTML, so that they stack where it is narrow."""

    _shown: tuple[list[tuple[Markup, str]], int, Markup]  # headings and addresses, columns, legend

    def _ipython_display_(self) -> None:
        from IPython.display import HTML, display

        display(HTML(self.html()))

    def html(self) -> str:
        words = self.layout.title.text.replace("<br>", " "), style.apart(self)[1]
        title, caption = map(Markup, words)
        return piece("pictures", title, *self._shown, caption)


def headed(name: str, words: str) -> str:
    return f"<b>{plain(name)}</b><br>{words}"


def image_panels(
    pictures: Mapping[str, Image] | Sequence[tuple[str, Image]],
    title: str,
    *,
    legend: Legend = None,
    caption: str = "",
    columns: int = 3,
    kind: Literal["png", "jpeg"] = "jpeg",
) -> go.Figure:
    """Draw pictures in rows, each under its heading, and the legend of their colours.

    Pictures are (H, W, 3), uint8, RGB, and may differ in size; headings are markup of two lines at
    most. Where it is narrow, there are fewer `columns`.
    """
    panels = list(pictures.items()) if isinstance(pictures, Mapping) else list(pictures)
    if not panels:
        raise ValueError("no picture to show")
    columns = min(columns, len(panels))
    shown = [(Markup(name), image_uri(of, kind, PANEL_QUALITY)) for name, of in panels]  # noqa: S704
    wheel = [(Markup(), image_uri(wheel_picture(WHEEL_PX), "png"))] * (legend == "wheel")
    rows = -(-len(shown + wheel) // columns)
    figure = Pictures(
        make_subplots(
            rows=rows,
            cols=columns,
            horizontal_spacing=0.02,
            vertical_spacing=HEADING_PX / (rows * ROW_PX) if rows > 1 else 0.0,
            subplot_titles=[name for name, _ in panels],
        )
    )
    for number, (_, uri) in enumerate(shown + wheel):
        row, column = divmod(number, columns)
        figure.add_image(source=uri, hoverinfo="skip", row=row + 1, col=column + 1)
    figure.update_xaxes(visible=False, constrain="domain")
    figure.update_yaxes(visible=False, constrain="domain")
    words = legend_html("colour", "") if wheel else ""
    if isinstance(legend, Bar):
        words = piece("bar", legend.title, f"{legend.low:.3g}", f"{legend.high:.3g}")
        colours = {"color": [legend.low], "cmin": legend.low, "cmax": legend.high}
        bar = {"title": {"text": legend.title}, "thickness": 14, "len": 0.9}
        look = {**colours, "colorscale": "Cividis", "showscale": True, "colorbar": bar}
        figure.add_scatter(x=[None], y=[None], mode="markers", showlegend=False, marker=look)
    figure._shown = shown, columns, Markup(words)  # noqa: S704
    return finish(figure, title, caption=caption, height=ROW_PX * rows, left=8, top=84, bottom=8)
