"""Figures of regions and tokens on the face, attention between them, and the selective scan."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from plotly import graph_objects as go
from plotly.subplots import make_subplots

from hmrm_lab.models.hmrm.region_fusion import CORE_REGIONS, MAP_SIDE, region_boxes, token_centres
from hmrm_lab.models.scan.inside import ScanTrace
from hmrm_lab.records import Floats
from hmrm_lab.reporting import drawing
from hmrm_lab.reporting.drawing import RIM, WHITE, YELLOW, Image, heat_picture
from hmrm_lab.reporting.plots.kit import Bar, add_line, add_reference, headed, image_panels
from hmrm_lab.reporting.style import BLUE, GREEN, INK, ORANGE, VERMILLION, finish, plain

CELL_PX = 12
SIDE_PX = MAP_SIDE * CELL_PX
DIMMED = 0.45  # brightness outside the chosen region
SHADE = 0.6  # share of the colour in a shaded region
SHORT = ("TL", "TR", "BL", "BR")
# The 4 core regions and their 16 sub-regions, in the order of the fusion attention.
REGION_LABELS = [*SHORT, *(f"{core}.{sub}" for core in SHORT for sub in SHORT)]
REGION_GAP = 4  # cells between the maps of two regions of flow
MOST_LINKS = 8  # drawn for one head

SIGNED = [[0, BLUE], [0.5, "#f4f4f4"], [1, VERMILLION]]  # below zero, zero, above
UNSIGNED = [[0, "#f4f4f4"], [1, VERMILLION]]
# By direction of the scan the colour, and the shift of its stems when there are two.
STATES = {"forward": (BLUE, -0.12), "backward": (ORANGE, 0.12)}


def scan_path(grain: str, tokens: str, region: int) -> Floats:
    """Path of the scan: (L, 2), cells of a 28x28 map.

    `tokens` are `windows`, one for each region of the grain; or `pixels`, the 49 of one region.
    """
    centres = token_centres(grain)
    path = centres.mean(axis=1) if tokens == "windows" else centres[region]
    return np.asarray(path, dtype=np.float32)


def region_picture(
    ground: Image, grain: str, region: int | None = None, path: Floats | None = None
) -> Image:
    """The regions of a grain over a face or a map, one of them lit, and the way of the scan.

    The ground is square, (H, W, 3), uint8, RGB; the path (L, 2), (x, y), in cells of a 28x28 map;
    the picture (336, 336, 3).
    """
    picture = _fitted(ground)
    boxes = _boxes(grain)
    if region is not None:
        left, top, right, bottom = boxes[region]
        lit = picture[top:bottom, left:right]
        picture = (DIMMED * picture).astype(np.uint8)
        picture[top:bottom, left:right] = lit
    for left, top, right, bottom in boxes:
        cv2.rectangle(picture, (left, top), (right - 1, bottom - 1), WHITE, 1)
    return picture if path is None else _with_path(picture, path)


def scan_order_figure(ground: Image, *, region: int = 0, caption: str = "") -> go.Figure:
    """The order of the tokens in the four kinds of sequence."""
    kinds = {
        "coarse, windows<br>4 tokens": ("core", "windows"),
        "fine, windows<br>16 tokens": ("sub", "windows"),
        "coarse, pixels<br>49 tokens of 2x2 cells": ("core", "pixels"),
        "fine, pixels<br>49 tokens of one cell": ("sub", "pixels"),
    }
    pictures = {
        words: region_picture(
            ground, grain, region if tokens == "pixels" else None, scan_path(grain, tokens, region)
        )
        for words, (grain, tokens) in kinds.items()
    }
    title = "The way of the forward scan; the backward one returns on it"
    return image_panels(pictures, title, caption=caption, columns=4)


def shaded_picture(ground: Image, grain: str, values: Floats, low: float, high: float) -> Image:
    """Each region in the colour of its value (R,), in the order of `region_names(grain)`."""
    picture = _fitted(ground)
    colours = heat_picture(values[None], high, low)[0]
    for (left, top, right, bottom), colour in zip(_boxes(grain), colours, strict=True):
        inside = picture[top:bottom, left:right]
        picture[top:bottom, left:right] = drawing.blended(inside, colour, SHADE)
    return picture


def shade_figure(
    ground: Image,
    shades: Mapping[str, tuple[str, Floats]],
    title: str,
    unit: str,
    *,
    caption: str = "",
    columns: int = 4,
) -> go.Figure:
    """Values of regions over the face, by heading the grain and (R,), all on one scale."""
    every = np.concatenate([values for _, values in shades.values()])
    low, high = float(every.min()), float(every.max())
    panels = [
        (plain(name), shaded_picture(ground, *shade, low, high)) for name, shade in shades.items()
    ]
    legend = Bar(unit, low, high)
    return image_panels(panels, title, legend=legend, caption=caption, columns=columns)


def received(weights: Floats) -> Floats:
    """Mean attention that each region receives: (..., 20, 20) to (..., 20). Sums to one."""
    return np.asarray(weights.mean(axis=-2), dtype=np.float32)


def attention_picture(ground: Image, weights: Floats, low: float, high: float) -> Image:
    """One head (20, 20): sub-regions shaded by what they give on average, and the strongest links.

    A link runs from the region that is looked at (dot) to the one that takes from it. Core
    regions are squares. What a region takes from itself is left out.
    """
    shares = received(weights)
    picture = shaded_picture(ground, "sub", shares[CORE_REGIONS:], low, high)
    centres = [scan_path(grain, "windows", 0) for grain in ("core", "sub")]
    places = np.round(CELL_PX * np.concatenate(centres)).astype(int).tolist()  # of all 20
    others = np.where(np.eye(len(weights), dtype=bool), 0.0, weights)
    strongest = np.argsort(others, axis=None)[::-1][:MOST_LINKS]
    for taker, giver in zip(*np.unravel_index(strongest, others.shape), strict=True):
        width = max(1, round(4 * float(others[taker, giver] / others.max())))
        for colour, more in ((RIM, 2), (YELLOW, 0)):
            cv2.line(picture, places[giver], places[taker], colour, width + more, cv2.LINE_AA)
        drawing.mark_points(picture, [places[giver]], 4)
    colours = heat_picture(shares[None, :CORE_REGIONS], high, low)[0].tolist()
    for (x, y), shade in zip(places[:CORE_REGIONS], colours, strict=True):
        for colour, reach in ((RIM, 9), (shade, 7)):
            cv2.rectangle(picture, (x - reach, y - reach), (x + reach, y + reach), colour, -1)
    return picture


def attention_face_figure(ground: Image, weights: Floats, *, caption: str = "") -> go.Figure:
    """The fusion attention (heads, 20, 20) over the face, head by head, on one scale."""
    shares = received(weights)
    low, high = float(shares.min()), float(shares.max())
    words = (
        f"Shade: what a region gives to the 20 on average; equal shares would be {1 / 20:.2f}."
        f" Small squares: the core regions. Lines: the {MOST_LINKS} strongest links of a head,"
        " with a dot at the region that is looked at."
    )
    panels = {
        f"head {number}": attention_picture(ground, head, low, high)
        for number, head in enumerate(weights, start=1)
    }
    title, legend = "Fusion attention over the face", Bar("share", low, high)
    caption = f"{words}\n{caption}"
    return image_panels(panels, title, legend=legend, caption=caption, columns=4)


def attention_heads_figure(weights: Floats, *, caption: str = "") -> go.Figure:
    """The weights of every head: (heads, 20, 20)."""
    words = "T top, B bottom, L left, R right; TL.BR is the bottom right of the top left region."
    figure = matrix_figure(
        {f"head {number}": head for number, head in enumerate(weights, start=1)},
        "Fusion attention: region by region",
        what="share",
        axes=("looked at", "looking"),
        hover="%{y} takes %{z:.3f} from %{x}",
        labels=REGION_LABELS,
        caption=f"{words} Rows add up to one.\n{caption}",
    )
    return figure.update_traces(colorscale="Cividis")


def flow_attention_figure(
    weights: Floats, names: Sequence[str] = (), *, caption: str = ""
) -> go.Figure:
    """Attention (J, h, w) of the last update of flow; the J shares of a pixel add up to 1.

    With `names` it is over the J states of the steps so far: a map for each. Without, it is over
    the J regions of a square grid: the small map at the place of a region shows its share at every
    pixel. A `ValueError` if J is neither the number of names nor a square.
    """
    low, high, count = float(weights.min()), float(weights.max()), len(weights)
    if names and len(names) != count:
        raise ValueError(f"{len(names)} names for {count} maps of attention")
    if names:
        headings = map(headed, names, [f"mean {share.mean():.3f}" for share in weights])
        maps = dict(zip(headings, weights, strict=True))
    else:
        maps = {f"{count} regions, each map at the place of its region": _mosaic(weights)}
    panels = {heading: heat_picture(share, high, low) for heading, share in maps.items()}
    title = "Attention over the steps" if names else "Attention over the regions"
    legend = Bar("share", low, high)
    caption = f"Equal shares would be {1 / count:.3f} everywhere.\n{caption}"
    return image_panels(panels, title, legend=legend, caption=caption, kind="png")


def token_order(grain: str, tokens: str, region: int) -> list[list[int]]:
    """The place of every token in its sequence, laid out as on the face: rows from the top."""
    path = scan_path(grain, tokens, region)
    order = np.lexsort((path[:, 0], path[:, 1]))  # by row, then by column
    side = round(len(path) ** 0.5)
    grid: list[list[int]] = order.reshape(side, side).tolist()
    return grid


def impulse_figure(
    responses: Mapping[str, Floats], impulse: int, title: str, *, caption: str = ""
) -> go.Figure:
    """The answers (L,) to one impulse, by name; token `impulse` is 1 and all others are 0."""
    figure = go.Figure()
    for number, (name, values) in enumerate(responses.items()):
        hover = "token %{x}: %{y:.3f}"
        add_line(figure, np.arange(len(values)), values, name, number, hovertemplate=hover)
    add_reference(figure, x=impulse)
    x, caption = {"title": "token", "dtick": 2}, f"Dotted: the token of the impulse.\n{caption}"
    return finish(figure, title, x, "output y", caption=caption, height=260, widths=(0, 760))


def trace_figure(trace: ScanTrace, title: str, *, caption: str = "") -> go.Figure:
    """Input, step, state and output of one channel, token by token."""
    figure = make_subplots(rows=4, shared_xaxes=True, vertical_spacing=0.04)
    axes = ("input x", "step dt", "state h", "output y")
    for row, (name, stems) in enumerate(trace_rows(trace).items(), start=1):
        for direction, values, colour, shift in stems:
            figure.add_bar(
                x=np.arange(len(values)),
                y=values.round(5),
                name=f"{name}, {direction}" if direction else name,
                offset=shift - 0.1,
                marker_color=colour,
                row=row,
                col=1,
            )
        figure.update_yaxes(title=axes[row - 1], row=row, col=1)
    figure.update_traces(width=0.2, hovertemplate="token %{x}: %{y:.3f}")
    figure.update_xaxes(title="token", dtick=1, row=4, col=1)
    return finish(figure, title, caption=caption, height=420, widths=(0, 760), top=76, left=64)


def trace_rows(trace: ScanTrace) -> dict[str, list[tuple[str, Floats, str, float]]]:
    """The rows of a drawn trace: direction if any, values (L,), colour and shift of its stems."""
    both = len(trace.states) > 1
    states = [
        (name, state.numpy(), STATES[name][0], both * STATES[name][1])
        for name, state in trace.states.items()
    ]
    return {
        "x": [("", trace.x.numpy(), INK, 0.0)],
        "dt": [("", trace.dt.numpy(), INK, 0.0)],
        "h": states,
        "y": [("", trace.y.numpy(), GREEN, 0.0)],
    }


def matrix_figure(
    matrices: Mapping[str, Floats],
    title: str,
    *,
    what: str = "weight",
    axes: tuple[str, str] = ("from token k", "to token t"),
    hover: str = "from token %{x} to token %{y}: %{z:.3f}",
    labels: Sequence[str] = (),
    caption: str = "",
) -> go.Figure:
    """Square matrices on one scale, row 0 on top: side by side, or with `labels` two in a row.

    Of a matrix of tokens, (L, L), a row is an output token.
    """
    top = max(float(np.abs(matrix).max()) for matrix in matrices.values()) or 1.0
    signed = any((matrix < 0).any() for matrix in matrices.values())
    columns = min(2, len(matrices)) if labels else len(matrices)
    rows = -(-len(matrices) // columns)
    names = [plain(name) for name in matrices]
    figure = make_subplots(rows=rows, cols=columns, vertical_spacing=0.16, subplot_titles=names)
    for number, matrix in enumerate(matrices.values()):
        cell = {"row": number // columns + 1, "col": number % columns + 1}
        colours = go.Heatmap(z=matrix.round(4), x=labels or None, y=labels or None)
        figure.add_trace(colours, **cell)
        figure.update_yaxes(scaleanchor=f"x{number + 1 if number else ''}", **cell)
    colours = {"colorscale": SIGNED if signed else UNSIGNED, "zmin": -top if signed else 0}
    bar = {"title": {"text": what}, "thickness": 14}
    look = {"xgap": 1, "ygap": 1, "hovertemplate": f"{hover}<extra></extra>", "showscale": False}
    figure.update_traces(**colours, **look, zmax=top, colorbar=bar)
    figure.data[0].showscale = True
    plain_axis = {"ticks": "", "showgrid": False, "constrain": "domain"}
    plain_axis["tickfont_size"] = 9 if labels else None
    figure.update_xaxes(title=axes[0], **plain_axis)
    figure.update_yaxes(autorange="reversed", **plain_axis)
    figure.update_yaxes(title=axes[1], col=1)
    column_px, row_px = (340, 340) if labels else (230, 270)
    widths = (column_px * columns + 20, int(1.3 * column_px) * columns + 100)
    margins: dict[str, Any] = {"top": 84, "right": 70, "bottom": 84 if labels else 52}
    height = row_px * rows
    return finish(figure, title, caption=caption, height=height, widths=widths, **margins)


def _boxes(grain: str) -> list[list[int]]:
    """Left, top, right and bottom of every region, pixels of the picture."""
    boxes: list[list[int]] = (CELL_PX * region_boxes(grain)).astype(int).tolist()
    return boxes


def _mosaic(weights: Floats) -> Floats:
    """The maps of a square grid of regions in one, with gaps of NaN."""
    side = math.isqrt(len(weights))
    if side * side != len(weights):
        raise ValueError(f"{len(weights)} regions are no square grid; name the maps")
    gap = ((0, 0), (0, REGION_GAP), (0, REGION_GAP))
    spaced = np.pad(weights, gap, constant_values=np.nan)
    joined = np.block([[*row] for row in spaced.reshape(side, side, *spaced.shape[1:])])
    return np.asarray(joined[:-REGION_GAP, :-REGION_GAP], dtype=np.float32)


def _fitted(ground: Image) -> Image:
    how = cv2.INTER_CUBIC if ground.shape[0] <= SIDE_PX else cv2.INTER_AREA
    how = cv2.INTER_NEAREST if ground.shape[0] == MAP_SIDE else how
    return drawing.resized(ground, SIDE_PX, how)


def _with_path(picture: Image, path: Floats) -> Image:
    """A line through the tokens, a ring at the first, numbers where there is room."""
    points = np.round(CELL_PX * path).astype(np.int32)
    for colour, width in ((RIM, 4), (YELLOW, 2)):
        cv2.polylines(picture, [points], False, colour, width, cv2.LINE_AA)
    if len(points) > 16:
        drawing.mark_points(picture, points[:1], 5)
        drawing.mark_points(picture, points[1:], 2)
        return picture
    drawing.mark_points(picture, points, 11)
    for number, (x, y) in enumerate(points.tolist()):
        place = (x - 5 * len(str(number)), y + 5)
        cv2.putText(picture, str(number), place, 0, 0.45, RIM, 1, cv2.LINE_AA)
    return picture
