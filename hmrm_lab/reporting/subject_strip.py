"""Every clip of every subject: whom does a system understand, and whom not?"""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pandas as pd
from plotly import graph_objects as go
from plotly.subplots import make_subplots

from hmrm_lab.records import Predictions
from hmrm_lab.reporting.style import CLASS_COLOURS, INK, ON_COLOUR, finish, plain

MANY, TALL = 36, 45  # from so many subjects or stacked clips on, squares are small
SQUARE_PX, SMALL_PX = 17, 13
GAP_PX = 80  # between data sets: subject names and the next heading
CLEAR = "rgba(0,0,0,0)"


def subject_strip_figure(predictions: Predictions, *, caption: str = "") -> go.Figure:
    """One column per subject, one square per clip, the best understood subjects on the left.

    The colour is the true class, the letter the predicted one. A square is filled if all seeds
    are right, pale if some are, and empty if none is.
    """
    clips = _clips(predictions)
    names = sorted(clips["dataset"].unique())
    columns = int(clips.groupby("dataset")["subject"].nunique().max())
    heights = [int(part["row"].max()) + 1 for _, part in clips.groupby("dataset")]
    square = SMALL_PX if columns >= MANY or sum(heights) >= TALL else SQUARE_PX
    pitch = square + 3
    plot_px = pitch * sum(heights) + GAP_PX * (len(names) - 1)
    figure = make_subplots(
        rows=len(names),
        row_heights=heights,
        vertical_spacing=GAP_PX / plot_px if len(names) > 1 else 0,
        subplot_titles=[_heading(name, clips) for name in names] if len(names) > 1 else None,
    )
    for number, name in enumerate(names, start=1):
        part = clips[clips["dataset"] == name]
        for label in range(len(predictions.classes)):
            figure.add_trace(
                _squares(part[part["truth"] == label], label, square, predictions.classes),
                row=number,
                col=1,
            )
        subjects = part.drop_duplicates("column").sort_values("column")
        figure.update_xaxes(
            tickvals=subjects["column"].tolist(),
            ticktext=[plain(subject) for subject in subjects["subject"]],
            tickangle=-90,
            tickfont_size=10 if columns >= MANY else 11,
            range=[-0.6, columns - 0.4],
            showgrid=False,
            row=number,
            col=1,
        )
        figure.update_yaxes(
            range=[-0.6, max(heights[number - 1], 2) - 0.4],
            showticklabels=False,
            showgrid=False,
            ticks="",
            title="Clips" if number == 1 else "",
            row=number,
            col=1,
        )
    for name, colour in zip(predictions.classes, CLASS_COLOURS, strict=False):
        marker = {"symbol": "square", "size": square, "color": colour}
        figure.add_scatter(x=[None], y=[None], mode="markers", marker=marker, name=name)
    figure.update_xaxes(title="Subject (held-out fold), best first", row=len(names), col=1)
    letters = ", ".join(_initials(predictions.classes))
    figure.update_annotations(x=0, xanchor="left", font_size=13)
    key = f"Colour: true class. Letter: predicted class ({letters}). " + (
        "Filled: right under all seeds; pale: some; empty: none."
        if len(predictions.seeds) > 1
        else "Filled: right; empty: wrong."
    )
    return finish(
        figure,
        "Every clip of every subject",
        caption=f"{key}\n{caption}",
        height=max(plot_px, 60),
        least_width=columns * (square + 2) + 60,
        most_width=max(columns * 2 * square, 360) + 60,
        left=36,
        top=74 if len(names) == 1 else 98,
        bottom=84,
        showlegend=True,
        legend_y=1 if len(names) == 1 else 1 + 24 / plot_px,
    )


def _clips(predictions: Predictions) -> pd.DataFrame:
    """One row per clip, with its place: columns by accuracy, right clips at the bottom."""
    table = predictions.table
    table = table.assign(right=table["truth"] == table["prediction"])
    keys = ["dataset", "subject", "clip"]
    clips = (
        table.groupby(keys)
        .agg(
            truth=("truth", "first"),
            prediction=("prediction", lambda votes: votes.mode().iloc[0]),
            right=("right", "mean"),
            seeds=("seed", "nunique"),
        )
        .reset_index()
    )
    people = (
        clips.groupby(["dataset", "subject"])
        .agg(accuracy=("right", "mean"), clips=("right", "size"))
        .reset_index()
        .sort_values(
            ["dataset", "accuracy", "clips", "subject"], ascending=[True, False, False, True]
        )
    )
    people["column"] = people.groupby("dataset").cumcount()
    clips = clips.merge(people, on=["dataset", "subject"])
    clips = clips.sort_values(
        ["dataset", "column", "right", "truth", "clip"], ascending=[True, True, False, True, True]
    )
    clips["row"] = clips.groupby(["dataset", "column"]).cumcount()
    return clips


def _squares(clips: pd.DataFrame, label: int, size: int, classes: Sequence[str]) -> go.Scatter:
    colour, letters = CLASS_COLOURS[label], _initials(classes)
    fills = [_fill(colour, share) for share in clips["right"]]
    texts = [_hover(clip, classes) for clip in clips.to_dict("records")]
    return go.Scatter(
        x=clips["column"].tolist(),
        y=clips["row"].tolist(),
        mode="markers+text",
        marker={
            "symbol": "square",
            "size": size,
            "color": fills,
            "line": {"color": colour, "width": 2},
        },
        text=[letters[guess] for guess in clips["prediction"]],
        textfont={
            "size": size * 0.66,
            "color": [ON_COLOUR if share == 1 else INK for share in clips["right"]],
        },
        hovertext=texts,
        hoverinfo="text",
        showlegend=False,
    )


def _hover(clip: Mapping[Hashable, Any], classes: Sequence[str]) -> str:
    lines = [
        "/".join((clip["dataset"], clip["subject"], clip["clip"])),
        f"true {classes[clip['truth']]}, predicted {classes[clip['prediction']]}",
        f"right under {round(clip['right'] * clip['seeds'])} of {clip['seeds']} seeds",
        f"this subject: {clip['accuracy']:.0%} of {clip['clips']} clip(s)",
    ]
    return "<br>".join(map(plain, lines))


def _initials(classes: Sequence[str]) -> list[str]:
    """As many first letters of every name as tell the names apart."""
    for length in range(1, max(map(len, classes)) + 1):
        found = [name[:length].upper() for name in classes]
        if len(set(found)) == len(found):
            break
    return found


def _fill(colour: str, share: float) -> str:
    """Solid if every seed is right, a tint if some are, clear if none is."""
    if share == 1:
        return colour
    return f"{colour}40" if share > 0 else CLEAR


def _heading(name: str, clips: pd.DataFrame) -> str:
    part = clips[clips["dataset"] == name]
    return f"<b>{plain(name)}</b>: {part['subject'].nunique()} subjects, {len(part)} clips"
