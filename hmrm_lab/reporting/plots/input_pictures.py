"""The inputs of one clip side by side, the weights behind its pictures, and where MEGANet looks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from plotly import graph_objects as go

from hmrm_lab.preparation.network_inputs import INPUTS
from hmrm_lab.records import Floats
from hmrm_lab.reporting.drawing import (
    Image,
    enlarged_flow,
    flow_picture,
    heat_picture,
    longest_px,
    outermost,
)
from hmrm_lab.reporting.panels import Bar, image_panel, panel_grid
from hmrm_lab.reporting.style import finish, plain

SIDE_PX = 224
ROW_PX = 176
QUALITY = 80
REACH = 3.0  # of a signed picture, in its own RMS: there its colours are full
BELOW, ZERO, ABOVE = (42, 135, 208), (244, 244, 244), (213, 94, 0)  # as SIGNED of scans
GRAY_LEVELS = 50.0  # of the apex frame, for one RMS
SHADE = 0.6  # share of the colour over the ground
COLOURS_TOLD = (
    "Flow: hue is direction, full colour the longest vectors of both. Dynamic image and MESTI:"
    " orange where a pixel counts as brighter, blue as darker, white where nothing changes."
)


def signed_picture(values: Floats) -> Image:
    """A picture about zero: blue below, white at zero, orange above.

    Shapes
    ------
    values : (S, S), RMS 1
    returns : (224, 224, 3), uint8, RGB
    """
    share = (values / REACH).clip(-1, 1)[..., None]
    ends = np.where(share < 0, BELOW, ABOVE)
    colours = ZERO + np.abs(share) * (ends - np.array(ZERO))
    return _fitted(np.rint(colours).astype(np.uint8))


def gallery_pictures(seen: Mapping[str, Floats]) -> dict[str, Image]:
    """Every input as a picture of 224 px, by its name; both flows have one scale.

    Parameters
    ----------
    seen
        As `look_at` gives it.
    """
    lengths = [outermost(np.hypot(*values)) for values in seen.values() if values.ndim == 3]
    top = max(lengths, default=0.0) or 1.0
    drawn = {}
    for name, values in seen.items():
        if values.ndim == 3:
            drawn[name] = _fitted(flow_picture(_shortened(values, top), "colour", max_px=top))
        elif name == "apex":
            levels = np.rint(128 + GRAY_LEVELS * values).clip(0, 255).astype(np.uint8)
            drawn[name] = _fitted(np.repeat(levels[..., None], 3, axis=2))
        else:
            drawn[name] = signed_picture(values)
    return drawn


def gallery_figure(
    seen: Mapping[str, Floats],
    title: str,
    *,
    kept: Mapping[str, float] | None = None,
    caption: str = "",
) -> go.Figure:
    """The inputs of one clip, each under its name and what it keeps, where that is known."""
    headings = {
        name: f"{INPUTS[name].words}{f'<br>{kept[name]:.1f} times' if kept else ''}"
        for name in seen
    }
    pictures = gallery_pictures(seen)
    return panel_grid(
        [image_panel(picture, quality=QUALITY) for picture in pictures.values()],
        [headings[name] for name in pictures],
        title,
        legend="wheel",
        caption=f"{COLOURS_TOLD}\n{caption}",
        columns=5,
        row_px=ROW_PX,
    )


def kept_table(kept: Mapping[str, Mapping[str, float]]) -> pd.DataFrame:
    """A row for each disturbance, a column for each input: what it keeps (`kept_of`)."""
    table = pd.DataFrame({name: pd.Series(of) for name, of in kept.items()}).T
    return table.rename(columns={name: given.words for name, given in INPUTS.items()})


def weights_figure(weights: Mapping[str, NDArray[np.float64]], *, caption: str = "") -> go.Figure:
    """What each frame counts for in a picture of the clip, by name; each scaled to RMS 1.

    Shapes
    ------
    weights : each (T,)
    """
    figure = go.Figure()
    for place, (name, values) in enumerate(weights.items()):
        figure.add_scatter(
            x=np.linspace(0, 100, len(values)),
            y=(values / np.sqrt(np.mean(values**2))).round(4),
            name=plain(name),
            mode="lines+markers",
            marker={"symbol": ("circle", "square", "diamond")[place % 3], "size": 8},
            hovertemplate="%{x:.0f} % of the clip: %{y:.2f}",
        )
    return finish(
        figure,
        "What each frame counts for",
        caption=caption,
        height=280,
        top=84,
        most_width=760,
        showlegend=True,
        xaxis={"title": "Place in the clip (%; 0 onset, 100 offset)", "ticksuffix": " "},
        yaxis={"title": "Weight (RMS 1)", "zeroline": True, "zerolinewidth": 1},
    )


def attention_picture(ground: Image, attention: Floats, low: float, high: float) -> Image:
    """Attention over a face or a map, from dark blue (`low`) to yellow (`high`).

    Shapes
    ------
    ground : (H, W, 3), uint8, RGB
    attention : (h, w)
    returns : (224, 224, 3), uint8, RGB
    """
    size = (SIDE_PX, SIDE_PX)
    large = cv2.resize(attention, size, interpolation=cv2.INTER_CUBIC)
    heat = heat_picture(np.asarray(large, dtype=np.float32), high, low)
    mixed = (1 - SHADE) * _fitted(ground).astype(np.float32) + SHADE * heat
    return np.rint(mixed).astype(np.uint8)


def attention_figure(
    grounds: Sequence[Image], attention: Floats, headings: Sequence[str], *, caption: str = ""
) -> go.Figure:
    """Each face or map, and below it the same with MEGANet's attention, all on one scale.

    Shapes
    ------
    grounds : n of (H, W, 3), uint8, RGB
    attention : (n, h, w), as `attention_maps` gives it
    """
    low, high = float(attention.min()), float(attention.max())
    over = [
        attention_picture(ground, one, low, high)
        for ground, one in zip(grounds, attention, strict=True)
    ]
    pictures = [*(_fitted(ground) for ground in grounds), *over]
    return panel_grid(
        [image_panel(picture, quality=QUALITY) for picture in pictures],
        [*map(plain, headings), *("attention" for _ in over)],
        "Where MEGANet attends",
        legend=Bar("attention", low, high),
        columns=len(grounds),
        caption=caption,
    )


def _shortened(flow_px: Floats, top: float) -> Floats:
    """No vector longer than `top`, beyond which the colour code grows dark."""
    length = np.hypot(*flow_px)
    return np.asarray(flow_px * np.minimum(1, top / np.maximum(length, top)), dtype=np.float32)


def _fitted(picture: Image) -> Image:
    large = cv2.resize(picture, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_CUBIC)
    return np.asarray(large, dtype=np.uint8)


TOKENS_PX = 224  # a token of every stage has a whole number of pixels
DIMMED = 0.22  # brightness of what a stage does not keep
RIM = (255, 255, 255)
TOKENS_QUALITY = 85
GATE = "Gate: dark blue is closed (0), yellow is open (1)."


@dataclass(frozen=True)
class MagnifiedClip:
    """One clip as a magnifier is given it, and what it makes of it.

    Shapes
    ------
    flow, magnified : (2, S, S), each in units of the map's RMS
    gate : (S, S), 0..1
    face : (H, W, 3), uint8, RGB, the onset; None where there are no frames
    """

    flow: Floats
    magnified: Floats
    gate: Floats
    face: Image | None = None


def magnified_pictures(clip: MagnifiedClip, full: float) -> dict[str, Image]:
    """`original`, `magnified` and `gate`, 224 pixels a side.

    Hue is direction and saturation is length, on one scale for both: full saturation is `full`
    times the longest vector of the original. Longer vectors are darkened.
    """
    top = full * longest_px(clip.flow) or None
    gate = cv2.resize(clip.gate, (TOKENS_PX, TOKENS_PX), interpolation=cv2.INTER_LINEAR)
    return {
        "original": flow_picture(enlarged_flow(clip.flow, TOKENS_PX), "colour", max_px=top),
        "magnified": flow_picture(enlarged_flow(clip.magnified, TOKENS_PX), "colour", max_px=top),
        "gate": heat_picture(np.asarray(gate, np.float32), 1.0),
    }


def magnified_figure(
    clips: Mapping[str, MagnifiedClip], alpha: float, *, caption: str = ""
) -> go.Figure:
    """A row for each clip: its face where there is one, the flow, the magnified flow, the gate.

    Parameters
    ----------
    clips
        By what is written above the first picture of a row, such as the name of the class.
    alpha
        The factor; full saturation is so many times the longest vector of the original.
    """
    faces = all(clip.face is not None for clip in clips.values())
    panels, headings = [], []
    for name, clip in clips.items():
        drawn = magnified_pictures(clip, alpha)
        words = {"original": "flow", "magnified": f"magnified, alpha {alpha:g}", "gate": "gate"}
        if faces and clip.face is not None:
            panels.append(image_panel(clip.face, quality=TOKENS_QUALITY))
            headings.append(f"<b>{plain(name)}</b>, onset")
        else:
            words["original"] = f"<b>{plain(name)}</b>, flow"
        panels += [image_panel(picture, quality=TOKENS_QUALITY) for picture in drawn.values()]
        headings += list(words.values())
    said = (
        "Hue is the direction of motion (wheel), saturation its length: full is"
        f" {alpha:g} times the longest vector of the flow before. {GATE}"
    )
    return panel_grid(
        panels,
        headings,
        "Motion magnified where it matters",
        legend="wheel",
        caption=f"{said}\n{caption}",
        columns=len(panels) // len(clips),
        row_px=190,
    )


def survivors_picture(ground: Image, kept: NDArray[np.bool_]) -> Image:
    """The tokens of one stage over a face or a map: those not kept are dark.

    Shapes
    ------
    ground : (H, W, 3), uint8, RGB, square
    kept : (side, side), `side` tokens in a row; at later stages these share the face evenly
    returns : (224, 224, 3), uint8, RGB
    """
    picture = cv2.resize(ground, (TOKENS_PX, TOKENS_PX), interpolation=cv2.INTER_AREA)
    side = len(kept)
    ends = np.round(np.linspace(0, TOKENS_PX, side + 1)).astype(int).tolist()
    lit = cv2.resize(
        kept.astype(np.float32), (TOKENS_PX, TOKENS_PX), interpolation=cv2.INTER_NEAREST_EXACT
    )
    shown = (picture * (DIMMED + (1 - DIMMED) * lit[..., None])).astype(np.uint8)
    for row, column in np.argwhere(kept).tolist():
        corners = (ends[column], ends[row]), (ends[column + 1] - 1, ends[row + 1] - 1)
        cv2.rectangle(shown, *corners, RIM, 1)
    return np.asarray(shown, dtype=np.uint8)


def survivors_figure(
    ground: Image, rows: Mapping[str, Sequence[NDArray[np.bool_]]], *, caption: str = ""
) -> go.Figure:
    """A row for each choice of ratios, a picture for each stage.

    Parameters
    ----------
    rows
        By what is written above the first picture of a row, the kept tokens of every stage.
    """
    pictures, headings = [], []
    for name, stages in rows.items():
        for number, kept in enumerate(stages, start=1):
            words = f"stage {number}: {kept.sum()} of {kept.size}"
            headings.append(f"<b>{plain(name)}</b><br>{words}" if number == 1 else words)
            pictures.append(survivors_picture(ground, kept))
    return panel_grid(
        [image_panel(picture, quality=TOKENS_QUALITY) for picture in pictures],
        headings,
        "Tokens that survive each stage",
        caption=f"Framed: tokens that the stage keeps; what is dark passes it by.\n{caption}",
        columns=len(pictures) // len(rows),
        row_px=190,
    )
