"""Figures of faces, of apexes, and of the prediction for one recording."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from plotly import graph_objects as go
from plotly.subplots import make_subplots

from hmrm_lab.evaluation.metrics import ReliabilityBin
from hmrm_lab.evaluation.recording_prediction import ELSEWHERE, NO_ANSWER, RecordingPrediction
from hmrm_lab.faces.apex import ApexCurve
from hmrm_lab.records import Floats
from hmrm_lab.reporting import style
from hmrm_lab.reporting.drawing import Image, part_colour
from hmrm_lab.reporting.plots.kit import add_line, add_reference, image_panels
from hmrm_lab.reporting.style import BLUE, INK, VERMILLION, finish, plain

NOISE_UNIT = "difference (noise = 1)"
Ends = tuple[float, float]
BY_FRAME = "frame %{x}: %{y:.2f}"


def faces_figure(pictures: Mapping[str, Image], title: str, *, caption: str = "") -> go.Figure:
    """Pictures side by side, each under its name: (H, W, 3), uint8, RGB; sizes may differ."""
    panels = [(plain(name), picture) for name, picture in pictures.items()]
    return image_panels(panels, title, caption=caption, columns=4)


def apex_curve_figure(
    curve: ApexCurve, annotated: int | None = None, *, caption: str = ""
) -> go.Figure:
    """The curve that the apex was read from, with the spotted and any annotated apex."""
    figure, line = go.Figure(), {"color": BLUE, "width": 2}
    figure.add_scatter(x=curve.frames, y=curve.curve, line=line, showlegend=False)
    figure.update_traces(mode="lines+markers", hovertemplate=f"{BY_FRAME}<extra></extra>")
    _mark_apexes(figure, curve, annotated, VERMILLION, style.GREEN)
    words = "" if curve.spotted else "The curve has no peak: the apex is a guess."
    title = "Apex curve: all parts, smoothed"
    return _by_frame(figure, title, NOISE_UNIT, f"{words}\n{caption}")


def part_curves_figure(
    curve: ApexCurve, annotated: int | None = None, *, caption: str = ""
) -> go.Figure:
    """Difference of each part of the face from onset and offset, before smoothing."""
    figure = go.Figure()
    for name, values in curve.parts.items():
        words, dash = name.replace("_", " "), "dot" if name.endswith("right") else "solid"
        line = {"color": part_colour(name), "dash": dash}
        figure.add_scatter(x=curve.frames, y=values, name=words, line=line)
    figure.update_traces(mode="lines", hovertemplate=BY_FRAME)
    _mark_apexes(figure, curve, annotated, INK, INK)  # the parts have the other colours
    return _by_frame(figure, "Apex curve: each part alone", NOISE_UNIT, caption)


def frame_lines_figure(
    lines: Mapping[str, pd.Series], title: str, y_title: str, *, caption: str = ""
) -> go.Figure:
    """Several measurements by frame; the index of each series is the number of the frame."""
    figure = go.Figure()
    for number, (name, values) in enumerate(lines.items()):
        add_line(figure, values.index, values, name, number, hovertemplate=BY_FRAME)
    return _by_frame(figure, title, y_title, caption)


def apex_errors_figure(table: pd.DataFrame, *, caption: str = "") -> go.Figure:
    """Errors of apex spotting (`apex_table`): their counts, and against the movement's strength.

    Where the exact motion is not known, the height of the curve stands for the strength.
    """
    title = "Where apex spotting errs"
    known = table.dropna(subset=["error"])
    if known.empty:
        return style.message_figure(title, "No clip has an annotated apex.", caption=caption)
    figure = make_subplots(cols=2, horizontal_spacing=0.14)
    left, right = {"row": 1, "col": 1}, {"row": 1, "col": 2}
    for column, name, colour, pattern in (
        ("error", "spotted", BLUE, ""),
        ("middle_error", "middle frame", INK, "/"),
    ):
        counts = known[column].astype(int).value_counts().sort_index()
        look = {"color": colour, "pattern": {"shape": pattern}}
        figure.add_bar(x=counts.index, y=counts, name=name, marker=look, **left)
    figure.update_traces(hovertemplate="%{x} frames: %{y} clips")
    exact = bool(known["strength_px"].notna().all())
    for label, name in enumerate(sorted(table["class"].unique())):
        own = known[known["class"] == name]
        figure.add_scatter(
            x=own["strength_px" if exact else "peak"],
            y=own["error"].astype(int),
            name=name,
            text=own["clip"].map(plain),
            marker=style.class_marker(label) | {"size": 8},
            **right,
        )
    dots = {"mode": "markers", "hovertemplate": "%{text}: %{y} frames"}
    figure.update_traces(**dots, selector={"type": "scatter"})
    words = "longest vector (px)" if exact else "height of the curve (noise = 1)"
    spread = np.ptp(known[["error", "middle_error"]].to_numpy(int))
    frames = {"title": "error (frames)", "dtick": max(1, round(spread / 10)), "tickangle": 0}
    figure.update_xaxes(**frames, **left)
    figure.update_yaxes(title="clips", rangemode="tozero", **left)
    figure.update_xaxes(title=words, rangemode="tozero", **right)
    figure.update_yaxes(**frames, **right)
    figure.add_hrect(y0=-1.5, y1=1.5, fillcolor=style.GREEN, opacity=0.12, line_width=0, **right)
    caption = f"{len(known)} clips. Negative: too early. Green band: within one frame.\n{caption}"
    return finish(figure, title, caption=caption, height=300, widths=(620, 980), barmode="group")


def answers_figure(answers: Mapping[str, RecordingPrediction], *, caption: str = "") -> go.Figure:
    """The probabilities of the classes, one row of bars for each prediction.

    The dashed line is one over the number of classes: an answer without knowledge.
    """
    classes = next(iter(answers.values())).classes
    figure = go.Figure()
    names, known = [plain(name) for name in answers], list(answers.values())
    for label, word in enumerate(classes):
        shares = [float(answer.probabilities[label]) for answer in known]
        words = [
            f"{share:.0%}" if answer.answered else NO_ANSWER
            for answer, share in zip(known, shares, strict=True)
        ]
        hover, colour = f"{word}: %{{x:.1%}}<extra></extra>", style.CLASS_COLOURS[label]
        bar = go.Bar(x=shares, y=names, name=word, text=words, hovertemplate=hover)
        figure.add_trace(bar.update(marker_color=colour, orientation="h"))
    figure.update_traces(textposition="outside", cliponaxis=False)
    add_reference(figure, x=1 / len(classes), dash="dash", width=1)
    x = {"title": "probability", "range": [0, 1.08], "tickformat": ".0%"}
    y = {"autorange": "reversed", "ticks": "", "ticklabelstandoff": 8}
    caption = f"Dashed: 1 / {len(classes)}, an answer without knowledge.\n{caption}"
    figure.update_layout(barmode="group")
    height = 60 + 90 * len(answers)
    return finish(
        figure, "The answer", x, y, caption=caption, height=height, left=120, widths=(0, 760)
    )


def parts_figure(prediction: RecordingPrediction, *, caption: str = "") -> go.Figure:
    """Fall of the probability of the answer if a part of the face is held still."""
    falls = sorted(prediction.part_falls.items(), key=lambda part: part[1])
    names = [name.replace("_", " ") for name, _ in falls]
    colours = [INK if name == ELSEWHERE else part_colour(name) for name, _ in falls]
    bars = go.Bar(y=names, x=[100 * fall for _, fall in falls], marker_color=colours)
    hover = "%{y}: %{x:+.1f} points<extra></extra>"
    figure = go.Figure(bars.update(orientation="h", hovertemplate=hover))
    add_reference(figure, x=0, dash="solid", width=1)
    title = f"What the answer '{prediction.answer}' rests on"
    x = "probability lost when the part is held still (percentage points)"
    y, height = {"ticks": "", "ticklabelstandoff": 8}, 40 + 34 * len(falls)
    caption = f"Left of 0: without this part the system is surer of it.\n{caption}"
    return finish(figure, title, x, y, caption=caption, height=height, left=110, widths=(0, 760))


def calibration_figure(
    bins: Sequence[ReliabilityBin], probability: float, *, caption: str = ""
) -> go.Figure:
    """Reliability of a run (`calibration.reliability`), with the probability of this answer."""
    title = "How often such an answer was right"
    filled = [part for part in bins if part.count]
    if not filled:
        return style.message_figure(title, "This run holds no probabilities.", caption=caption)
    figure = go.Figure()
    _segment(figure, (0, 1), (0, 1), "as sure as right", color=INK, dash="dot", width=1)
    figure.add_bar(
        x=[(part.low + part.high) / 2 for part in filled],
        y=[part.accuracy for part in filled],
        width=[0.92 * (part.high - part.low) for part in filled],
        name="unseen subjects",
        text=[f"{part.count} clip{'' if part.count == 1 else 's'}" for part in filled],
        customdata=[part.probability for part in filled],
        hovertemplate="mean probability %{customdata:.0%}, right in %{y:.0%}<extra></extra>",
    )
    look = {"marker_color": BLUE, "textposition": "outside", "cliponaxis": False}
    figure.update_traces(**look, selector={"type": "bar"})
    name = f"this answer: {probability:.0%}"
    _segment(figure, (probability,) * 2, (0, 1.12), name, color=VERMILLION, width=3)
    x = {"title": "probability of the answer", "range": [0, 1.01], "tickformat": ".0%"}
    y = {"title": "share that was right", "range": [0, 1.12], "tickformat": ".0%"}
    return finish(figure, title, x, y, caption=caption, height=270, left=80, widths=(0, 760))


def motion_table(fields_px: Mapping[str, Floats], within: NDArray[np.bool_]) -> pd.DataFrame:
    """Motion in each field (2, H, W), pixels: of the head, which is the median, and of the rest.

    Only what lies `within`, (H, W), counts: the flow of a plain wall is noise.
    """
    rows = {}
    for name, field in fields_px.items():
        inside = field[:, within]
        head = np.median(inside, axis=1)
        rest = np.hypot(*(inside - head[:, None]))
        rows[name] = {
            "head (px)": float(np.hypot(*head)),
            "mean without it (px)": float(rest.mean()),
            "99 % stay below (px)": float(np.quantile(rest, 0.99)),
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def recordings_table(answers: Mapping[str, RecordingPrediction]) -> pd.DataFrame:
    """Answer, probabilities in per cent, and the frames behind them; one row for each."""
    rows = {}
    for name, answer in answers.items():
        shares = zip(answer.classes, answer.probabilities, strict=True)
        per_cent = {f"{word} (%)": 100 * float(share) for word, share in shares}
        frames = {"onset": answer.onset, "apex": answer.apex}
        rows[name] = {"answer": answer.answer, **per_cent, **frames}
    return pd.DataFrame.from_dict(rows, orient="index")


def parts_table(prediction: RecordingPrediction) -> pd.DataFrame:
    """The share of each part in the answer, and what the answer loses without it; largest first."""
    columns = {
        "share in the answer (%)": prediction.part_shares,
        "lost when held still (points)": prediction.part_falls,
    }
    table = (100 * pd.DataFrame(columns)).loc[list(prediction.part_falls)].rename_axis("part")
    table.index = table.index.str.replace("_", " ")
    return table.sort_values("lost when held still (points)", ascending=False)


def _mark_apexes(
    figure: go.Figure, curve: ApexCurve, annotated: int | None, spotted_in: str, annotated_in: str
) -> None:
    """Vertical lines over the height of the curves, with entries in the legend."""
    heights = (0, 1.05 * max(float(np.max(trace.y)) for trace in figure.data))
    marks = [("spotted apex", curve.apex, spotted_in, "dash")]
    if annotated is not None:
        marks.append(("annotated apex", annotated, annotated_in, "solid"))
    for name, frame, colour, dash in marks:
        legend = f"{name}: {frame}"
        _segment(figure, (frame, frame), heights, legend, color=colour, dash=dash, width=2)


def _segment(figure: go.Figure, x: Ends, y: Ends, name: str, **line: str | float) -> None:
    figure.add_scatter(x=x, y=y, name=name, mode="lines", line=line, hoverinfo="skip")


def _by_frame(figure: go.Figure, title: str, y_title: str, caption: str) -> go.Figure:
    x, y = {"title": "frame", "tickformat": "d"}, {"title": y_title, "rangemode": "tozero"}
    return finish(figure, title, x, y, caption=caption, height=260, widths=(480, 820))
