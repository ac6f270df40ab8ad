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
from hmrm_lab.reporting.drawing import Image, part_colour
from hmrm_lab.reporting.plots.kit import add_line, add_reference, image_panels
from hmrm_lab.reporting.style import (
    BLUE,
    CLASS_COLOURS,
    CLASS_SYMBOLS,
    GREEN,
    INK,
    VERMILLION,
    finish,
    message_figure,
    plain,
)

NOISE_UNIT = "difference (noise = 1)"


def faces_figure(
    pictures: Mapping[str, Image], title: str, *, caption: str = "", columns: int = 4
) -> go.Figure:
    """Pictures side by side, each under its name.

    Shapes
    ------
    pictures : each (H, W, 3), uint8, RGB; sizes may differ
    """
    names = [plain(name) for name in pictures]
    return image_panels(list(pictures.values()), names, title, caption=caption, columns=columns)


def apex_curve_figure(
    curve: ApexCurve, annotated: int | None = None, *, caption: str = ""
) -> go.Figure:
    """The curve that the apex was read from, with the spotted and any annotated apex."""
    figure = go.Figure()
    figure.add_scatter(
        x=curve.frames,
        y=curve.curve,
        mode="lines+markers",
        line={"color": BLUE, "width": 2},
        showlegend=False,
        hovertemplate="frame %{x}: %{y:.2f}<extra></extra>",
    )
    _mark_apexes(figure, curve, annotated, VERMILLION, GREEN)
    words = "" if curve.spotted else "The curve has no peak: the apex is a guess."
    title = "Apex curve: all parts, smoothed"
    return _by_frame(figure, title, NOISE_UNIT, f"{words}\n{caption}")


def part_curves_figure(
    curve: ApexCurve, annotated: int | None = None, *, caption: str = ""
) -> go.Figure:
    """Difference of each part of the face from onset and offset, before smoothing."""
    figure = go.Figure()
    for name, values in curve.parts.items():
        figure.add_scatter(
            x=curve.frames,
            y=values,
            name=name.replace("_", " "),
            mode="lines",
            line={"color": part_colour(name), "dash": "dot" if name.endswith("right") else "solid"},
            hovertemplate="frame %{x}: %{y:.2f}",
        )
    _mark_apexes(figure, curve, annotated, INK, INK)  # the parts have the other colours
    return _by_frame(figure, "Apex curve: each part alone", NOISE_UNIT, caption)


def frame_lines_figure(
    lines: Mapping[str, pd.Series], title: str, y_title: str, *, caption: str = ""
) -> go.Figure:
    """Several measurements by frame; the index of each series is the number of the frame."""
    figure = go.Figure()
    for number, (name, values) in enumerate(lines.items()):
        add_line(figure, values.index, values, name, number, hovertemplate="frame %{x}: %{y:.2f}")
    return _by_frame(figure, title, y_title, caption)


def apex_errors_figure(table: pd.DataFrame, *, caption: str = "") -> go.Figure:
    """Errors of apex spotting: their counts, and against the strength of the movement.

    Parameters
    ----------
    table
        As `faces.evaluate.apex_table` gives it. Where the exact motion is not known, the height
        of the curve stands for the strength.
    """
    title = "Where apex spotting errs"
    known = table.dropna(subset=["error"])
    if known.empty:
        return message_figure(title, "No clip has an annotated apex.", caption=caption)
    figure = make_subplots(cols=2, horizontal_spacing=0.14)
    for column, name, colour, pattern in (
        ("error", "spotted", BLUE, ""),
        ("middle_error", "middle frame", INK, "/"),
    ):
        counts = known[column].astype(int).value_counts().sort_index()
        figure.add_bar(
            x=counts.index,
            y=counts,
            name=name,
            marker={"color": colour, "pattern": {"shape": pattern}},
            hovertemplate="%{x} frames: %{y} clips",
            row=1,
            col=1,
        )
    exact = bool(known["strength_px"].notna().all())
    for label, name in enumerate(sorted(table["class"].unique())):
        own = known[known["class"] == name]
        figure.add_scatter(
            x=own["strength_px" if exact else "peak"],
            y=own["error"].astype(int),
            name=name,
            mode="markers",
            marker={"color": CLASS_COLOURS[label], "symbol": CLASS_SYMBOLS[label], "size": 8},
            text=own["clip"].map(plain),
            hovertemplate="%{text}: %{y} frames",
            row=1,
            col=2,
        )
    words = "longest vector (px)" if exact else "height of the curve (noise = 1)"
    spread = np.ptp(known[["error", "middle_error"]].to_numpy(int))
    frames = {"title": "error (frames)", "dtick": max(1, round(spread / 10)), "tickangle": 0}
    figure.update_xaxes(**frames, row=1, col=1)
    figure.update_yaxes(title="clips", rangemode="tozero", row=1, col=1)
    figure.update_xaxes(title=words, rangemode="tozero", row=1, col=2)
    figure.update_yaxes(**frames, row=1, col=2)
    figure.add_hrect(y0=-1.5, y1=1.5, fillcolor=GREEN, opacity=0.12, line_width=0, row=1, col=2)
    explained = f"{len(known)} clips. Negative: too early. Green band: within one frame."
    return finish(
        figure,
        title,
        caption=f"{explained}\n{caption}",
        height=300,
        least_width=620,
        most_width=980,
        barmode="group",
    )


def answers_figure(answers: Mapping[str, RecordingPrediction], *, caption: str = "") -> go.Figure:
    """The probabilities of the classes, one row of bars for each prediction.

    The dashed line is one over the number of classes: an answer without knowledge.
    """
    classes = next(iter(answers.values())).classes
    figure = go.Figure()
    for label, word in enumerate(classes):
        shares = [float(answer.probabilities[label]) for answer in answers.values()]
        figure.add_bar(
            y=[plain(name) for name in answers],
            x=shares,
            name=word,
            orientation="h",
            marker_color=CLASS_COLOURS[label],
            text=[
                f"{share:.0%}" if answer.answered else NO_ANSWER
                for answer, share in zip(answers.values(), shares, strict=True)
            ],
            textposition="outside",
            cliponaxis=False,
            hovertemplate=f"{word}: %{{x:.1%}}<extra></extra>",
        )
    add_reference(figure, x=1 / len(classes), dash="dash", width=1)
    return finish(
        figure,
        "The answer",
        caption=f"Dashed: 1 / {len(classes)}, an answer without knowledge.\n{caption}",
        height=60 + 90 * len(answers),
        left=120,
        most_width=760,
        x={"title": "probability", "range": [0, 1.08], "tickformat": ".0%"},
        y={"autorange": "reversed", "ticks": "", "ticklabelstandoff": 8},
        barmode="group",
    )


def parts_figure(prediction: RecordingPrediction, *, caption: str = "") -> go.Figure:
    """Fall of the probability of the answer if a part of the face is held still."""
    falls = sorted(prediction.part_falls.items(), key=lambda part: part[1])
    figure = go.Figure(
        go.Bar(
            y=[name.replace("_", " ") for name, _ in falls],
            x=[100 * fall for _, fall in falls],
            orientation="h",
            marker_color=[INK if name == ELSEWHERE else part_colour(name) for name, _ in falls],
            hovertemplate="%{y}: %{x:+.1f} points<extra></extra>",
        )
    )
    add_reference(figure, x=0, dash="solid", width=1)
    return finish(
        figure,
        f"What the answer '{prediction.answer}' rests on",
        caption=f"Left of 0: without this part the system is surer of it.\n{caption}",
        height=40 + 34 * len(falls),
        left=110,
        most_width=760,
        x="probability lost when the part is held still (percentage points)",
        y={"ticks": "", "ticklabelstandoff": 8},
    )


def calibration_figure(
    bins: Sequence[ReliabilityBin], probability: float, *, caption: str = ""
) -> go.Figure:
    """Reliability diagram of a run, with the probability of this answer.

    Parameters
    ----------
    bins
        Of the run's predictions for subjects that it had not seen; see `calibration.reliability`.
    probability
        That of the present answer.
    """
    title = "How often such an answer was right"
    filled = [part for part in bins if part.count]
    if not filled:
        return message_figure(title, "This run holds no probabilities.", caption=caption)
    figure = go.Figure()
    figure.add_scatter(
        x=[0, 1],
        y=[0, 1],
        mode="lines",
        name="as sure as right",
        line={"color": INK, "dash": "dot", "width": 1},
        hoverinfo="skip",
    )
    figure.add_bar(
        x=[(part.low + part.high) / 2 for part in filled],
        y=[part.accuracy for part in filled],
        width=[0.92 * (part.high - part.low) for part in filled],
        name="unseen subjects",
        marker_color=BLUE,
        text=[f"{part.count} clip{'' if part.count == 1 else 's'}" for part in filled],
        textposition="outside",
        cliponaxis=False,
        customdata=[part.probability for part in filled],
        hovertemplate="mean probability %{customdata:.0%}, right in %{y:.0%}<extra></extra>",
    )
    figure.add_scatter(
        x=[probability, probability],
        y=[0, 1.12],
        mode="lines",
        name=f"this answer: {probability:.0%}",
        line={"color": VERMILLION, "width": 3},
        hoverinfo="skip",
    )
    return finish(
        figure,
        title,
        caption=caption,
        height=270,
        left=80,
        most_width=760,
        x={"title": "probability of the answer", "range": [0, 1.01], "tickformat": ".0%"},
        y={"title": "share that was right", "range": [0, 1.12], "tickformat": ".0%"},
    )


def motion_table(fields_px: Mapping[str, Floats], within: NDArray[np.bool_]) -> pd.DataFrame:
    """Motion in each field: of the head, which is the median, and of the rest without it.

    Only `within` counts, such as the parts of the face: the flow of a plain wall is noise.

    Shapes
    ------
    fields_px : (2, H, W) each, pixels
    within : (H, W)
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
    rows = {
        name: {
            "answer": answer.answer,
            **{
                f"{word} (%)": 100 * float(share)
                for word, share in zip(answer.classes, answer.probabilities, strict=True)
            },
            "onset": answer.onset,
            "apex": answer.apex,
        }
        for name, answer in answers.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def parts_table(prediction: RecordingPrediction) -> pd.DataFrame:
    """The share of each part in the answer, and what the answer loses without it; largest first."""
    table = pd.DataFrame(
        {
            "share in the answer (%)": prediction.part_shares,
            "lost when held still (points)": prediction.part_falls,
        }
    )
    table = (100 * table).loc[list(prediction.part_falls)].rename_axis("part")
    table.index = table.index.str.replace("_", " ")
    return table.sort_values("lost when held still (points)", ascending=False)


def _mark_apexes(
    figure: go.Figure, curve: ApexCurve, annotated: int | None, spotted_in: str, annotated_in: str
) -> None:
    """Vertical lines over the height of the curves, with entries in the legend."""
    top = max(float(np.max(trace.y)) for trace in figure.data)
    marks = [("spotted apex", curve.apex, spotted_in, "dash")]
    if annotated is not None:
        marks.append(("annotated apex", annotated, annotated_in, "solid"))
    for name, frame, colour, dash in marks:
        figure.add_scatter(
            x=[frame, frame],
            y=[0, 1.05 * top],
            name=f"{name}: {frame}",
            mode="lines",
            line={"color": colour, "dash": dash, "width": 2},
            hoverinfo="skip",
        )


def _by_frame(figure: go.Figure, title: str, y_title: str, caption: str) -> go.Figure:
    return finish(
        figure,
        title,
        caption=caption,
        height=260,
        least_width=480,
        most_width=820,
        x={"title": "frame", "tickformat": "d"},
        y={"title": y_title, "rangemode": "tozero"},
    )
