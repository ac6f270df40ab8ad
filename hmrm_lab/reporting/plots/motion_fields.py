"""Figures of motion: fields, methods side by side, errors, readings at one point; MotionMix."""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from plotly import express as px
from plotly import graph_objects as go

from hmrm_lab.errors import InputError
from hmrm_lab.records import Floats, Ints
from hmrm_lab.reporting import drawing
from hmrm_lab.reporting.drawing import Image, Mode, flow_picture, heat_picture, longest_px
from hmrm_lab.reporting.plots.kit import Bar, Legend, headed, image_panels
from hmrm_lab.reporting.style import CLASS_COLOURS, INK, VERMILLION, finish, plain

TITLES = {
    "colour": "Optical flow: hue is direction, saturation is length",
    "quiver": "Optical flow as arrows",
    "strain": "Optical strain",
}
ARROW_SHARPNESS = 2  # picture pixels per pixel of the frame
ARROW_STEP_PX = 20  # in small pictures
DIRECTIONS = (
    *("the right", "the upper right", "the top", "the upper left"),
    *("the left", "the lower left", "the bottom", "the lower right"),
)
STILL_PX = 0.005  # a length that is written as 0.00
SIDE_PX, CARD_PX = 224, 112
MASK_TINT = 0.5
Faces = tuple[Image | None, Image | None]


def flow_figure(
    frame: Image | None,
    flow_px: Floats,
    *,
    mode: Mode = "colour",
    max_px: float | None = None,
    caption: str = "",
) -> go.Figure:
    """One flow field (2, H, W), pixels, beside the frame (H, W, 3) where there is one."""
    scale = ARROW_SHARPNESS if mode == "quiver" else 1
    picture = flow_picture(flow_px, mode, frame=frame, max_px=max_px, scale=scale)
    longest = longest_px(flow_px)
    panels = [] if frame is None else [("frame", frame)]
    panels.append((f"longest vector {longest:.2f} px", picture))
    strain = Bar("strain (%)", 0.0, 100 * drawing.strain_peak(flow_px))
    darker = "; longer vectors are darker" if max_px and longest > max_px else ""
    legends: dict[Mode, tuple[Legend, str]] = {
        "colour": ("wheel", f"Full saturation is {max_px or longest:.2f} px{darker}."),
        "quiver": (None, f"The longest arrow stands for {max_px or longest:.2f} px."),
        "strain": (strain, "Yellow is the peak and above."),
    }
    legend, words = legends[mode]
    caption = f"{words}\n{caption}"
    return image_panels(panels, TITLES[mode], legend=legend, caption=caption, columns=2)


def flow_gallery_figure(
    fields: Mapping[str, Floats],
    *,
    mode: Mode = "colour",
    frame: Image | None = None,
    caption: str = "",
) -> go.Figure:
    """Several motion fields (2, H, W) on one scale: that of the first, be it the exact one.

    The frame, (H, W, 3), is drawn under arrows.
    """
    if not fields:
        raise ValueError("no motion field to show")
    first = next(iter(fields.values()))
    top, strain = longest_px(first), drawing.strain_peak(first)
    drawn = partial(flow_picture, mode=mode, frame=frame, arrow_step_px=ARROW_STEP_PX)
    panels = []
    for name, field in fields.items():
        words = f"longest {longest_px(field):.2f} px"
        if mode == "strain":
            words = f"peak {100 * drawing.strain_peak(field):.1f} %"
        picture = drawn(field, max_px=top or None, max_strain=strain or None)
        panels.append((headed(name, words), picture))
    legends: dict[Mode, tuple[Legend, str]] = {
        "colour": ("wheel", f"Full saturation is {top:.2f} px; longer vectors are darker."),
        "quiver": (None, f"The longest arrow of the first picture stands for {top:.2f} px."),
        "strain": (
            Bar("strain (%)", 0.0, 100 * strain),
            "The colours end at the peak of the first picture; what is above is yellow too.",
        ),
    }
    legend, explained = legends[mode]
    caption = f"{explained}\n{caption}"
    return image_panels(panels, TITLES[mode], legend=legend, caption=caption)


def error_figure(fields: Mapping[str, Floats], truth_px: Floats, *, caption: str = "") -> go.Figure:
    """Maps of the end-point error of each field (2, H, W), pixels, on one scale.

    A pixel whose truth is NaN is grey and does not count.
    """
    errors = {name: drawing.error_px(field, truth_px) for name, field in fields.items()}
    top = drawing.percentile_99_9(np.stack(list(errors.values())))
    panels = [
        (headed(name, f"mean {np.nanmean(error):.3f} px"), heat_picture(error, top))
        for name, error in errors.items()
    ]
    title = "End-point error: the distance between estimate and truth"
    legend = Bar("error (px)", 0, top)
    beyond = "One scale for all. One pixel in a thousand lies beyond it and is yellow too."
    return image_panels(panels, title, legend=legend, caption=f"{beyond}\n{caption}")


def point_table(fields_px: Mapping[str, Floats], point: tuple[int, int]) -> pd.DataFrame:
    """u, v, length and direction of each field (2, H, W), pixels, at a point, one row a field.

    The point is column and row, counted from the upper left; an `InputError` if it is not in a
    field. The direction is an angle as seen on the picture: 0 degrees to the right, 90 to the top.
    It is missing where the length is 0 to the second decimal.
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
    """u and v at column and row; an `InputError` if the point is not in the field."""
    column, row = point
    height, width = flow_px.shape[1:]
    if not (0 <= column < width and 0 <= row < height):
        problem = f"point ({column}, {row}) is not in a field of {width} columns and {height} rows"
        raise InputError(problem, hint="count from 0 at the upper left")
    u, v = flow_px[:, row, column].tolist()
    return u, v


def vector_words(u: float, v: float) -> str:
    """A vector in a phrase, such as `u +0.52 px, v -0.31 px: 0.61 px to the upper right (31°)`."""
    length, words = math.hypot(u, v), f"u {u:+.2f} px, v {v:+.2f} px"
    if not math.isfinite(length):
        return "not known"
    if length < STILL_PX:
        return f"{words}: no motion"
    angle = _angle(u, v)
    towards = DIRECTIONS[round(angle / 45) % len(DIRECTIONS)]
    return f"{words}: {length:.2f} px to {towards} ({angle:.0f}°)"


class Scale(NamedTuple):
    """Ends of the colour scales: the strongest of both clips, so that all pictures compare."""

    longest: float
    strain: float


def scale_of(*maps: Floats) -> Scale:
    return Scale(
        max(longest_px(m[:2]) for m in maps), max(drawing.percentile_99_9(m[2]) for m in maps)
    )


def scale_words(mode: Mode, scale: Scale, unit: str = "px") -> str:
    return {
        "colour": f"Full saturation is {scale.longest:.2f} {drawing.unit_words(unit)}.",
        "quiver": f"The longest arrow stands for {scale.longest:.2f} {drawing.unit_words(unit)}.",
        "strain": "Yellow is the strongest strain of both clips, dark blue is none.",
    }[mode]


def motion_picture(
    motion: Floats, mode: Mode, scale: Scale, frame: Image | None = None, side: int = SIDE_PX
) -> Image:
    """A motion map (u, v, strain) of (3, h, h), its cells as squares: (side, side, 3).

    Strain is the map's own, not that of the cells. The frame, (h, h, 3), is drawn under arrows.
    """
    top = scale.longest or None
    if mode == "strain":
        return _squares(heat_picture(motion[2], scale.strain), side)
    if mode == "colour":
        return _squares(flow_picture(motion[:2], "colour", max_px=top), side)
    flow = [cv2.resize(part, (side, side), interpolation=cv2.INTER_NEAREST) for part in motion[:2]]
    ground = None if frame is None else _squares(frame, side)
    return flow_picture(np.stack(flow), mode, frame=ground, max_px=top, arrow_step_px=ARROW_STEP_PX)


def mask_picture(mask: NDArray[np.bool_], frame: Image | None = None, side: int = SIDE_PX) -> Image:
    """The mask in red over the frame, or over grey: (side, side, 3)."""
    picture = np.full((*mask.shape, 3), drawing.BLANK, np.uint8) if frame is None else frame.copy()
    picture[mask] = drawing.blended(picture[mask], drawing.rgb(VERMILLION), MASK_TINT)
    return _squares(picture, side)


def outlined(picture: Image, mask: NDArray[np.bool_]) -> Image:
    height, width = picture.shape[:2]
    large = cv2.resize(mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
    edges, _ = cv2.findContours(large, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    drawn = picture.copy()
    cv2.drawContours(drawn, edges, -1, drawing.RIM, max(1, width // SIDE_PX), cv2.LINE_AA)
    return drawn


def mix_figure(
    own: Floats,
    partner: Floats,
    mask: NDArray[np.bool_],
    mixed: Floats,
    *,
    mode: Mode = "colour",
    frames: Faces = (None, None),
    unit: str = "px",
    caption: str = "",
) -> go.Figure:
    """A, B, mask and mixture side by side on one scale, the border of the mask in each.

    Maps are (3, h, h), order (u, v, strain); the mask (h, h), bool; `frames` the faces of `own` and
    `partner`, if there are any: (h, h, 3), uint8, RGB.
    """
    scale = scale_of(own, partner)
    face, other_face = frames
    motions = ((own, face), (partner, other_face), (mixed, face))
    a, b, mixture = (
        outlined(motion_picture(motion, mode, scale, ground), mask) for motion, ground in motions
    )
    covered = f"mask M, {mask.mean():.0%} of the map"
    panels = {"clip A": a, "clip B": b, covered: mask_picture(mask, face)}
    panels["<b>mixture</b>"] = mixture
    strain = Bar("strain", 0, scale.strain)
    if unit == "px":
        strain = Bar("strain (%)", 0, 100 * scale.strain)
    legends: dict[Mode, Legend] = {"colour": "wheel", "quiver": None, "strain": strain}
    title = "MotionMix: the partner's motion inside the mask"
    caption = f"{scale_words(mode, scale, unit)}\n{caption}"
    return image_panels(panels, title, legend=legends[mode], caption=caption, columns=4)


def blend_figure(mixtures: Mapping[float, Floats], *, unit: str = "px") -> go.Figure:
    """One pair (3, h, h) at several strengths, by lambda, on the scale of all."""
    scale = scale_of(*mixtures.values())
    panels = {f"λ = {k:g}": motion_picture(mixed, "colour", scale) for k, mixed in mixtures.items()}
    title = "From A to the hard swap"
    caption = scale_words("colour", scale, unit)
    return image_panels(panels, title, legend="wheel", caption=caption, columns=5)


def gallery_by_class_figure(
    rows: Mapping[str, Sequence[tuple[str, Floats]]], title: str, *, caption: str = ""
) -> go.Figure:
    """A row of maps for each class, all rows equally long; each map has a scale of its own.

    Each card is its heading and its map (C, H, W).
    """
    cards = [
        (f"{plain(name)}<br>{plain(text)}", _squares(flow_picture(m[:2], "colour"), CARD_PX))
        for name, of_class in rows.items()
        for text, m in of_class
    ]
    caption = f"The longest vector of each map has full saturation.\n{caption}"
    columns = max(map(len, rows.values()))
    return image_panels(cards, title, legend="wheel", caption=caption, columns=columns)


def means_by_class_figure(
    groups: Mapping[str, tuple[Floats, Ints]],
    classes: Sequence[str],
    *,
    unit: str = "px",
    caption: str = "",
) -> go.Figure:
    """The mean map of every class in every group, all on one scale.

    Groups are by name the maps (n, C, H, W) and their labels (n,).
    """
    means = {
        f"{word}<br>{(labels == label).sum()} {plain(name)}": maps[labels == label, :2].mean(0)
        for name, (maps, labels) in groups.items()
        for label, word in enumerate(classes)
        if (labels == label).any()
    }
    top = max(longest_px(mean) for mean in means.values())
    panels = {
        heading: _squares(flow_picture(mean, "colour", max_px=top), CARD_PX)
        for heading, mean in means.items()
    }
    title, columns = "Mean map of each class", len(classes)
    caption = f"Full saturation is {top:.2f} {drawing.unit_words(unit)}.\n{caption}"
    return image_panels(panels, title, legend="wheel", caption=caption, columns=columns)


def distance_figure(table: pd.DataFrame, *, unit: str = "px", caption: str = "") -> go.Figure:
    """Distance to the nearest original of one's class against that of the other classes.

    `table` is that of `mixing.distance_table`.
    """
    known = table.dropna(subset=["own", "other"]).round(3)
    orders = {"class": sorted(table["class"].unique()), "kind": ["original", "mixture"]}
    looks = {"color": "class", "symbol": "kind", "color_discrete_sequence": CLASS_COLOURS}
    marks = {"original": "circle", "mixture": "x-thin-open"}
    figure = px.scatter(
        known, x="own", y="other", **looks, category_orders=orders, symbol_map=marks
    )
    figure.update_traces(marker_size=9, hovertemplate="own class %{x:.2f}<br>other class %{y:.2f}")
    ends = [0.0, 1.1 * float(known[["own", "other"]].to_numpy().max(initial=0.0)) or 1.0]
    dotted = {"color": INK, "dash": "dot"}
    figure.add_scatter(x=ends, y=ends, mode="lines", line=dotted, showlegend=False)
    title = "Nearest original: own class against the others"
    x = {"title": f"nearest of the same class ({unit})", "range": ends}
    y = {"title": f"nearest of another class ({unit})", "range": ends}
    caption = f"Dotted: equally near. Below it another class is nearer.\n{caption}"
    return finish(figure, title, x, y, caption=caption, height=380, widths=(0, 640))


def _angle(u: float, v: float) -> float:
    """Degrees from the right towards the top; v points down."""
    return math.degrees(math.atan2(-v, u)) % 360


def _squares(picture: Image, side: int) -> Image:
    """Enlarged or reduced without smoothing, so that cells stay cells."""
    return drawing.resized(picture, side, cv2.INTER_NEAREST)
