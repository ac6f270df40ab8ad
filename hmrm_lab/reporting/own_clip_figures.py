"""Figures of the answer on one recording: pure functions, data in, `go.Figure` out."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from plotly import graph_objects as go

from hmrm_lab.evaluation.calibration import ReliabilityBin
from hmrm_lab.evaluation.prediction import ELSEWHERE, NO_ANSWER, RecordingPrediction
from hmrm_lab.records import Floats
from hmrm_lab.reporting.face_pictures import part_colour
from hmrm_lab.reporting.style import (
    BLUE,
    CLASS_COLOURS,
    INK,
    VERMILLION,
    finish,
    message_figure,
    plain,
)


def answers_figure(answers: Mapping[str, RecordingPrediction], *, caption: str = "") -> go.Figure:
    """The probabilities of the classes, one row of bars for each answer.

    The dashed line is one over the number of classes: an answer without knowledge.
    """
    names = [plain(name) for name in answers]
    figure = go.Figure()
    classes = next(iter(answers.values())).classes
    for label, word in enumerate(classes):
        asked = [(answer, float(answer.probabilities[label])) for answer in answers.values()]
        figure.add_bar(
            y=names,
            x=[share for _, share in asked],
            name=word,
            orientation="h",
            marker_color=CLASS_COLOURS[label],
            text=[f"{share:.0%}" if answer.answered else NO_ANSWER for answer, share in asked],
            textposition="outside",
            cliponaxis=False,
            hovertemplate=f"{word}: %{{x:.1%}}<extra></extra>",
        )
    figure.add_vline(x=1 / len(classes), line={"color": INK, "dash": "dash", "width": 1})
    return finish(
        figure,
        "The answer",
        caption=f"Dashed: 1 / {len(classes)}, an answer without knowledge.\n{caption}",
        height=60 + 90 * len(names),
        top=78,
        left=120,
        most_width=760,
        xaxis={"title": "probability", "range": [0, 1.08], "tickformat": ".0%"},
        yaxis={"autorange": "reversed", "ticks": "", "ticklabelstandoff": 8},
        barmode="group",
    )


def parts_figure(prediction: RecordingPrediction, *, caption: str = "") -> go.Figure:
    """How far the probability of the answer falls if a part of the face is held still."""
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
    figure.add_vline(x=0, line={"color": INK, "width": 1})
    return finish(
        figure,
        f"What the answer '{prediction.answer}' rests on",
        caption=f"Left of 0: without this part the system is surer of it.\n{caption}",
        height=40 + 34 * len(falls),
        left=110,
        most_width=760,
        xaxis={"title": "probability lost when the part is held still (percentage points)"},
        yaxis={"ticks": "", "ticklabelstandoff": 8},
    )


def calibration_figure(
    bins: Sequence[ReliabilityBin], probability: float, *, caption: str = ""
) -> go.Figure:
    """How often a run was right, by how sure it was, and where this answer falls.

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
        text=[_clips(part.count) for part in filled],
        textposition="outside",
        cliponaxis=False,
        customdata=[part.probability for part in filled],
        hovertemplate="mean probability %{customdata:.0%}, right in %{y:.0%}<extra></extra>",
    )
    figure.add_vline(x=probability, line={"color": VERMILLION, "width": 3})
    figure.add_scatter(  # a line of its own has no entry in the legend
        x=[None],
        y=[None],
        mode="lines",
        name=f"this answer: {probability:.0%}",
        line={"color": VERMILLION, "width": 3},
    )
    return finish(
        figure,
        title,
        caption=caption,
        height=270,
        top=78,
        left=80,
        most_width=760,
        xaxis={"title": "probability of the answer", "range": [0, 1.01], "tickformat": ".0%"},
        yaxis={"title": "share that was right", "range": [0, 1.12], "tickformat": ".0%"},
    )


def motion_table(fields_px: Mapping[str, Floats], within: NDArray[np.bool_]) -> pd.DataFrame:
    """How much moves in each field: the head, which is the median, and what is left without it.

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


def answers_table(answers: Mapping[str, RecordingPrediction]) -> pd.DataFrame:
    """Answer, probabilities in per cent, and the frames behind them; one row for each answer."""
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
    rows = {
        name.replace("_", " "): {
            "share in the answer (%)": 100 * prediction.part_shares[name],
            "lost when held still (points)": 100 * fall,
        }
        for name, fall in prediction.part_falls.items()
    }
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("part")
    return table.sort_values("lost when held still (points)", ascending=False)


def _clips(count: int) -> str:
    return f"{count} clip" if count == 1 else f"{count} clips"
