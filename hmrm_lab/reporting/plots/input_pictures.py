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
from hmrm_lab.reporting import drawing
from hmrm_lab.reporting.drawing import Image, flow_picture, heat_picture, resized
from hmrm_lab.reporting.plots.kit import Bar, add_line, add_reference, image_panels
from hmrm_lab.reporting.plots.region_tokens import REGION_LABELS
from hmrm_lab.reporting.style import BLUE, VERMILLION, finish, plain

SIDE_PX = 224  # a token of every stage of AMMSM has a whole number of pixels
REACH = 3.0  # of a signed picture, in its own RMS: there its colours are full
ZERO = (244, 244, 244)
GRAY_LEVELS = 50.0  # of the apex frame, for one RMS
SHADE = 0.6  # share of the colour over the ground
DIMMED = 0.22  # brightness of what a stage does not keep
GATE = "Gate: dark blue is closed (0), yellow is open (1)."
INPUT_COLOURS = (
    "Flow: hue is direction, full colour the longest vectors of all. Dynamic image and MESTI:"
    " orange where a pixel counts as brighter, blue as darker, white where nothing changes."
)


def signed_picture(values: Floats) -> Image:
    """Values (S, S) of RMS 1 as (224, 224, 3): blue below zero, white at zero, orange above."""
    share = (values / REACH).clip(-1, 1)[..., None]
    ends = np.where(share < 0, drawing.rgb(BLUE), drawing.rgb(VERMILLION))
    colours = ZERO + np.abs(share) * (ends - np.array(ZERO))
    return resized(np.rint(colours).astype(np.uint8), SIDE_PX)


def gallery_pictures(seen: Mapping[str, Floats]) -> dict[str, Image]:
    """Every input of `look_at` as a picture of 224 px, by its name; all flows have one scale."""
    flows = [values for values in seen.values() if values.ndim == 3]
    top = max((drawing.percentile_99_9(np.hypot(*flow)) for flow in flows), default=0.0) or 1.0
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
    panels = [
        (INPUTS[name].words + (f"<br>{kept[name]:.1f} times" if kept else ""), picture)
        for name, picture in gallery_pictures(seen).items()
    ]
    words = f"{INPUT_COLOURS}\n{caption}"
    return image_panels(panels, title, legend="wheel", caption=words, columns=3)


def kept_table(kept: Mapping[str, Mapping[str, float]]) -> pd.DataFrame:
    """A row for each disturbance, a column for each input: what it keeps (`kept_of`)."""
    table = pd.DataFrame({name: pd.Series(of) for name, of in kept.items()}).T
    return table.rename(columns={name: given.words for name, given in INPUTS.items()})


def weights_figure(weights: Mapping[str, NDArray[np.float64]], *, caption: str = "") -> go.Figure:
    """Weights (T,) of the frames in a picture of the clip, by name; each scaled to RMS 1."""
    figure = go.Figure()
    for number, (name, values) in enumerate(weights.items()):
        across = np.linspace(0, 100, len(values))
        scaled = values / np.sqrt(np.mean(values**2))
        hover = "%{x:.0f} % of the clip: %{y:.2f}"
        add_line(figure, across, scaled, name, number, hovertemplate=hover, line_dash="solid")
    x = {"title": "Position in the clip (%; 0 onset, 100 offset)", "ticksuffix": " "}
    y = {"title": "Weight (RMS 1)", "zeroline": True, "zerolinewidth": 1}
    return finish(figure, "What each frame counts for", x, y, caption=caption, widths=(0, 760))


def meganet_attention_figure(
    grounds: Sequence[Image], attention: Floats, headings: Sequence[str], *, caption: str = ""
) -> go.Figure:
    """Each face or map (H, W, 3), and below it the same with MEGANet's attention (n, h, w)."""
    low, high = float(attention.min()), float(attention.max())
    bare = [resized(ground, SIDE_PX) for ground in grounds]
    size = (SIDE_PX, SIDE_PX)
    large = [cv2.resize(weights, size, interpolation=cv2.INTER_CUBIC) for weights in attention]
    over = [
        ("attention", drawing.blended(ground, heat_picture(weights, high, low), SHADE))
        for ground, weights in zip(bare, large, strict=True)
    ]
    panels = [*zip(map(plain, headings), bare, strict=True), *over]
    title = "Where MEGANet attends"
    legend = Bar("attention", low, high)
    return image_panels(panels, title, legend=legend, columns=len(grounds), caption=caption)


def attention_against_figure(shares: Floats, falls: Floats, *, caption: str = "") -> go.Figure:
    """Attention against the fall of the probability when a sub-region is held still.

    Both are (16,), in the order of `region_names("sub")`.
    """
    labels = {"text": REGION_LABELS[CORE_REGIONS:], "textposition": "top center"}
    hover = "%{text}: attention %{x:.3f}, fall %{y:.3f}<extra></extra>"
    dots = go.Scatter(x=shares.round(5), y=falls.round(5), mode="markers+text", **labels)
    look = {"marker": {"color": BLUE, "size": 9}, "textfont": {"size": 9}, "hovertemplate": hover}
    figure = go.Figure(dots.update(**look))
    add_reference(figure, y=0)
    title = "Does attention tell what matters?"
    x, y = "attention received (share, mean over heads)", "fall of the probability"
    caption = f"Below the dotted line: the answer is surer without the region.\n{caption}"
    return finish(figure, title, x, y, caption=caption, height=300, widths=(0, 700), left=72)


@dataclass(frozen=True)
class MagnifiedClip:
    """One clip as a magnifier is given it, and what it makes of it.

    Flow before and after is (2, S, S), each in units of the map's RMS; the gate (S, S), 0..1; the
    face (H, W, 3), uint8, RGB, is the onset, or None where there are no frames.
    """

    flow: Floats
    magnified: Floats
    gate: Floats
    face: Image | None = None


def magnified_pictures(clip: MagnifiedClip, full: float) -> dict[str, Image]:
    """`original`, `magnified` and `gate`, 224 pixels a side.

    Hue is direction; saturation is length, full at `full` times the longest vector of the original.
    """
    top = full * drawing.longest_px(clip.flow) or None
    gate = cv2.resize(clip.gate, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_LINEAR)
    original, after = (drawing.enlarged_flow(of, SIDE_PX) for of in (clip.flow, clip.magnified))
    return {
        "original": flow_picture(original, "colour", max_px=top),
        "magnified": flow_picture(after, "colour", max_px=top),
        "gate": heat_picture(np.asarray(gate, np.float32), 1.0),
    }


def magnified_figure(
    clips: Mapping[str, MagnifiedClip], alpha: float, *, caption: str = ""
) -> go.Figure:
    """A row for each clip: any face, the flow, the magnified flow, the gate (AMMSM, Figure 1).

    Clips are by the heading of their row, such as the class. Saturation is full at `alpha` times
    the longest vector of the original.
    """
    faces = all(clip.face is not None for clip in clips.values())
    panels: list[tuple[str, Image]] = []
    for name, clip in clips.items():
        pictures = list(magnified_pictures(clip, alpha).values())
        words = ["flow", f"magnified, alpha {alpha:g}", "gate"]
        if faces and clip.face is not None:
            pictures, words = [clip.face, *pictures], ["onset", *words]
        headings = [f"<b>{plain(name)}</b>, {words[0]}", *words[1:]]
        panels += zip(headings, pictures, strict=True)
    scale = (
        "Hue is the direction of motion (wheel), saturation its length: full is"
        f" {alpha:g} times the longest vector of the flow before. {GATE}"
    )
    title = "Motion magnified where it matters"
    columns = len(panels) // len(clips)
    return image_panels(
        panels, title, legend="wheel", caption=f"{scale}\n{caption}", columns=columns
    )


def survivors_picture(ground: Image, kept: NDArray[np.bool_]) -> Image:
    """The tokens of one stage, kept (side, side), over a square face or map: others are dark."""
    lit = resized(kept.astype(np.uint8), SIDE_PX, cv2.INTER_NEAREST_EXACT)[..., None]
    picture = resized(ground, SIDE_PX, cv2.INTER_AREA)
    shown = (picture * (DIMMED + (1 - DIMMED) * lit)).astype(np.uint8)
    ends = np.round(np.linspace(0, SIDE_PX, len(kept) + 1)).astype(int).tolist()
    for row, column in np.argwhere(kept).tolist():
        corners = (ends[column], ends[row]), (ends[column + 1] - 1, ends[row + 1] - 1)
        cv2.rectangle(shown, *corners, drawing.WHITE, 1)
    return shown


def survivors_figure(
    ground: Image, rows: Mapping[str, Sequence[NDArray[np.bool_]]], *, caption: str = ""
) -> go.Figure:
    """A row for each choice of ratios, a picture for the tokens kept at each stage."""
    panels = []
    for name, stages in rows.items():
        for number, kept in enumerate(stages, start=1):
            words = f"stage {number}: {kept.sum()} of {kept.size}"
            heading = f"<b>{plain(name)}</b><br>{words}" if number == 1 else words
            panels.append((heading, survivors_picture(ground, kept)))
    title = "Tokens that survive each stage"
    caption = f"Framed: tokens that the stage keeps; what is dark passes it by.\n{caption}"
    return image_panels(panels, title, caption=caption, columns=len(panels) // len(rows))
