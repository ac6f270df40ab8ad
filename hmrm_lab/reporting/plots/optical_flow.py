"""Figures of motion: fields, methods side by side, errors, attention; readings at one point."""

import math
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd
from plotly import graph_objects as go
from plotly.subplots import make_subplots

from hmrm_lab.errors import InputError
from hmrm_lab.records import Floats
from hmrm_lab.reporting.drawing import (
    Image,
    Mode,
    error_px,
    flow_picture,
    heat_picture,
    longest_px,
    percentile_99_9,
    strain_peak,
)
from hmrm_lab.reporting.plots.kit import Bar, Legend, add_bar, add_wheel, image_panel, image_panels
from hmrm_lab.reporting.style import finish, plain

TITLES = {
    "colour": "Optical flow: hue is direction, saturation is length",
    "quiver": "Optical flow as arrows",
    "strain": "Optical strain",
}
ARROW_SHARPNESS = 2  # picture pixels per pixel of the frame
ARROW_STEP_PX = 20  # in small pictures
ROW_PX = 260
REGION_GAP = 4  # cells between the maps of two regions
DIRECTIONS = (
    *("the right", "the upper right", "the top", "the upper left"),
    *("the left", "the lower left", "the bottom", "the lower right"),
)
STILL_PX = 0.005  # a length that is written as 0.00


def frames_figure(frames: Mapping[str, Image], title: str, *, caption: str = "") -> go.Figure:
    """Pictures side by side, each under its name.

    Shapes
    ------
    frames : each (H, W, 3), uint8, RGB
    """
    names = [plain(name) for name in frames]
    return image_panels(list(frames.values()), names, title, caption=caption, row_px=ROW_PX)


def flow_figure(
    frame: Image | None,
    flow_px: Floats,
    *,
    mode: Mode = "colour",
    max_px: float | None = None,
    caption: str = "",
) -> go.Figure:
    """One flow field, beside the frame where there is one.

    Shapes
    ------
    frame : (H, W, 3), uint8, RGB
    flow_px : (2, H, W), pixels
    """
    scale = ARROW_SHARPNESS if mode == "quiver" else 1
    picture = flow_picture(flow_px, mode, frame=frame, max_px=max_px, scale=scale)
    panels = [image_panel(picture, "jpeg" if mode == "quiver" else "png", scale)]
    if frame is not None:
        panels.insert(0, image_panel(frame))
    widths = [1.0] * len(panels) + [0.35] * (mode == "colour")
    figure = make_subplots(cols=len(widths), column_widths=widths, horizontal_spacing=0.05)
    for column, panel in enumerate(panels, start=1):
        figure.add_trace(panel, row=1, col=column)
    figure.update_xaxes(title="x (px)", constrain="domain", showgrid=False)
    figure.update_yaxes(constrain="domain", showgrid=False)
    figure.update_yaxes(title="y (px)", row=1, col=1)
    longest = longest_px(flow_px)
    words = f"Longest vector {longest:.2f} px."
    if mode == "colour":
        add_wheel(figure, row=1, col=len(widths))
        words += f" Full saturation {max_px or longest:.2f} px."
    elif mode == "quiver":
        words += f" The longest arrow stands for {max_px or longest:.2f} px."
    else:
        add_bar(figure, Bar("strain (%)", 0.0, 100 * strain_peak(flow_px)))
    return finish(
        figure,
        TITLES[mode],
        caption=f"{words}\n{caption}",
        height=300,
        least_width=300 * len(panels) + 120,
        most_width=360 * len(panels) + 120,
    )


def flow_gallery_figure(
    fields: Mapping[str, Floats],
    *,
    mode: Mode = "colour",
    frame: Image | None = None,
    caption: str = "",
) -> go.Figure:
    """Several motion fields of one pair on one scale: that of the first, be it the exact one.

    Shapes
    ------
    fields : each (2, H, W), pixels
    frame : (H, W, 3), uint8, RGB; drawn under arrows
    """
    if not fields:
        raise ValueError("no motion field to show")
    first = next(iter(fields.values()))
    top, strain = longest_px(first), strain_peak(first)
    drawn = partial(flow_picture, mode=mode, frame=frame, arrow_step_px=ARROW_STEP_PX)
    pictures = [
        drawn(field, max_px=top or None, max_strain=strain or None) for field in fields.values()
    ]
    headings = [
        f"peak {100 * strain_peak(field):.1f} %"
        if mode == "strain"
        else f"longest {longest_px(field):.2f} px"
        for field in fields.values()
    ]
    legends: dict[Mode, tuple[Legend, str]] = {
        "colour": ("wheel", f"Full saturation is {top:.2f} px; longer vectors are darker."),
        "quiver": (None, f"The longest arrow of the first picture stands for {top:.2f} px."),
        "strain": (
            Bar("strain (%)", 0.0, 100 * strain),
            "The colours end at the peak of the first picture; what is above is yellow too.",
        ),
    }
    legend, words = legends[mode]
    return image_panels(
        pictures,
        _under_names(fields, headings),
        TITLES[mode],
        legend=legend,
        caption=f"{words}\n{caption}",
        row_px=ROW_PX,
    )


def error_figure(fields: Mapping[str, Floats], truth_px: Floats, *, caption: str = "") -> go.Figure:
    """Maps of the end-point error of each field, on one scale.

    Shapes
    ------
    fields : each (2, H, W), pixels
    truth_px : (2, H, W), pixels; a pixel whose truth is NaN is grey and does not count
    """
    if not fields:
        raise ValueError("no motion field to show")
    errors = [error_px(field, truth_px) for field in fields.values()]
    top = percentile_99_9(np.stack(errors))
    return image_panels(
        [heat_picture(error, top) for error in errors],
        _under_names(fields, [f"mean {np.nanmean(error):.3f} px" for error in errors]),
        "End-point error: the distance between estimate and truth",
        legend=Bar("error (px)", 0.0, top),
        caption="One scale for all. One pixel in a thousand lies beyond it and is yellow too.\n"
        + caption,
        row_px=ROW_PX,
    )


def attention_figure(weights: Floats, names: Sequence[str] = (), *, caption: str = "") -> go.Figure:
    """Attention of the last update.

    Parameters
    ----------
    names
        The hidden states, where attention is over the steps so far: a map for each, which shows
        at every pixel the share of that state. Without names, attention is over the regions of a
        square grid: the small map at the place of a region shows at every pixel the share of
        that region.

    Shapes
    ------
    weights : (J, h, w); the shares of a pixel add up to 1. J is the number of names, or a square

    Raises
    ------
    ValueError
        If J is neither.
    """
    low, high, count = float(weights.min()), float(weights.max()), len(weights)
    if names and len(names) != count:
        raise ValueError(f"{len(names)} names for {count} maps of attention")
    maps = list(weights) if names else [_mosaic(weights)]
    means = [f"mean {share.mean():.3f}" for share in weights]
    one = [f"{count} regions, each map at the place of its region"]
    return image_panels(
        [heat_picture(share, high, low) for share in maps],
        _under_names(names, means) if names else one,
        "Attention over the steps" if names else "Attention over the regions",
        legend=Bar("share", low, high),
        caption=f"Equal shares would be {1 / count:.3f} everywhere.\n{caption}",
        row_px=ROW_PX if names else 460,
        kind="jpeg" if names else "png",
    )


def point_table(fields_px: Mapping[str, Floats], point: tuple[int, int]) -> pd.DataFrame:
    """u, v, length and direction of each field at a point, one row a field.

    The direction is an angle as seen on the picture: 0 degrees to the right, 90 to the top. It is
    missing where the length is 0 to the second decimal.

    Parameters
    ----------
    point
        Column and row, counted from the upper left.

    Shapes
    ------
    fields_px : (2, H, W) each, order (u, v), pixels

    Raises
    ------
    InputError
        If the point is not in a field.
    """
    rows = {}
    for name, field in fields_px.items():
        u, v = vector_at(field, point)
        length = math.hypot(u, v)
        rows[name] = {
            "u (px)": u,
            "v (px)": v,
            "length (px)": length,
            "direction (degrees)": _angle(u, v) if length >= STILL_PX else math.nan,
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def vector_at(flow_px: Floats, point: tuple[int, int]) -> tuple[float, float]:
    """u and v at column and row.

    Raises
    ------
    InputError
        If the point is not in the field.
    """
    column, row = point
    height, width = flow_px.shape[1:]
    if not (0 <= column < width and 0 <= row < height):
        raise InputError(
            f"point ({column}, {row}) is not in a field of {width} columns and {height} rows",
            hint="count from 0 at the upper left",
        )
    u, v = flow_px[:, row, column].tolist()
    return u, v


def point_words(fields_px: Mapping[str, Floats], point: tuple[int, int]) -> list[str]:
    """The readings of `point_table` in sentences; of two fields also how far they are apart.

    Raises
    ------
    InputError
        If the point is not in a field.
    """
    vectors = {name: vector_at(field, point) for name, field in fields_px.items()}
    words = [f"{name}: {vector_words(u, v)}." for name, (u, v) in vectors.items()]
    if len(vectors) == 2:
        words.append(f"The two are {math.dist(*vectors.values()):.2f} px apart.")
    return words


def vector_words(u: float, v: float) -> str:
    """A vector in a phrase, such as `u +0.52 px, v -0.31 px: 0.61 px to the upper right (31°)`."""
    length = math.hypot(u, v)
    words = f"u {u:+.2f} px, v {v:+.2f} px"
    if not math.isfinite(length):
        return "not known"
    if length < STILL_PX:
        return f"{words}: no motion"
    angle = _angle(u, v)
    towards = DIRECTIONS[round(angle / 45) % len(DIRECTIONS)]
    return f"{words}: {length:.2f} px to {towards} ({angle:.0f}°)"


def _under_names(names: Sequence[str] | Mapping[str, Floats], words: Sequence[str]) -> list[str]:
    """Headings of two lines."""
    return [f"<b>{plain(name)}</b><br>{word}" for name, word in zip(names, words, strict=True)]


def _mosaic(weights: Floats) -> Floats:
    """The maps of a square grid of regions in one, with gaps of NaN."""
    side = math.isqrt(len(weights))
    if side * side != len(weights):
        raise ValueError(f"{len(weights)} regions are no square grid; name the maps")
    gap = ((0, 0), (0, REGION_GAP), (0, REGION_GAP))
    spaced = np.pad(weights, gap, constant_values=np.nan)
    _, height, width = spaced.shape
    rows = spaced.reshape(side, side, height, width).transpose(0, 2, 1, 3)
    joined = rows.reshape(side * height, side * width)
    return np.asarray(joined[:-REGION_GAP, :-REGION_GAP], dtype=np.float32)


def _angle(u: float, v: float) -> float:
    """Degrees from the right towards the top; v points down."""
    return math.degrees(math.atan2(-v, u)) % 360
