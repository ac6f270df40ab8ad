"""Regions and tokens on the face: their order, their steps, what attends to what."""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from plotly import graph_objects as go
from plotly.subplots import make_subplots

from hmrm_lab.models.hmrm.region_fusion import CORE_REGIONS, MAP_SIDE
from hmrm_lab.models.hmrm.tokens import region_boxes, token_centres
from hmrm_lab.records import Floats
from hmrm_lab.reporting.flow_colour import Image
from hmrm_lab.reporting.panels import Bar, image_panel, panel_grid
from hmrm_lab.reporting.pictures import heat_picture
from hmrm_lab.reporting.style import BLUE, INK, finish, plain

CELL_PX = 12
SIDE_PX = MAP_SIDE * CELL_PX
LINE, PATH, RIM = (255, 255, 255), (255, 214, 64), (20, 20, 20)
DIMMED = 0.45  # brightness outside the chosen region
SHADE = 0.6  # share of the colour in a shaded region
SHORT = ("TL", "TR", "BL", "BR")
REGION_LABELS = [*SHORT, *(f"{core}.{sub}" for core in SHORT for sub in SHORT)]
"""The 4 core regions and their 16 sub-regions, in the order of the fusion attention."""
MOST_LINKS = 8  # drawn for one head
QUALITY = 80


def scan_path(grain: str, tokens: str, region: int) -> Floats:
    """Where the scan goes: (L, 2), cells of a 28x28 map.

    Parameters
    ----------
    tokens
        `windows`, one token for each region of the grain; or `pixels`, the 49 of one region.
    """
    centres = token_centres(grain)
    path = centres.mean(axis=1) if tokens == "windows" else centres[region]
    return np.asarray(path, dtype=np.float32)


def region_picture(
    ground: Image, grain: str, region: int | None = None, path: Floats | None = None
) -> Image:
    """The regions of a grain over a face or a map, one of them lit, and the way of the scan.

    Shapes
    ------
    ground : (H, W, 3), uint8, RGB, square; the face in its crop
    path : (L, 2), (x, y), cells of a 28x28 map
    returns : (336, 336, 3), uint8, RGB
    """
    picture = _fitted(ground)
    boxes = (CELL_PX * region_boxes(grain)).astype(int)
    if region is not None:
        left, top, right, bottom = boxes[region]
        dimmed = (DIMMED * picture).astype(np.uint8)
        dimmed[top:bottom, left:right] = picture[top:bottom, left:right]
        picture = dimmed
    for left, top, right, bottom in boxes.tolist():
        cv2.rectangle(picture, (left, top), (right - 1, bottom - 1), LINE, 1)
    return picture if path is None else _with_path(picture, path)


def scan_order_figure(ground: Image, *, region: int = 0, caption: str = "") -> go.Figure:
    """The order of the tokens in the four kinds of sequence."""
    kinds = [
        ("core", "windows", "coarse, windows<br>4 tokens"),
        ("sub", "windows", "fine, windows<br>16 tokens"),
        ("core", "pixels", "coarse, pixels<br>49 tokens of 2x2 cells"),
        ("sub", "pixels", "fine, pixels<br>49 tokens of one cell"),
    ]
    pictures = [
        region_picture(
            ground, grain, region if tokens == "pixels" else None, scan_path(grain, tokens, region)
        )
        for grain, tokens, _ in kinds
    ]
    return panel_grid(
        [image_panel(picture, quality=QUALITY) for picture in pictures],
        [words for _, _, words in kinds],
        "The way of the forward scan; the backward one returns on it",
        caption=caption,
        columns=4,
    )


def shaded_picture(ground: Image, grain: str, values: Floats, low: float, high: float) -> Image:
    """Each region in the colour of its value: (336, 336, 3).

    Shapes
    ------
    values : (R,), in the order of `region_names(grain)`
    """
    picture = _fitted(ground).astype(np.float32)
    colours = heat_picture(values[None], high, low)[0]
    for (left, top, right, bottom), colour in zip(
        (CELL_PX * region_boxes(grain)).astype(int), colours, strict=True
    ):
        inside = picture[top:bottom, left:right]
        picture[top:bottom, left:right] = (1 - SHADE) * inside + SHADE * colour
    return np.rint(picture).astype(np.uint8)


def shade_figure(
    ground: Image,
    shades: Mapping[str, tuple[str, Floats]],
    title: str,
    unit: str,
    *,
    caption: str = "",
    columns: int = 4,
) -> go.Figure:
    """Values of regions over the face, all on one scale.

    Parameters
    ----------
    shades
        By heading the grain and the values (R,) of its regions.
    """
    every = np.concatenate([values for _, values in shades.values()])
    low, high = float(every.min()), float(every.max())
    pictures = [shaded_picture(ground, *shade, low, high) for shade in shades.values()]
    return panel_grid(
        [image_panel(picture, quality=QUALITY) for picture in pictures],
        [plain(name) for name in shades],
        title,
        legend=Bar(unit, low, high),
        caption=caption,
        columns=columns,
    )


def received(weights: Floats) -> Floats:
    """What each region gives to the 20 on average: (..., 20, 20) to (..., 20). Sums to one."""
    return np.asarray(weights.mean(axis=-2), dtype=np.float32)


def attention_picture(ground: Image, weights: Floats, low: float, high: float) -> Image:
    """One head: sub-regions shaded by what they give on average, and the strongest links.

    A link runs from the region that is looked at (dot) to the one that takes from it. Core
    regions are squares. What a region takes from itself is left out.

    Shapes
    ------
    weights : (20, 20), rows add up to one
    returns : (336, 336, 3)
    """
    shares = received(weights)
    picture = shaded_picture(ground, "sub", shares[CORE_REGIONS:], low, high)
    places = np.round(CELL_PX * _region_centres()).astype(int).tolist()
    others = np.where(np.eye(len(weights), dtype=bool), 0.0, weights)
    strongest = np.argsort(others, axis=None)[::-1][:MOST_LINKS]
    for taker, giver in zip(*np.unravel_index(strongest, others.shape), strict=True):
        width = max(1, round(4 * float(others[taker, giver] / others.max())))
        for colour, more in ((RIM, 2), (PATH, 0)):
            cv2.line(picture, places[giver], places[taker], colour, width + more, cv2.LINE_AA)
        cv2.circle(picture, places[giver], 6, RIM, -1, cv2.LINE_AA)
        cv2.circle(picture, places[giver], 4, PATH, -1, cv2.LINE_AA)
    for (x, y), share in zip(places[:CORE_REGIONS], shares, strict=False):
        colour = heat_picture(np.full((1, 1), share, np.float32), high, low)[0, 0].tolist()
        cv2.rectangle(picture, (x - 9, y - 9), (x + 9, y + 9), RIM, -1)
        cv2.rectangle(picture, (x - 7, y - 7), (x + 7, y + 7), colour, -1)
    return picture


def attention_face_figure(ground: Image, weights: Floats, *, caption: str = "") -> go.Figure:
    """The fusion attention over the face, head by head, on one scale.

    Shapes
    ------
    weights : (heads, 20, 20)
    """
    shares = received(weights)
    low, high = float(shares.min()), float(shares.max())
    pictures = [attention_picture(ground, head, low, high) for head in weights]
    words = (
        f"Shade: what a region gives to the 20 on average; equal shares would be {1 / 20:.2f}."
        f" Small squares: the core regions. Lines: the {MOST_LINKS} strongest links of a head,"
        " with a dot at the region that is looked at."
    )
    return panel_grid(
        [image_panel(picture, quality=QUALITY) for picture in pictures],
        [f"head {number}" for number in range(1, len(weights) + 1)],
        "Fusion attention over the face",
        legend=Bar("share", low, high),
        caption=f"{words}\n{caption}",
        columns=min(len(weights), 4),
    )


def attention_heads_figure(weights: Floats, *, caption: str = "") -> go.Figure:
    """The 20x20 weights of every head.

    Shapes
    ------
    weights : (heads, 20, 20)
    """
    columns = min(len(weights), 2)
    rows = -(-len(weights) // columns)
    figure = make_subplots(
        rows=rows,
        cols=columns,
        horizontal_spacing=0.12,
        vertical_spacing=0.16,
        subplot_titles=[f"head {number}" for number in range(1, len(weights) + 1)],
    )
    for number, head in enumerate(weights):
        row, column = divmod(number, columns)
        figure.add_heatmap(
            z=head.round(4),
            x=REGION_LABELS,
            y=REGION_LABELS,
            zmin=0,
            zmax=float(weights.max()),
            colorscale="Cividis",
            showscale=number == 0,
            colorbar={"title": {"text": "share"}, "thickness": 14},
            hovertemplate="%{y} takes %{z:.3f} from %{x}<extra></extra>",
            row=row + 1,
            col=column + 1,
        )
    figure.update_xaxes(title="looked at", ticks="", showgrid=False, tickfont={"size": 9})
    figure.update_yaxes(
        title="looking", autorange="reversed", ticks="", showgrid=False, tickfont={"size": 9}
    )
    words = "T top, B bottom, L left, R right; TL.BR is the bottom right of the top left region."
    return finish(
        figure,
        "Fusion attention: who looks at whom",
        caption=f"{words} Rows add up to one.\n{caption}",
        height=340 * rows,
        least_width=700,
        most_width=900,
        top=84,
        right=70,
        bottom=84,
    )


def attention_against_figure(shares: Floats, falls: Floats, *, caption: str = "") -> go.Figure:
    """Attention against what holding a sub-region still does to the answer.

    Shapes
    ------
    shares, falls : (16,), in the order of `region_names("sub")`
    """
    figure = go.Figure()
    figure.add_scatter(
        x=shares.round(5),
        y=falls.round(5),
        mode="markers+text",
        text=REGION_LABELS[CORE_REGIONS:],
        textposition="top center",
        textfont={"size": 9},
        marker={"color": BLUE, "size": 9},
        hovertemplate="%{text}: attention %{x:.3f}, fall %{y:.3f}<extra></extra>",
    )
    figure.add_hline(y=0, line={"color": INK, "dash": "dot"})
    return finish(
        figure,
        "Does attention tell what matters?",
        caption=f"Below the dotted line: the answer is surer without the region.\n{caption}",
        height=300,
        most_width=700,
        left=72,
        xaxis={"title": "attention received (share, mean over heads)"},
        yaxis={"title": "fall of the probability"},
    )


def token_grid_html(numbers: Sequence[Sequence[int]], chosen: int | None = None) -> str:
    """The places of tokens in the sequence as a small table, laid out as on the face."""
    cell = "padding:1px 6px;text-align:right;border:1px solid rgba(125,132,142,.35)"
    rows = [
        "".join(
            f"<td style='{cell};font-weight:{'bold' if number == chosen else 'normal'}'>"
            f"{number}{' ◀' if number == chosen else ''}</td>"
            for number in row
        )
        for row in numbers
    ]
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return f"<table style='border-collapse:collapse;font-size:12px'>{body}</table>"


def token_order(grain: str, tokens: str, region: int) -> list[list[int]]:
    """The place of every token in its sequence, laid out as on the face: rows from the top."""
    path = scan_path(grain, tokens, region)
    order = np.lexsort((path[:, 0], path[:, 1]))  # by row, then by column
    side = round(len(path) ** 0.5)
    grid: list[list[int]] = order.reshape(side, side).tolist()
    return grid


def _region_centres() -> Floats:
    """Of the 4 core regions and the 16 sub-regions, (20, 2), cells of a 28x28 map."""
    return np.concatenate([scan_path(grain, "windows", 0) for grain in ("core", "sub")])


def _fitted(ground: Image) -> Image:
    enlarging = ground.shape[0] <= SIDE_PX
    how = cv2.INTER_NEAREST if ground.shape[0] == MAP_SIDE else cv2.INTER_AREA
    how = cv2.INTER_CUBIC if enlarging and ground.shape[0] != MAP_SIDE else how
    return np.asarray(cv2.resize(ground, (SIDE_PX, SIDE_PX), interpolation=how), dtype=np.uint8)


def _with_path(picture: Image, path: Floats) -> Image:
    """A line through the tokens, a ring at the first, numbers where there is room."""
    points = np.round(CELL_PX * path).astype(np.int32)
    for colour, width in ((RIM, 4), (PATH, 2)):
        cv2.polylines(picture, [points], False, colour, width, cv2.LINE_AA)
    numbered = len(points) <= 16
    for number, (x, y) in enumerate(points.tolist()):
        radius = 11 if numbered else (5 if number == 0 else 2)
        cv2.circle(picture, (x, y), radius + 1, RIM, -1, cv2.LINE_AA)
        cv2.circle(picture, (x, y), radius, PATH, -1, cv2.LINE_AA)
        if numbered:
            place = (x - 5 * len(str(number)), y + 5)
            cv2.putText(picture, str(number), place, 0, 0.45, RIM, 1, cv2.LINE_AA)
    return picture
