"""Figures of motion: one flow field, and the clips that a system gets wrong."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from plotly import graph_objects as go
from plotly.subplots import make_subplots

from hmrm_lab.records import CLASSES, PROBABILITIES, ClipKey, Floats, FlowSet, Predictions
from hmrm_lab.reporting.flow_colour import Image, colour_wheel
from hmrm_lab.reporting.pictures import (
    Mode,
    enlarged_flow,
    flow_picture,
    image_uri,
    longest_px,
    strain_peak,
)
from hmrm_lab.reporting.style import finish, message_figure, plain

TITLES = {
    "colour": "Optical flow: hue is direction, saturation is length",
    "quiver": "Optical flow as arrows",
    "strain": "Optical strain",
}
ARROW_SHARPNESS = 2  # picture pixels per pixel of the frame
WHEEL_PX = 200
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
    panels = [_image(picture, "jpeg" if mode == "quiver" else "png", scale)]
    if frame is not None:
        panels.insert(0, _image(frame, "jpeg"))
    columns = [1.0] * len(panels) + ([0.35] if mode == "colour" else [])
    figure = make_subplots(cols=len(columns), column_widths=columns, horizontal_spacing=0.05)
    for column, panel in enumerate(panels, start=1):
        figure.add_trace(panel, row=1, col=column)
    figure.update_xaxes(title="x (px)", constrain="domain", showgrid=False)
    figure.update_yaxes(constrain="domain", showgrid=False)
    figure.update_yaxes(title="y (px)", row=1, col=1)
    words = f"Longest vector {longest_px(flow_px):.2f} px."
    if mode == "colour":
        _add_wheel(figure, row=1, col=len(columns))
        words += f" Full saturation {top:.2f} px."
    elif mode == "quiver":
        words += f" The longest arrow stands for {top:.2f} px."
    else:
        _add_strain_bar(figure, strain_peak(flow_px))
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
    table = predictions.table.dropna(subset=list(PROBABILITIES))
    believed = table.groupby(["dataset", "subject", "clip"])[["truth", *PROBABILITIES]].mean()
    places = {key: place for place, key in enumerate(flowset.keys)}
    cases = []
    for row in believed.reset_index().to_dict("records"):
        key, truth = ClipKey(row["dataset"], row["subject"], row["clip"]), int(row["truth"])
        probabilities = np.array([row[name] for name in PROBABILITIES])
        guess = int(probabilities.argmax())
        if guess == truth:
            continue
        if key not in places:
            raise ValueError(f"the flow maps hold no clip {'/'.join(key)}")
        flow = flowset.maps[places[key], :2]
        flow = flow - np.median(flow, axis=(1, 2), keepdims=True)
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
    rows = -(-len(cases) // CARDS_PER_ROW)
    figure = make_subplots(
        rows=rows,
        cols=CARDS_PER_ROW + 1,  # the last one holds the legend
        column_widths=[1.0] * CARDS_PER_ROW + [0.6],
        horizontal_spacing=0.02,
        vertical_spacing=0.24 / rows,
        subplot_titles=_headings(cases),
    )
    for number, case in enumerate(cases):
        picture = flow_picture(enlarged_flow(case.flow, CARD_PX), "colour")
        row, column = divmod(number, CARDS_PER_ROW)
        figure.add_trace(_image(picture, "jpeg"), row=row + 1, col=column + 1)
    figure.update_traces(hoverinfo="skip", hovertemplate=None)
    figure.update_xaxes(visible=False, constrain="domain")
    figure.update_yaxes(visible=False, constrain="domain")
    figure.update_annotations(font_size=11)
    _add_wheel(figure, row=1, col=CARDS_PER_ROW + 1)
    scale = (
        "Onset-to-apex flow: hue is direction (wheel), saturation is length. The median motion"
        " (the head's) is taken away; the longest vector of each map has full saturation."
        " Per cent: mean probability of the wrong class."
    )
    return finish(
        figure,
        title,
        caption=f"{scale}\n{caption}",
        height=190 * rows,
        least_width=760,
        most_width=980,
        left=8,
        top=84,
        bottom=8,
    )


def _image(picture: Image, kind: Literal["png", "jpeg"], scale: int = 1) -> go.Image:
    """A picture whose axes count pixels of the frame."""
    step = 1 / scale
    return go.Image(
        source=image_uri(picture, kind),
        x0=step / 2 - 0.5,
        y0=step / 2 - 0.5,
        dx=step,
        dy=step,
        zsmooth="fast",
        hovertemplate="x %{x:.0f} px, y %{y:.0f} px<extra></extra>",
    )


def _headings(cases: list[HardCase]) -> list[str]:
    """One heading for each cell of the grid, row by row; the legend's cells have none."""
    headings = [_heading(case) for case in cases]
    for row in range(-(-len(cases) // CARDS_PER_ROW)):
        headings.insert((row + 1) * CARDS_PER_ROW + row, "")
    return headings


def _heading(case: HardCase) -> str:
    words = f"{CLASSES[case.truth]} → <b>{CLASSES[case.prediction]}</b> {case.probability:.0%}"
    subject, clip = case.key.subject, case.key.clip
    return f"{words}<br>{plain(clip if clip.startswith(subject) else f'{subject} {clip}')}"


def _add_wheel(figure: go.Figure, *, row: int, col: int) -> None:
    """The legend of the colour code, in a cell of its own."""
    wheel = colour_wheel(WHEEL_PX)
    outside = np.hypot(*(np.indices(wheel.shape[:2]) - (WHEEL_PX - 1) / 2)) > WHEEL_PX / 2
    see_through = np.dstack([wheel, np.where(outside, 0, 255).astype(np.uint8)])
    figure.add_trace(
        go.Image(source=image_uri(see_through, "png"), hoverinfo="skip"), row=row, col=col
    )
    figure.update_xaxes(visible=False, constrain="domain", row=row, col=col)
    figure.update_yaxes(visible=False, constrain="domain", row=row, col=col)


def _add_strain_bar(figure: go.Figure, peak: float) -> None:
    """A colour bar needs a trace that has colours; this one has a single invisible point."""
    figure.add_scatter(
        x=[None],
        y=[None],
        mode="markers",
        showlegend=False,
        marker={
            "color": [0],
            "cmin": 0,
            "cmax": 100 * peak,
            "colorscale": "Cividis",
            "showscale": True,
            "colorbar": {"title": {"text": "strain (%)"}, "thickness": 14, "len": 0.9},
        },
    )
