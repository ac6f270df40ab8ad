"""Shared parts of figures: dots with intervals, pictures side by side, lines, heatmaps."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from plotly import graph_objects as go
from plotly.subplots import make_subplots

from hmrm_lab.reporting.drawing import Image, image_uri, wheel_picture
from hmrm_lab.reporting.style import (
    BLUE,
    INK,
    LETTER_PX,
    SERIES_COLOURS,
    SERIES_DASHES,
    SERIES_SYMBOLS,
    finish,
    plain,
)

Side = Literal["left", "right"]

ROOM = 0.06  # of the range, beyond the last end of an interval

PANEL_ROW_PX = {1: 380, 2: 320, 3: 260, 4: 220}  # with the headings, by columns; else `SMALL_PX`
SMALL_PX = 176
HEADING_PX = 38  # two lines above each picture
PANEL_QUALITY = 80  # of JPEG: a notebook holds many pictures
WHEEL_PX, BAR_PX = 144, 90


@dataclass(frozen=True)
class Dots:
    """A series of estimates, each with its interval where there is one.

    Parameters
    ----------
    name
        Of the series, in the legend.
    values
        The estimates; one that is NaN is not drawn.
    places
        Where each stands on the other axis: the rows of an `interval_plot`, counted from the top
        (default: 0, 1, 2 and so on).
    low, high
        The ends of the intervals, if any.
    words
        What the pointer reads above the value of each.
    labels
        Text beside each.
    digits
        The format of a value.
    """

    name: str
    values: Sequence[float]
    places: Sequence[float] = ()
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    colour: str = BLUE
    symbol: str = "circle"
    words: Sequence[str] = ()
    labels: Sequence[str] = ()
    digits: str = ".3f"

    @classmethod
    def of(cls, table: pd.DataFrame, column: str, name: str, **look: Any) -> "Dots":
        """The values of a column, with the interval if there are `COLUMN low` and `COLUMN high`.

        A table without the column gives no dots. `look` holds the other parameters.
        """
        ends = {
            end: table[f"{column} {end}"].tolist()
            for end in ("low", "high")
            if f"{column} {end}" in table
        }
        values = table[column] if column in table else np.full(len(table), math.nan)
        return cls(name, values.tolist(), **(ends | look))

    def drawn(self, *, upright: bool = False) -> go.Scatter:
        """The trace: estimates along x, or along y if `upright`."""
        along, across = ("y", "x") if upright else ("x", "y")
        known = [n for n, value in enumerate(self.values) if not math.isnan(value)]
        places = self.places or range(len(self.values))
        values = [self.values[n] for n in known]
        trace = go.Scatter(
            {along: values, across: [places[n] for n in known]},
            mode="markers+text" if self.labels else "markers",
            marker={"color": self.colour, "symbol": self.symbol, "size": 11},
            marker_line={"width": 2, "color": self.colour},
            name=self.name,
            hovertext=[self._told(n) for n in known],
            hovertemplate="%{hovertext}<extra></extra>",
            cliponaxis=False,
        )
        if self.labels:
            trace.update(text=[f" {self.labels[n]}" for n in known], textposition="middle right")
        if self.low:
            trace[f"error_{along}"] = {
                "array": [self.high[n] - self.values[n] for n in known],
                "arrayminus": [self.values[n] - self.low[n] for n in known],
                "thickness": 2,
                "width": 5,
            }
        return trace

    def _told(self, n: int) -> str:
        words = [self.words[n]] if self.words else []
        value = f"{self.name}: {self.values[n]:{self.digits}}"
        if self.low:
            value += f" [{self.low[n]:{self.digits}}, {self.high[n]:{self.digits}}]"
        return "<br>".join([*words, value])


def interval_plot(
    rows: Sequence[str],
    series: Sequence[Dots],
    title: str,
    *,
    x: str | Mapping[str, Any],
    reference: float | None = None,
    caption: str = "",
    row_px: int = 30,
    top_row: float = -0.6,
    right: int = 24,
) -> go.Figure:
    """Draw estimates with their intervals, a row for each name, the first on top.

    Parameters
    ----------
    rows
        The name of each row, as markup: `plain` escapes what comes from files.
    series
        Every series has an entry in the legend; one without a value is left out.
    x
        Title or properties of the axis of values; its `range` is by default that of all intervals
        and of the reference.
    reference
        A value that all are compared with: a broken vertical line.
    top_row
        Where the axis of rows begins; the first row is 0.
    right
        Margin in pixels, for labels beside the dots.
    """
    shown = [dots for dots in series if any(not math.isnan(value) for value in dots.values)]
    figure = go.Figure([dots.drawn() for dots in shown])
    if reference is not None:
        add_reference(figure, x=reference, dash="dash")
    ends = [end for dots in shown for end in (*dots.values, *dots.low, *dots.high)]
    ends = [end for end in (*ends, reference) if end is not None and math.isfinite(end)]
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    room = ROOM * ((high - low) or 1.0)
    axis = {"title": x} if isinstance(x, str) else dict(x)
    return finish(
        figure,
        title,
        caption=caption,
        height=row_px * len(rows) + 24,
        left=24 + int(LETTER_PX * max(_width(row) for row in rows)),
        right=right,
        least_width=430,
        most_width=900,
        x={"range": [low - room, high + room]} | axis,
        y={
            "tickvals": list(range(len(rows))),
            "ticktext": list(rows),
            "range": [len(rows) - 0.4, top_row],
            "ticks": "",
            "showgrid": False,
        },
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
    side: Side = "left",
    below: bool = False,
    **cell: int,
) -> None:
    """Draw a line at one value of x or of y, with its meaning in words.

    Parameters
    ----------
    at
        Of a vertical line: the height of the words, 0 to 1.
    side
        Of a vertical line: on which side of it the words stand.
    below
        Of a horizontal line: whether the words stand below it.
    cell
        `row` and `col` of a figure with several plots.
    """
    line = {"color": colour, "width": width, "dash": dash}
    note = {"text": words, "showarrow": False, "font_size": 11, "name": "reference"}
    if x is not None:
        figure.add_vline(x=x, line=line, **cell)
        logarithmic = next(figure.select_xaxes(**cell)).type == "log"
        note |= {"x": math.log10(x) if logarithmic else x, "y": at, "yanchor": "top"}
        note |= {"xanchor": {"left": "right", "right": "left"}[side]}
        note |= {"xshift": -4 if side == "left" else 4}
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
    low: ArrayLike | None = None,
    high: ArrayLike | None = None,
    digits: int = 4,
    **look: Any,
) -> None:
    """Draw a curve in the look of that number, with a band between `low` and `high` if given."""
    colour = SERIES_COLOURS[number % len(SERIES_COLOURS)]
    across = np.asarray(x).tolist()
    if low is not None and high is not None:
        edge = [*np.asarray(high).tolist(), *np.asarray(low)[::-1].tolist()]
        figure.add_scatter(
            x=[*across, *across[::-1]],
            y=np.round(edge, digits).tolist(),
            fill="toself",
            fillcolor=f"{colour}33",
            line={"width": 0},
            mode="lines",
            hoverinfo="skip",
            showlegend=False,
        )
    usual = {
        "mode": "lines+markers",
        "line": {"color": colour, "dash": SERIES_DASHES[number % len(SERIES_DASHES)]},
        "marker": {"symbol": SERIES_SYMBOLS[number % len(SERIES_SYMBOLS)], "size": 8},
    }
    heights = np.asarray(y).round(digits).tolist()
    figure.add_scatter(**usual | {"x": across, "y": heights, "name": plain(name)} | look)


@dataclass(frozen=True)
class Bar:
    """The legend of pictures by `heat_picture`."""

    title: str
    low: float
    high: float


Legend = Literal["wheel"] | Bar | None


def image_panel(
    picture: Image, kind: Literal["png", "jpeg"] = "jpeg", scale: int = 1, quality: int = 92
) -> go.Image:
    """A picture whose axes count pixels of the frame; it has `scale` pixels for each of these."""
    step = 1 / scale
    return go.Image(
        source=image_uri(picture, kind, quality),
        x0=step / 2 - 0.5,
        y0=step / 2 - 0.5,
        dx=step,
        dy=step,
        zsmooth="fast",
        hovertemplate="x %{x:.0f} px, y %{y:.0f} px<extra></extra>",
    )


def image_panels(
    pictures: Sequence[Image],
    headings: Sequence[str],
    title: str,
    *,
    legend: Legend = None,
    caption: str = "",
    columns: int = 3,
    row_px: int | None = None,
    kind: Literal["png", "jpeg"] = "jpeg",
) -> go.Figure:
    """Draw pictures in rows, each under its heading; the legend of their colours is on the right.

    Parameters
    ----------
    headings
        One for each picture, as markup of two lines at most.
    row_px
        The height of one row with its headings (default: by the number of columns).

    Shapes
    ------
    pictures : each (H, W, 3), uint8, RGB; sizes may differ

    Raises
    ------
    ValueError
        If there is no picture.
    """
    if not pictures:
        raise ValueError("no picture to show")
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    row_px = row_px or PANEL_ROW_PX.get(columns, SMALL_PX)
    wheel = legend == "wheel"
    figure = make_subplots(
        rows=rows,
        cols=columns + wheel,
        column_widths=[1.0] * columns + [0.6] * wheel,
        horizontal_spacing=0.02,
        vertical_spacing=HEADING_PX / (rows * row_px) if rows > 1 else 0.0,
        subplot_titles=_cells(headings, columns) if wheel else list(headings),
    )
    for number, picture in enumerate(pictures):
        row, column = divmod(number, columns)
        panel = image_panel(picture, kind, quality=PANEL_QUALITY)
        figure.add_trace(panel, row=row + 1, col=column + 1)
    figure.update_traces(hoverinfo="skip", hovertemplate=None)
    figure.update_xaxes(visible=False, constrain="domain")
    figure.update_yaxes(visible=False, constrain="domain")
    figure.update_annotations(font_size=11)
    if wheel:
        add_wheel(figure, row=1, col=columns + 1)
    elif isinstance(legend, Bar):
        add_bar(figure, legend)
    return finish(
        figure,
        title,
        caption=caption,
        height=row_px * rows,
        least_width=190 * columns,
        most_width=max(245, row_px - 40) * columns,
        left=8,
        right=BAR_PX if isinstance(legend, Bar) else 16,
        top=84,
        bottom=8,
    )


def add_wheel(figure: go.Figure, *, row: int, col: int) -> None:
    """Draw the legend of the colours of flow into a cell of its own."""
    wheel = go.Image(source=image_uri(wheel_picture(WHEEL_PX), "png"), hoverinfo="skip")
    figure.add_trace(wheel, row=row, col=col)
    figure.update_xaxes(visible=False, constrain="domain", row=row, col=col)
    figure.update_yaxes(visible=False, constrain="domain", row=row, col=col)


def add_bar(figure: go.Figure, bar: Bar) -> None:
    """Draw a colour bar; it belongs to a trace with one invisible point."""
    figure.add_scatter(
        x=[None],
        y=[None],
        mode="markers",
        showlegend=False,
        marker={
            "color": [bar.low],
            "cmin": bar.low,
            "cmax": bar.high,
            "colorscale": "Cividis",
            "showscale": True,
            "colorbar": {"title": {"text": bar.title}, "thickness": 14, "len": 0.9},
        },
    )


def _cells(headings: Sequence[str], columns: int) -> list[str]:
    """One heading for each cell of the grid, row by row; the legend's cells have none."""
    cells = list(headings)
    for row in range(-(-len(headings) // columns)):
        cells.insert((row + 1) * columns + row, "")
    return cells


def _width(markup: str) -> int:
    """Letters of the longest line."""
    return max(len(re.sub("<[^>]*>", "", line)) for line in markup.split("<br>"))
