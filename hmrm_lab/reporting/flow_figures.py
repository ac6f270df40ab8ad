"""Figures of motion: one flow field, and the clips that a system gets wrong."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from plotly import graph_objects as go
from plotly.subplots import make_subplots

from hmrm_lab.flow.normalise import without_median
from hmrm_lab.records import ClipKey, Floats, FlowSet, Predictions
from hmrm_lab.reporting.flow_colour import Image
from hmrm_lab.reporting.panels import Bar, add_bar, add_wheel, image_panel, panel_grid
from hmrm_lab.reporting.pictures import (
    Mode,
    enlarged_flow,
    flow_picture,
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
