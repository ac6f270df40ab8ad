"""MotionMix drawn: two clips, the mask, their mixture; classes before and after."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from plotly import graph_objects as go

from hmrm_lab.records import Floats, Ints
from hmrm_lab.reporting.flow_colour import Image
from hmrm_lab.reporting.panels import Bar, Legend, image_panel, panel_grid
from hmrm_lab.reporting.pictures import (
    BLANK,
    Mode,
    flow_picture,
    heat_picture,
    longest_px,
    outermost,
    unit_words,
)
from hmrm_lab.reporting.style import CLASS_COLOURS, INK, finish, plain

SIDE_PX = 224
CARD_PX = 112
ARROW_STEP_PX = 20
TINT, MASK_COLOUR, OUTLINE = 0.5, (213, 94, 0), (20, 20, 20)
QUALITY = 80  # of small pictures, many of which make a notebook large

Faces = tuple[Image | None, Image | None]


class Scale(NamedTuple):
    """What the colours end at: the strongest of both clips, so that all pictures compare."""

    longest: float
    strain: float


def scale_of(*maps: Floats) -> Scale:
    """The scale for maps (3, H, W) that are shown side by side."""
    return Scale(max(longest_px(m[:2]) for m in maps), max(outermost(m[2]) for m in maps))


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
    if mode == "strain":
        return _squares(heat_picture(motion[2], scale.strain), side)
    top = scale.longest or None
    if mode == "colour":
        return _squares(flow_picture(motion[:2], "colour", max_px=top), side)
    flow = np.stack([_enlarged(plane, side) for plane in motion[:2]])
    ground = None if frame is None else _squares(frame, side)
    return flow_picture(flow, mode, frame=ground, max_px=top, arrow_step_px=ARROW_STEP_PX)


def mask_picture(mask: NDArray[np.bool_], frame: Image | None = None, side: int = SIDE_PX) -> Image:
    """The mask in red over the frame, or over grey: (side, side, 3)."""
    ground = np.full((*mask.shape, 3), BLANK, np.uint8) if frame is None else frame
    inside = (1 - TINT) * ground + TINT * np.array(MASK_COLOUR)
    picture = np.rint(np.where(mask[..., None], inside, ground)).astype(np.uint8)
    return _squares(picture, side)


def outlined(picture: Image, mask: NDArray[np.bool_]) -> Image:
    """A picture with the border of the mask drawn in."""
    height, width = picture.shape[:2]
    large = cv2.resize(mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
    edges, _ = cv2.findContours(large, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    drawn = picture.copy()
    cv2.drawContours(drawn, edges, -1, OUTLINE, max(1, width // SIDE_PX), cv2.LINE_AA)
    return drawn


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
    words = {"A": "clip A", "B": "clip B", "mask": f"mask M, {mask.mean():.0%} of the map"}
    headings = [words.get(name, f"<b>{name}</b>") for name in pictures]
    scale = scale_of(own, partner)
    return panel_grid(
        [image_panel(picture, quality=QUALITY) for picture in pictures.values()],
        headings,
        "MotionMix: the partner's motion inside the mask",
        legend=_legend(mode, scale, unit),
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
    pictures = [motion_picture(m, "colour", scale) for m in mixtures.values()]
    return panel_grid(
        [image_panel(picture, quality=QUALITY) for picture in pictures],
        [f"λ = {strength:g}" for strength in mixtures],
        "From A to the hard swap",
        legend="wheel",
        caption=scale_words("colour", scale, unit),
        columns=5,
        row_px=170,
    )


def scale_words(mode: Mode, scale: Scale, unit: str = "px") -> str:
    """What the colours or arrows of `mix_pictures` end at, in a sentence."""
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
    cards = [
        (f"{plain(name)}<br>{plain(text)}", m) for name, row in rows.items() for text, m in row
    ]
    columns = max(map(len, rows.values()))
    pictures = [_squares(flow_picture(m[:2], "colour"), CARD_PX) for _, m in cards]
    return panel_grid(
        [image_panel(picture, quality=QUALITY) for picture in pictures],
        [heading for heading, _ in cards],
        title,
        legend="wheel",
        caption=f"The longest vector of each map has full saturation.\n{caption}",
        columns=columns,
        row_px=170,
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
        f"{word}<br>{len(maps[labels == label])} {plain(name)}": maps[labels == label, :2].mean(0)
        for name, (maps, labels) in groups.items()
        for label, word in enumerate(classes)
        if (labels == label).any()
    }
    top = max(longest_px(mean) for mean in means.values())
    pictures = [
        _squares(flow_picture(mean, "colour", max_px=top), CARD_PX) for mean in means.values()
    ]
    return panel_grid(
        [image_panel(picture, quality=QUALITY) for picture in pictures],
        list(means),
        "Mean map of each class",
        legend="wheel",
        caption=f"Full saturation is {top:.2f} {unit_words(unit)}.\n{caption}",
        columns=len(classes),
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
    for kind, symbol in (("original", "circle"), ("mixture", "x-thin")):
        for name, colour in zip(sorted(table["class"].unique()), CLASS_COLOURS, strict=False):
            rows = known[(known["kind"] == kind) & (known["class"] == name)]
            figure.add_scatter(
                x=rows["own"].round(3),
                y=rows["other"].round(3),
                name=f"{kind}, {name}",
                mode="markers",
                marker={
                    "color": colour,
                    "symbol": symbol,
                    "size": 9,
                    "line": {"color": colour, "width": 2 if symbol == "x-thin" else 0},
                },
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
        top=96,
        xaxis={"title": f"nearest of the same class ({unit})", "range": ends},
        yaxis={"title": f"nearest of another class ({unit})", "range": ends},
    )


def _legend(mode: Mode, scale: Scale, unit: str) -> Legend:
    if mode == "strain":
        return (
            Bar("strain (%)", 0, 100 * scale.strain)
            if unit == "px"
            else Bar("strain", 0, scale.strain)
        )
    return "wheel" if mode == "colour" else None


def _squares(picture: Image, side: int) -> Image:
    """Enlarged or reduced without smoothing, so that cells stay cells."""
    return np.asarray(_enlarged(picture, side), dtype=np.uint8)


def _enlarged(plane: NDArray[Any], side: int) -> NDArray[Any]:
    large: NDArray[Any] = cv2.resize(plane, (side, side), interpolation=cv2.INTER_NEAREST)
    return large
