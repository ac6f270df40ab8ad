"""Figures of MotionMix: two clips, the mask, their mixture; classes before and after."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from plotly import graph_objects as go

from hmrm_lab.records import Floats, Ints
from hmrm_lab.reporting.drawing import (
    BLANK,
    RIM,
    Image,
    Mode,
    blended,
    flow_picture,
    heat_picture,
    longest_px,
    percentile_99_9,
    resized,
    rgb,
    unit_words,
)
from hmrm_lab.reporting.plots.kit import Bar, Legend, image_panels
from hmrm_lab.reporting.style import CLASS_COLOURS, INK, VERMILLION, finish, plain

SIDE_PX = 224
CARD_PX = 112
ROW_PX = 170
ARROW_STEP_PX = 20
MASK_TINT = 0.5

Faces = tuple[Image | None, Image | None]


class Scale(NamedTuple):
    """Ends of the colour scales: the strongest of both clips, so that all pictures compare."""

    longest: float
    strain: float


def scale_of(*maps: Floats) -> Scale:
    """The scale for maps (3, H, W) that are shown side by side."""
    return Scale(max(longest_px(m[:2]) for m in maps), max(percentile_99_9(m[2]) for m in maps))


def motion_picture(
    motion: Floats, mode: Mode, scale: Scale, frame: Image | None = None, side: int = SIDE_PX
) -> Image:
    """A motion map, its cells as squares; strain is the map's own, not that of the cells.

    Shapes
    ------
    motion : (3, h, h), order (u, v, strain)
    frame : (h, h, 3), uint8, RGB; drawn under arrows
    returns : (side, side, 3), uint8, RGB
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
    picture = np.full((*mask.shape, 3), BLANK, np.uint8) if frame is None else frame.copy()
    picture[mask] = blended(picture[mask], rgb(VERMILLION), MASK_TINT)
    return _squares(picture, side)


def mix_pictures(
    own: Floats,
    partner: Floats,
    mask: NDArray[np.bool_],
    mixed: Floats,
    mode: Mode = "colour",
    *,
    frames: Faces = (None, None),
) -> dict[str, Image]:
    """A, B, mask and mixture on one scale, the border of the mask in each.

    Shapes
    ------
    own, partner, mixed : (3, h, h), order (u, v, strain)
    mask : (h, h), bool
    frames : (h, h, 3) each, uint8, RGB; the faces of `own` and `partner`, if there are any
    """
    face, other_face = frames
    scale = scale_of(own, partner)

    def drawn(motion: Floats, ground: Image | None) -> Image:
        return outlined(motion_picture(motion, mode, scale, ground), mask)

    return {
        "A": drawn(own, face),
        "B": drawn(partner, other_face),
        "mask": mask_picture(mask, face),
        "mixture": drawn(mixed, face),
    }


def outlined(picture: Image, mask: NDArray[np.bool_]) -> Image:
    """A picture with the border of the mask drawn in."""
    height, width = picture.shape[:2]
    large = cv2.resize(mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
    edges, _ = cv2.findContours(large, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    drawn = picture.copy()
    cv2.drawContours(drawn, edges, -1, RIM, max(1, width // SIDE_PX), cv2.LINE_AA)
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
    """A, B, mask and mixture side by side; shapes as in `mix_pictures`."""
    pictures = mix_pictures(own, partner, mask, mixed, mode, frames=frames)
    scale = scale_of(own, partner)
    strain = (
        Bar("strain (%)", 0, 100 * scale.strain) if unit == "px" else Bar("strain", 0, scale.strain)
    )
    legends: dict[Mode, Legend] = {"colour": "wheel", "quiver": None, "strain": strain}
    return image_panels(
        list(pictures.values()),
        ["clip A", "clip B", f"mask M, {mask.mean():.0%} of the map", "<b>mixture</b>"],
        "MotionMix: the partner's motion inside the mask",
        legend=legends[mode],
        caption=f"{scale_words(mode, scale, unit)}\n{caption}",
        columns=4,
    )


def blend_figure(mixtures: Mapping[float, Floats], *, unit: str = "px") -> go.Figure:
    """One pair at several strengths, by lambda, on the scale of all.

    Shapes
    ------
    mixtures : each (3, h, h)
    """
    scale = scale_of(*mixtures.values())
    return image_panels(
        [motion_picture(mixture, "colour", scale) for mixture in mixtures.values()],
        [f"λ = {strength:g}" for strength in mixtures],
        "From A to the hard swap",
        legend="wheel",
        caption=scale_words("colour", scale, unit),
        columns=5,
        row_px=ROW_PX,
    )


def scale_words(mode: Mode, scale: Scale, unit: str = "px") -> str:
    """The end of the scale of `mix_pictures` in a sentence."""
    return {
        "colour": f"Full saturation is {scale.longest:.2f} {unit_words(unit)}.",
        "quiver": f"The longest arrow stands for {scale.longest:.2f} {unit_words(unit)}.",
        "strain": "Yellow is the strongest strain of both clips, dark blue is none.",
    }[mode]


def gallery_by_class_figure(
    rows: Mapping[str, Sequence[tuple[str, Floats]]], title: str, *, caption: str = ""
) -> go.Figure:
    """A row of maps for each class, all rows equally long; each map has a scale of its own.

    Parameters
    ----------
    rows
        For each class the heading and the map (C, H, W) of every card.
    """
    cards = [(f"{plain(name)}<br>{plain(text)}", m) for name in rows for text, m in rows[name]]
    return image_panels(
        [_squares(flow_picture(m[:2], "colour"), CARD_PX) for _, m in cards],
        [heading for heading, _ in cards],
        title,
        legend="wheel",
        caption=f"The longest vector of each map has full saturation.\n{caption}",
        columns=max(map(len, rows.values())),
        row_px=ROW_PX,
    )


def means_by_class_figure(
    groups: Mapping[str, tuple[Floats, Ints]],
    classes: Sequence[str],
    *,
    unit: str = "px",
    caption: str = "",
) -> go.Figure:
    """The mean map of every class in every group, all on one scale.

    Shapes
    ------
    groups : by name the maps (n, C, H, W) and their labels (n,)
    """
    means = {
        f"{word}<br>{(labels == label).sum()} {plain(name)}": maps[labels == label, :2].mean(0)
        for name, (maps, labels) in groups.items()
        for label, word in enumerate(classes)
        if (labels == label).any()
    }
    top = max(longest_px(mean) for mean in means.values())
    return image_panels(
        [_squares(flow_picture(mean, "colour", max_px=top), CARD_PX) for mean in means.values()],
        list(means),
        "Mean map of each class",
        legend="wheel",
        caption=f"Full saturation is {top:.2f} {unit_words(unit)}.\n{caption}",
        columns=len(classes),
        row_px=220,
    )


def distance_figure(table: pd.DataFrame, *, unit: str = "px", caption: str = "") -> go.Figure:
    """Distance to the nearest original of one's class against that of the other classes.

    Parameters
    ----------
    table
        As `augment.account.distance_table` gives it.
    """
    figure = go.Figure()
    known = table.dropna(subset=["own", "other"])
    for kind, symbol, width in (("original", "circle", 0), ("mixture", "x-thin", 2)):
        for name, colour in zip(sorted(table["class"].unique()), CLASS_COLOURS, strict=False):
            rows = known[(known["kind"] == kind) & (known["class"] == name)]
            line = {"color": colour, "width": width}
            figure.add_scatter(
                x=rows["own"].round(3),
                y=rows["other"].round(3),
                name=f"{kind}, {name}",
                mode="markers",
                marker={"color": colour, "symbol": symbol, "size": 9, "line": line},
                hovertemplate="own class %{x:.2f}<br>other class %{y:.2f}",
            )
    ends = [0.0, 1.1 * float(known[["own", "other"]].to_numpy().max(initial=0.0)) or 1.0]
    figure.add_scatter(
        x=ends, y=ends, mode="lines", line={"color": INK, "dash": "dot"}, showlegend=False
    )
    return finish(
        figure,
        "Nearest original: own class against the others",
        caption=f"Dotted: equally near. Below it another class is nearer.\n{caption}",
        height=380,
        most_width=640,
        x={"title": f"nearest of the same class ({unit})", "range": ends},
        y={"title": f"nearest of another class ({unit})", "range": ends},
    )


def _squares(picture: Image, side: int) -> Image:
    """Enlarged or reduced without smoothing, so that cells stay cells."""
    return resized(picture, side, cv2.INTER_NEAREST)
