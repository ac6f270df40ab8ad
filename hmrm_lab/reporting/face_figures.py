"""Figures of faces and apexes: pure functions, data in, `plotly.graph_objects.Figure` out."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from plotly import graph_objects as go
from plotly.subplots import make_subplots

from hmrm_lab.faces.apex import ApexCurve
from hmrm_lab.reporting.face_pictures import part_colour
from hmrm_lab.reporting.flow_colour import Image
from hmrm_lab.reporting.pictures import image_uri
from hmrm_lab.reporting.style import (
    BLUE,
    CLASS_COLOURS,
    CLASS_SYMBOLS,
    GREEN,
    INK,
    VERMILLION,
    finish,
    message_figure,
    plain,
)

NOISE_UNIT = "difference (noise = 1)"
ROW_PX = {1: 380, 2: 320, 3: 260}  # by columns
FULL_ROW_PX = 210
SHOWN_PX = 250  # the width of one picture
QUALITY = 75  # of pictures, many of which make a notebook large


def faces_figure(
    pictures: Mapping[str, Image], title: str, *, caption: str = "", columns: int = 4
) -> go.Figure:
    """Pictures side by side, each under its name.

    Shapes
    ------
    pictures : each (H, W, 3), uint8, RGB; sizes may differ
    """
    if not pictures:
        raise ValueError("no picture to show")
    columns = min(columns, len(pictures))
    rows, row_px = -(-len(pictures) // columns), ROW_PX.get(columns, FULL_ROW_PX)
    figure = make_subplots(
        rows=rows,
        cols=columns,
        horizontal_spacing=0.02,
        vertical_spacing=30 / (rows * row_px) if rows > 1 else 0.0,
        subplot_titles=[plain(name) for name in pictures],
    )
    for number, picture in enumerate(pictures.values()):
        row, column = divmod(number, columns)
        panel = go.Image(
            source=image_uri(picture, "jpeg", QUALITY), zsmooth="fast", hoverinfo="skip"
        )
        figure.add_trace(panel, row=row + 1, col=column + 1)
    figure.update_xaxes(visible=False, constrain="domain")
    figure.update_yaxes(visible=False, constrain="domain")
    figure.update_annotations(font_size=12)
    return finish(
        figure,
        title,
        caption=caption,
        height=row_px * rows,
        least_width=190 * columns,
        most_width=SHOWN_PX * columns + 24,
        left=8,
        top=72,
        bottom=8,
    )


def apex_curve_figure(
    curve: ApexCurve, annotated: int | None = None, *, caption: str = ""
) -> go.Figure:
    """The curve that the apex was read from, with the spotted and any annotated apex."""
    figure = go.Figure()
    figure.add_scatter(
        x=curve.frames,
        y=curve.curve,
        mode="lines+markers",
        line={"color": BLUE, "width": 2},
        showlegend=False,
        hovertemplate="frame %{x}: %{y:.2f}<extra></extra>",
    )
    _mark_apexes(figure, curve, annotated, VERMILLION, GREEN)
    words = "" if curve.spotted else "The curve has no peak: the apex is a guess."
    title = "Apex curve: all parts, smoothed"
    return _by_frame(figure, title, NOISE_UNIT, f"{words}\n{caption}", legend_rows=1)


def part_curves_figure(
    curve: ApexCurve, annotated: int | None = None, *, caption: str = ""
) -> go.Figure:
    """How far each part of the face differs from onset and offset, before smoothing."""
    figure = go.Figure()
    for name, values in curve.parts.items():
        figure.add_scatter(
            x=curve.frames,
            y=values,
            name=name.replace("_", " "),
            mode="lines",
            line={"color": part_colour(name), "dash": "dot" if name.endswith("right") else "solid"},
            hovertemplate="frame %{x}: %{y:.2f}",
        )
    _mark_apexes(figure, curve, annotated, INK, INK)  # the parts have the other colours
    return _by_frame(figure, "Apex curve: each part alone", NOISE_UNIT, caption)


def frame_lines_figure(
    lines: Mapping[str, pd.Series], title: str, y_title: str, *, caption: str = ""
) -> go.Figure:
    """Several measurements by frame; the index of each series is the number of the frame."""
    figure = go.Figure()
    for name, values in lines.items():
        figure.add_scatter(
            x=values.index,
            y=values,
            name=plain(name),
            mode="lines+markers",
            hovertemplate="frame %{x}: %{y:.2f}",
        )
    return _by_frame(figure, title, y_title, caption, legend_rows=1)


def apex_errors_figure(table: pd.DataFrame, *, caption: str = "") -> go.Figure:
    """How often each error occurs, and how it goes with the strength of the movement.

    Parameters
    ----------
    table
        As `faces.evaluate.apex_table` gives it. Where the exact motion is not known, the height
        of the curve stands for the strength.
    """
    title = "Where apex spotting errs"
    known = table.dropna(subset=["error"])
    if known.empty:
        return message_figure(title, "No clip has an annotated apex.", caption=caption)
    figure = make_subplots(cols=2, horizontal_spacing=0.14)
    for column, name, colour in (("error", "spotted", BLUE), ("middle_error", "middle frame", INK)):
        counts = known[column].astype(int).value_counts().sort_index()
        figure.add_bar(
            x=counts.index,
            y=counts,
            name=name,
            marker={"color": colour, "pattern": {"shape": "" if colour == BLUE else "/"}},
            hovertemplate="%{x} frames: %{y} clips",
            row=1,
            col=1,
        )
    exact = bool(known["strength_px"].notna().all())
    strength = known["strength_px" if exact else "peak"]
    for label, name in enumerate(sorted(table["class"].unique())):
        own = (known["class"] == name).to_numpy()
        figure.add_scatter(
            x=strength[own],
            y=known["error"][own].astype(int),
            name=name,
            mode="markers",
            marker={"color": CLASS_COLOURS[label], "symbol": CLASS_SYMBOLS[label], "size": 8},
            text=known["clip"][own].map(plain),
            hovertemplate="%{text}: %{y} frames",
            row=1,
            col=2,
        )
    words = "longest vector (px)" if exact else "height of the curve (noise = 1)"
    errors = known["error"].astype(int)
    figure.update_xaxes(title="error (frames)", dtick=_frame_ticks(errors), row=1, col=1)
    figure.update_yaxes(title="clips", rangemode="tozero", row=1, col=1)
    figure.update_xaxes(title=words, rangemode="tozero", row=1, col=2)
    figure.update_yaxes(title="error (frames)", dtick=_frame_ticks(errors), row=1, col=2)
    figure.add_hrect(y0=-1.5, y1=1.5, fillcolor=GREEN, opacity=0.12, line_width=0, row=1, col=2)
    explained = f"{len(known)} clips. Negative: too early. Green band: within one frame."
    return finish(
        figure,
        title,
        caption=f"{explained}\n{caption}",
        height=300,
        least_width=620,
        most_width=980,
        top=84,
        barmode="group",
    )


def _mark_apexes(
    figure: go.Figure, curve: ApexCurve, annotated: int | None, spotted_in: str, annotated_in: str
) -> None:
    """Vertical lines over the height of what is drawn, with entries in the legend."""
    top = max(float(np.max(trace.y)) for trace in figure.data)
    marks = [("spotted apex", curve.apex, spotted_in, "dash")]
    if annotated is not None:
        marks.append(("annotated apex", annotated, annotated_in, "solid"))
    for name, frame, colour, dash in marks:
        figure.add_scatter(
            x=[frame, frame],
            y=[0, 1.05 * top],
            name=f"{name}: {frame}",
            mode="lines",
            line={"color": colour, "dash": dash, "width": 2},
            hoverinfo="skip",
        )


def _frame_ticks(errors: pd.Series) -> int:
    """Frames from tick to tick, so that there are about a dozen of them."""
    return max(1, round(float(errors.max() - errors.min()) / 12))


def _by_frame(
    figure: go.Figure, title: str, y_title: str, caption: str, *, legend_rows: int = 2
) -> go.Figure:
    figure.update_xaxes(title="frame", tickformat="d")
    figure.update_yaxes(title=y_title, rangemode="tozero")
    return finish(
        figure,
        title,
        caption=caption,
        height=260,
        least_width=480,
        most_width=820,
        top=60 + 20 * legend_rows,
    )
