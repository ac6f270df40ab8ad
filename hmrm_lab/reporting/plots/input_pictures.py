"""Figures of what networks are given and use: inputs, magnified flow, attention, kept tokens."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from plotly import graph_objects as go

from hmrm_lab.models.hmrm.region_fusion import CORE_REGIONS
from hmrm_lab.preparation.network_inputs import INPUTS
from hmrm_lab.records import Floats
from hmrm_lab.reporting.drawing import (
    WHITE,
    Image,
    blended,
    enlarged_flow,
    flow_picture,
    heat_picture,
    longest_px,
    percentile_99_9,
    resized,
    rgb,
)
from hmrm_lab.reporting.plots.kit import Bar, add_line, add_reference, image_panels
from hmrm_lab.reporting.plots.region_tokens import REGION_LABELS
from hmrm_lab.reporting.style import BLUE, VERMILLION, finish, plain

SIDE_PX = 224  # a token of every stage of AMMSM has a whole number of pixels
ROW_PX = 190
REACH = 3.0  # of a signed picture, in its own RMS: there its colours are full
ZERO = (244, 244, 244)
GRAY_LEVELS = 50.0  # of the apex frame, for one RMS
SHADE = 0.6  # share of the colour over the ground
DIMMED = 0.22  # brightness of what a stage does not keep
GATE = "Gate: dark blue is closed (0), yellow is open (1)."
INPUT_COLOURS = (
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
    ends = np.where(share < 0, rgb(BLUE), rgb(VERMILLION))
    colours = ZERO + np.abs(share) * (ends - np.array(ZERO))
    return resized(np.rint(colours).astype(np.uint8), SIDE_PX)


def gallery_pictures(seen: Mapping[str, Floats]) -> dict[str, Image]:
    """Every input as a picture of 224 px, by its name; both flows have one scale.

    Parameters
    ----------
    seen
        As `look_at` gives it.
    """
    lengths = [percentile_99_9(np.hypot(*values)) for values in seen.values() if values.ndim == 3]
    top = max(lengths, default=0.0) or 1.0
    drawn = {}
    for name, values in seen.items():
        if values.ndim == 3:  # no vector longer than `top`, beyond which colours grow dark
            flow = values * np.minimum(1, top / np.maximum(np.hypot(*values), top))
            drawn[name] = resized(flow_picture(flow, "colour", max_px=top), SIDE_PX)
        elif name == "apex":
            levels = np.rint(128 + GRAY_LEVELS * values).clip(0, 255).astype(np.uint8)
            drawn[name] = resized(np.repeat(levels[..., None], 3, axis=2), SIDE_PX)
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
    return image_panels(
        list(gallery_pictures(seen).values()),
        [INPUTS[name].words + (f"<br>{kept[name]:.1f} times" if kept else "") for name in seen],
        title,
        legend="wheel",
        caption=f"{INPUT_COLOURS}\n{caption}",
        columns=5,
    )


def kept_table(kept: Mapping[str, Mapping[str, float]]) -> pd.DataFrame:
    """A row for each disturbance, a column for each input: what it keeps (`kept_of`)."""
    table = pd.DataFrame({name: pd.Series(of) for name, of in kept.items()}).T
    return table.rename(columns={name: given.words for name, given in INPUTS.items()})


def weights_figure(weights: Mapping[str, NDArray[np.float64]], *, caption: str = "") -> go.Figure:
    """Weights of the frames in a picture of the clip, by name; each scaled to RMS 1.

    Shapes
    ------
    weights : each (T,)
    """
    figure = go.Figure()
    for number, (name, values) in enumerate(weights.items()):
        across = np.linspace(0, 100, len(values))
        scaled = values / np.sqrt(np.mean(values**2))
        hover = "%{x:.0f} % of the clip: %{y:.2f}"
        add_line(figure, across, scaled, name, number, hovertemplate=hover, line_dash="solid")
    return finish(
        figure,
        "What each frame counts for",
        caption=caption,
        height=280,
        most_width=760,
        x={"title": "Position in the clip (%; 0 onset, 100 offset)", "ticksuffix": " "},
        y={"title": "Weight (RMS 1)", "zeroline": True, "zerolinewidth": 1},
    )


def meganet_attention_figure(
    grounds: Sequence[Image], attention: Floats, headings: Sequence[str], *, caption: str = ""
) -> go.Figure:
    """Each face or map, and below it the same with MEGANet's attention, all on one scale.

    Shapes
    ------
    grounds : n of (H, W, 3), uint8, RGB
    attention : (n, h, w), as `attention_maps` gives it
    """
    low, high = float(attention.min()), float(attention.max())
    bare = [resized(ground, SIDE_PX) for ground in grounds]
    size = (SIDE_PX, SIDE_PX)
    large = [cv2.resize(weights, size, interpolation=cv2.INTER_CUBIC) for weights in attention]
    over = [
        blended(ground, heat_picture(weights, high, low), SHADE)
        for ground, weights in zip(bare, large, strict=True)
    ]
    return image_panels(
        [*bare, *over],
        [*map(plain, headings), *("attention" for _ in over)],
        "Where MEGANet attends",
        legend=Bar("attention", low, high),
        columns=len(grounds),
        caption=caption,
        row_px=220,
    )


def attention_against_figure(shares: Floats, falls: Floats, *, caption: str = "") -> go.Figure:
    """Attention against the fall of the probability when a sub-region is held still.

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
    add_reference(figure, y=0)
    return finish(
        figure,
        "Does attention tell what matters?",
        caption=f"Below the dotted line: the answer is surer without the region.\n{caption}",
        height=300,
        most_width=700,
        left=72,
        x="attention received (share, mean over heads)",
        y="fall of the probability",
    )


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
    gate = cv2.resize(clip.gate, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_LINEAR)
    return {
        "original": flow_picture(enlarged_flow(clip.flow, SIDE_PX), "colour", max_px=top),
        "magnified": flow_picture(enlarged_flow(clip.magnified, SIDE_PX), "colour", max_px=top),
        "gate": heat_picture(np.asarray(gate, np.float32), 1.0),
    }


def magnified_figure(
    clips: Mapping[str, MagnifiedClip], alpha: float, *, caption: str = ""
) -> go.Figure:
    """A row for each clip: its face where there is one, the flow, the magnified flow, the gate
    (AMMSM, Figure 1).

    Parameters
    ----------
    clips
        By the heading of the first picture of a row, such as the name of the class.
    alpha
        The factor; full saturation is so many times the longest vector of the original.
    """
    faces = all(clip.face is not None for clip in clips.values())
    pictures, headings = [], []
    for name, clip in clips.items():
        words = ["flow", f"magnified, alpha {alpha:g}", "gate"]
        if faces and clip.face is not None:
            pictures.append(clip.face)
            words.insert(0, "onset")
        pictures += magnified_pictures(clip, alpha).values()
        headings += [f"<b>{plain(name)}</b>, {words[0]}", *words[1:]]
    scale = (
        "Hue is the direction of motion (wheel), saturation its length: full is"
        f" {alpha:g} times the longest vector of the flow before. {GATE}"
    )
    return image_panels(
        pictures,
        headings,
        "Motion magnified where it matters",
        legend="wheel",
        caption=f"{scale}\n{caption}",
        columns=len(pictures) // len(clips),
        row_px=ROW_PX,
    )


def survivors_picture(ground: Image, kept: NDArray[np.bool_]) -> Image:
    """The tokens of one stage over a face or a map: those not kept are dark.

    Shapes
    ------
    ground : (H, W, 3), uint8, RGB, square
    kept : (side, side), `side` tokens in a row; at later stages these share the face evenly
    returns : (224, 224, 3), uint8, RGB
    """
    lit = resized(kept.astype(np.uint8), SIDE_PX, cv2.INTER_NEAREST_EXACT)[..., None]
    picture = resized(ground, SIDE_PX, cv2.INTER_AREA)
    shown = (picture * (DIMMED + (1 - DIMMED) * lit)).astype(np.uint8)
    ends = np.round(np.linspace(0, SIDE_PX, len(kept) + 1)).astype(int).tolist()
    for row, column in np.argwhere(kept).tolist():
        corners = (ends[column], ends[row]), (ends[column + 1] - 1, ends[row + 1] - 1)
        cv2.rectangle(shown, *corners, WHITE, 1)
    return shown


def survivors_figure(
    ground: Image, rows: Mapping[str, Sequence[NDArray[np.bool_]]], *, caption: str = ""
) -> go.Figure:
    """A row for each choice of ratios, a picture for each stage.

    Parameters
    ----------
    rows
        By the heading of the first picture of a row, the kept tokens of every stage.
    """
    pictures, headings = [], []
    for name, stages in rows.items():
        for number, kept in enumerate(stages, start=1):
            words = f"stage {number}: {kept.sum()} of {kept.size}"
            headings.append(f"<b>{plain(name)}</b><br>{words}" if number == 1 else words)
            pictures.append(survivors_picture(ground, kept))
    return image_panels(
        pictures,
        headings,
        "Tokens that survive each stage",
        caption=f"Framed: tokens that the stage keeps; what is dark passes it by.\n{caption}",
        columns=len(pictures) // len(rows),
        row_px=ROW_PX,
    )
