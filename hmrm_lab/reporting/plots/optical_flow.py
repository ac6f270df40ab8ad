"""Figures of motion: one flow field, and the clips that a system gets wrong."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from plotly import graph_objects as go
from plotly.subplots import make_subplots

from hmrm_lab.errors import InputError
from hmrm_lab.flow.normalise import without_median
from hmrm_lab.records import ClipKey, Floats, FlowSet, Predictions
from hmrm_lab.reporting.drawing import (
    Image,
    Mode,
    enlarged_flow,
    error_px,
    flow_picture,
    heat_picture,
    longest_px,
    outermost,
    strain_peak,
)
from hmrm_lab.reporting.panels import Bar, Legend, add_bar, add_wheel, image_panel, panel_grid
from hmrm_lab.reporting.style import finish, message_figure, plain

TITLES = {
    "colour": "Optical flow: hue is direction, saturation is length",
    "quiver": "Optical flow as arrows",
    "strain": "Optical strain",
}
ARROW_SHARPNESS = 2  # picture pixels per pixel of the frame
CARD_PX = 112  # a 28x28 map enlarged fourfold
CARDS_PER_ROW = 4


@dataclass(frozen=True)
class HardCase:
    """A wrong clip with what its system believed, averaged over seeds."""

    key: ClipKey
    truth: int
    prediction: int
    probability: float
    flow: Floats  # (2, H, W), the median motion taken away


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
    top = max_px or longest_px(flow_px)
    scale = ARROW_SHARPNESS if mode == "quiver" else 1
    picture = flow_picture(flow_px, mode, frame=frame, max_px=max_px, scale=scale)
    panels = [image_panel(picture, "jpeg" if mode == "quiver" else "png", scale)]
    if frame is not None:
        panels.insert(0, image_panel(frame))
    columns = [1.0] * len(panels) + ([0.35] if mode == "colour" else [])
    figure = make_subplots(cols=len(columns), column_widths=columns, horizontal_spacing=0.05)
    for column, panel in enumerate(panels, start=1):
        figure.add_trace(panel, row=1, col=column)
    figure.update_xaxes(title="x (px)", constrain="domain", showgrid=False)
    figure.update_yaxes(constrain="domain", showgrid=False)
    figure.update_yaxes(title="y (px)", row=1, col=1)
    words = f"Longest vector {longest_px(flow_px):.2f} px."
    if mode == "colour":
        add_wheel(figure, row=1, col=len(columns))
        words += f" Full saturation {top:.2f} px."
    elif mode == "quiver":
        words += f" The longest arrow stands for {top:.2f} px."
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


def hard_cases(predictions: Predictions, flowset: FlowSet, count: int = 8) -> list[HardCase]:
    """The clips most confidently wrong: mean probability over seeds, the worst first.

    `ValueError` if the maps are of other clips than the predictions.
    """
    columns = predictions.probabilities
    table = predictions.table.dropna(subset=columns)
    believed = table.groupby(["dataset", "subject", "clip"])[["truth", *columns]].mean()
    places = {key: place for place, key in enumerate(flowset.keys)}
    cases = []
    for row in believed.reset_index().to_dict("records"):
        key, truth = ClipKey(row["dataset"], row["subject"], row["clip"]), int(row["truth"])
        probabilities = np.array([row[name] for name in columns])
        guess = int(probabilities.argmax())
        if guess == truth:
            continue
        if key not in places:
            raise ValueError(f"the flow maps hold no clip {'/'.join(key)}")
        flow = without_median(flowset.maps[places[key], :2])
        cases.append(HardCase(key, truth, guess, float(probabilities[guess]), flow))
    return sorted(cases, key=lambda case: (-case.probability, case.key))[:count]


def hard_cases_figure(
    predictions: Predictions, flowset: FlowSet, count: int = 8, *, caption: str = ""
) -> go.Figure:
    """The flow maps of the clips most confidently wrong, each on a colour scale of its own."""
    title = "Most confidently wrong"
    cases = hard_cases(predictions, flowset, count)
    if not cases:
        return message_figure(
            title, "No clip is wrong, or the log holds no probabilities.", caption=caption
        )
    pictures = [flow_picture(enlarged_flow(case.flow, CARD_PX), "colour") for case in cases]
    scale = (
        "Onset-to-apex flow: hue is direction (wheel), saturation is length. The median motion"
        " (the head's) is taken away; the longest vector of each map has full saturation."
        " Per cent: mean probability of the wrong class."
    )
    return panel_grid(
        [image_panel(picture) for picture in pictures],
        [_heading(case, predictions.classes) for case in cases],
        title,
        legend="wheel",
        caption=f"{scale}\n{caption}",
        columns=CARDS_PER_ROW,
        row_px=190,
    )


def _heading(case: HardCase, classes: Sequence[str]) -> str:
    words = f"{classes[case.truth]} → <b>{classes[case.prediction]}</b> {case.probability:.0%}"
    subject, clip = case.key.subject, case.key.clip
    return f"{words}<br>{plain(clip if clip.startswith(subject) else f'{subject} {clip}')}"


REGION_GAP = 4  # cells between the maps of two regions
REGIONS_PX = 460
ARROW_STEP_PX = 20  # wider than in a large picture
QUALITY = 80  # of small pictures, many of which make a notebook large


def frames_figure(frames: Mapping[str, Image], title: str, *, caption: str = "") -> go.Figure:
    """Pictures side by side, each under its name.

    Shapes
    ------
    frames : each (H, W, 3), uint8, RGB
    """
    panels = [_small(frame) for frame in frames.values()]
    return panel_grid(panels, [plain(name) for name in frames], title, caption=caption, row_px=260)


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
    first = _first(fields)
    top, strain = longest_px(first), strain_peak(first)
    pictures = [
        flow_picture(
            field,
            mode,
            frame=frame,
            max_px=top or None,
            max_strain=strain or None,
            arrow_step_px=ARROW_STEP_PX,
        )
        for field in fields.values()
    ]
    legend: Legend = {
        "colour": "wheel",
        "quiver": None,
        "strain": Bar("strain (%)", 0.0, 100 * strain),
    }[mode]
    longest = {
        "colour": f"Full saturation is {top:.2f} px; longer vectors are darker.",
        "quiver": f"The longest arrow of the first picture stands for {top:.2f} px.",
        "strain": "The colours end at the peak of the first picture; what is above is yellow too.",
    }[mode]
    headings = [f"<b>{plain(name)}</b><br>{_most(field, mode)}" for name, field in fields.items()]
    return panel_grid(
        [_small(picture) for picture in pictures],
        headings,
        TITLES[mode],
        legend=legend,
        caption=f"{longest}\n{caption}",
        row_px=260,
    )


def error_figure(fields: Mapping[str, Floats], truth_px: Floats, *, caption: str = "") -> go.Figure:
    """Where each field is wrong: maps of the end-point error on one scale.

    Shapes
    ------
    fields : each (2, H, W), pixels
    truth_px : (2, H, W), pixels; a pixel whose truth is NaN is grey and does not count
    """
    _first(fields)
    errors = {name: error_px(field, truth_px) for name, field in fields.items()}
    top = outermost(np.stack(list(errors.values())))
    headings = [
        f"<b>{plain(name)}</b><br>mean {np.nanmean(error):.3f} px" for name, error in errors.items()
    ]
    scale = "One scale for all. One pixel in a thousand lies beyond it and is yellow too."
    return panel_grid(
        [_small(heat_picture(error, top)) for error in errors.values()],
        headings,
        "End-point error: the distance between estimate and truth",
        legend=Bar("error (px)", 0.0, top),
        caption=f"{scale}\n{caption}",
        row_px=260,
    )


def attention_figure(weights: Floats, names: Sequence[str] = (), *, caption: str = "") -> go.Figure:
    """What the last update attended to.

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
    low, high = float(weights.min()), float(weights.max())
    count = len(weights)
    equal = f"Equal shares would be {1 / count:.3f} everywhere."
    bar = Bar("share", low, high)
    if names:
        if len(names) != count:
            raise ValueError(f"{len(names)} names for {count} maps of attention")
        return panel_grid(
            [_small(heat_picture(share, high, low)) for share in weights],
            [
                f"<b>{plain(name)}</b><br>mean {share.mean():.3f}"
                for name, share in zip(names, weights, strict=True)
            ],
            "Attention over the steps",
            legend=bar,
            caption=f"{equal}\n{caption}",
            row_px=260,
        )
    panel = image_panel(heat_picture(_mosaic(weights), high, low), "png")
    return panel_grid(
        [panel],
        [f"{count} regions, each map at the place of its region"],
        "Attention over the regions",
        legend=bar,
        caption=f"{equal}\n{caption}",
        row_px=REGIONS_PX,
    )


def _most(field: Floats, mode: Mode) -> str:
    if mode == "strain":
        return f"peak {100 * strain_peak(field):.1f} %"
    return f"longest {longest_px(field):.2f} px"


def _small(picture: Image) -> go.Image:
    return image_panel(picture, quality=QUALITY)


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


def _first(fields: Mapping[str, Floats]) -> Floats:
    if not fields:
        raise ValueError("no motion field to show")
    return next(iter(fields.values()))


TOWARDS = (
    *("the right", "the upper right", "the top", "the upper left"),
    *("the left", "the lower left", "the bottom", "the lower right"),
)
STILL_PX = 0.005  # a length that is written as 0.00


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
            mend="count from 0 at the upper left",
        )
    u, v = flow_px[:, row, column].tolist()
    return u, v


def point_words(fields_px: Mapping[str, Floats], point: tuple[int, int]) -> list[str]:
    """The same in sentences, one a field; of two fields also how far they are apart.

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
    towards = TOWARDS[round(angle / 45) % len(TOWARDS)]
    return f"{words}: {length:.2f} px to {towards} ({angle:.0f}°)"


def _angle(u: float, v: float) -> float:
    """Degrees from the right towards the top; v points down."""
    return math.degrees(math.atan2(-v, u)) % 360
