"""Figures that set motion fields beside each other: methods, updates, errors, attention."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from plotly import graph_objects as go

from hmrm_lab.records import Floats
from hmrm_lab.reporting.flow_colour import Image
from hmrm_lab.reporting.flow_figures import TITLES
from hmrm_lab.reporting.panels import Bar, Legend, image_panel, panel_grid
from hmrm_lab.reporting.pictures import (
    Mode,
    error_px,
    flow_picture,
    heat_picture,
    longest_px,
    outermost,
    strain_peak,
)
from hmrm_lab.reporting.style import plain

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
