"""Figures of clips: confusion, every clip of every subject, hard cases, features."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from plotly import graph_objects as go
from plotly.subplots import make_subplots

from hmrm_lab.evaluation.summary import stamp
from hmrm_lab.flow.motion_maps import without_median
from hmrm_lab.records import ClipKey, Floats, FlowSet, Ints, Predictions
from hmrm_lab.reporting.drawing import enlarged_flow, flow_picture
from hmrm_lab.reporting.plots.kit import image_panels
from hmrm_lab.reporting.style import (
    CLASS_COLOURS,
    CLASS_SYMBOLS,
    INK,
    ON_COLOUR,
    finish,
    message_figure,
    plain,
)
from hmrm_lab.reporting.tables import ALL

SHADES = [[0, "#d3e4f1"], [1, "#074b7d"]]
DARK = 0.45  # from this share on, white letters

MANY, TALL = 36, 45  # from so many subjects or stacked clips on, squares are small
SQUARE_PX, SMALL_PX = 17, 13
GAP_PX = 80  # between data sets: subject names and the next heading

POINT_PX, RIM_PX = 9, 3
SEEN = 0.55  # opacity of clips that the model was trained on
CARD_PX = 112  # a 28x28 map enlarged fourfold


@dataclass(frozen=True)
class HardCase:
    """A wrong clip with its class probabilities, averaged over seeds."""

    key: ClipKey
    truth: int
    prediction: int
    probability: float
    flow: Floats  # (2, H, W), the median motion taken away


def confusion_figure(metrics: Mapping[str, Any], part: str = ALL) -> go.Figure:
    """Truth against prediction, pooled over folds and seeds; shaded by share of the true class.

    `part` is `all`, or one of the data sets in `metrics["datasets"]`.
    """
    figures = metrics["all"] if part == ALL else metrics["datasets"][part]
    counts = np.array(figures["confusion"])
    sizes = counts.sum(1, keepdims=True)
    shares = counts / sizes.clip(min=1)
    classes = list(figures["f1"])
    figure = go.Figure(
        go.Heatmap(
            z=shares,
            x=classes,
            y=[f"{name} ({size})" for name, size in zip(classes, sizes[:, 0], strict=True)],
            zmin=0,
            zmax=1,
            colorscale=SHADES,
            xgap=2,
            ygap=2,
            showscale=False,
            customdata=counts,
            hovertemplate="true %{y}<br>predicted %{x}<br>%{customdata} (%{z:.0%})<extra></extra>",
        )
    )
    words = [
        [f"<b>{count}</b><br>{share:.0%}" for count, share in zip(*row, strict=True)]
        for row in zip(counts, shares, strict=True)
    ]
    write_cells(figure, words, shares, DARK)
    seeds = len(metrics["seeds"])
    counted = f"Counts are clips times {seeds} seeds. " if seeds > 1 else ""
    return finish(
        figure,
        "Confusion" if part == ALL else f"Confusion, {plain(part)}",
        caption=f"{counted}Per cent of the true class.\n{stamp({**metrics, 'all': figures})}",
        height=270,
        left=120,
        most_width=600,
        x={"title": "Predicted class", "ticks": ""},
        y={"title": "True class (clips)", "autorange": "reversed", "ticks": ""},
    )


def subject_strip_figure(predictions: Predictions, *, caption: str = "") -> go.Figure:
    """One column per subject, one square per clip, the best recognised subjects on the left.

    The colour is the true class, the letter the predicted one. A square is filled if all seeds
    are right, pale if some are, and empty if none is.
    """
    clips, classes = _clips(predictions), predictions.classes
    parts = [(str(name), part) for name, part in clips.groupby("dataset")]
    columns = int(clips["column"].max()) + 1
    heights = [int(part["row"].max()) + 1 for _, part in parts]
    square = SMALL_PX if columns >= MANY or sum(heights) >= TALL else SQUARE_PX
    plot_px = (square + 3) * sum(heights) + GAP_PX * (len(parts) - 1)
    figure = make_subplots(
        rows=len(parts),
        row_heights=heights,
        vertical_spacing=GAP_PX / plot_px if len(parts) > 1 else 0,
        subplot_titles=[
            f"<b>{plain(name)}</b>: {part['subject'].nunique()} subjects, {len(part)} clips"
            for name, part in parts
            if len(parts) > 1
        ],
    )
    for number, (_, part) in enumerate(parts, start=1):
        for label in range(len(classes)):
            squares = _squares(part[part["truth"] == label], label, square, classes)
            figure.add_trace(squares, row=number, col=1)
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
        span = [-0.6, max(heights[number - 1], 2) - 0.4]
        figure.update_yaxes(
            range=span, showticklabels=False, showgrid=False, ticks="", row=number, col=1
        )
    figure.update_yaxes(title="Clips", row=1, col=1)
    for name, colour in zip(classes, CLASS_COLOURS, strict=False):
        marker = {"symbol": "square", "size": square, "color": colour}
        figure.add_scatter(x=[None], y=[None], mode="markers", marker=marker, name=name)
    figure.update_xaxes(title="Subject (held-out fold), best first", row=len(parts), col=1)
    figure.update_annotations(x=0, xanchor="left", font_size=13)
    key = f"Colour: true class. Letter: predicted class ({', '.join(_initials(classes))}). " + (
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
        top=74 if len(parts) == 1 else 98,
        bottom=84,
        legend_y=1 if len(parts) == 1 else 1 + 24 / plot_px,
    )


def feature_figure(
    points: Floats,
    labels: Ints,
    keys: Sequence[ClipKey],
    classes: Sequence[str],
    *,
    held_out: NDArray[np.bool_] | None = None,
    title: str = "Features by t-SNE",
    caption: str = "",
) -> go.Figure:
    """Features of clips in two dimensions (paper, Figure 5), one symbol per clip.

    Colour and symbol are its class; an outline marks a held-out subject.

    Parameters
    ----------
    held_out
        Clips of subjects that the model has never seen; without it, it has seen all.

    Shapes
    ------
    points : (n, 2), of one model
    labels : (n,)
    held_out : (n,)
    """
    unseen = np.zeros(len(labels), dtype=bool) if held_out is None else held_out
    figure = go.Figure()
    for label, name in enumerate(classes):
        for new in (False, True):
            chosen = np.flatnonzero((labels == label) & (unseen == new)).tolist()
            if not chosen:
                continue
            seen = "held out" if new else "trained on"
            figure.add_scatter(
                x=points[chosen, 0].round(2).tolist(),
                y=points[chosen, 1].round(2).tolist(),
                mode="markers",
                marker={
                    "color": CLASS_COLOURS[label],
                    "symbol": CLASS_SYMBOLS[label],
                    "size": POINT_PX + RIM_PX * new,
                    "opacity": 1.0 if new else SEEN,
                    "line": {"width": RIM_PX * new, "color": INK},
                },
                name=f"{name}, held out" if new else name,
                hoverinfo="text",
                hovertext=[
                    "<br>".join(map(plain, (keys[k].subject_key, keys[k].clip, name, seen)))
                    for k in chosen
                ],
            )
    key = "No clip is of a subject that is new to the model."
    if unseen.any():
        key = "Outlined: subjects held out. Pale: clips that the model was trained on."
    axis = {"showticklabels": False, "ticks": "", "title": "t-SNE (no unit)"}
    return finish(
        figure,
        title,
        caption=f"{key} Only distances between near clips have a meaning.\n{caption}",
        height=380,
        most_width=720,
        xaxis=axis,
        yaxis=axis,
    )


def hard_cases(predictions: Predictions, flowset: FlowSet, count: int = 8) -> list[HardCase]:
    """The clips most confidently wrong: mean probability over seeds, the worst first.

    `ValueError` if the maps are of other clips than the predictions.
    """
    columns = predictions.probabilities
    table = predictions.table.dropna(subset=columns)
    means = table.groupby(["dataset", "subject", "clip"])[["truth", *columns]].mean()
    places = {key: place for place, key in enumerate(flowset.keys)}
    cases = []
    for clip, truth, shares in zip(
        means.index, means["truth"], means[columns].to_numpy(), strict=True
    ):
        key, guess = ClipKey(*clip), int(shares.argmax())
        if guess == truth:
            continue
        if key not in places:
            raise ValueError(f"the flow maps hold no clip {'/'.join(key)}")
        flow = without_median(flowset.maps[places[key], :2])
        cases.append(HardCase(key, int(truth), guess, float(shares.max()), flow))
    return sorted(cases, key=lambda case: (-case.probability, case.key))[:count]


def hard_cases_figure(
    predictions: Predictions, flowset: FlowSet, count: int = 8, *, caption: str = ""
) -> go.Figure:
    """The flow maps of the clips most confidently wrong, each on a colour scale of its own."""
    title = "Most confidently wrong"
    cases = hard_cases(predictions, flowset, count)
    if not cases:
        words = "No clip is wrong, or the log holds no probabilities."
        return message_figure(title, words, caption=caption)
    scale = (
        "Onset-to-apex flow: hue is direction (wheel), saturation is length. The median motion"
        " (the head's) is taken away; the longest vector of each map has full saturation."
        " Per cent: mean probability of the wrong class."
    )
    return image_panels(
        [flow_picture(enlarged_flow(case.flow, CARD_PX), "colour") for case in cases],
        [_heading(case, predictions.classes) for case in cases],
        title,
        legend="wheel",
        caption=f"{scale}\n{caption}",
        columns=4,
        row_px=190,
    )


def write_cells(
    figure: go.Figure, words: Sequence[Sequence[str]], shares: NDArray[np.float64], dark: float
) -> None:
    """Write words into the cells of a heatmap of categories; letters are light on dark cells.

    A cell whose share is NaN has none of the colours: its letters have those of the axes.

    Shapes
    ------
    words, shares : (rows, columns); a share is the place on the scale of colours, 0 to 1
    dark : the share from which a colour counts as dark
    """
    for (row, column), share in np.ndenumerate(shares):
        empty = np.isnan(share)
        letters = "#ffffff" if share >= dark else "#10202c"
        figure.add_annotation(
            x=column,
            y=row,
            text=words[row][column],
            showarrow=False,
            font={"color": INK if empty else letters, "size": 13},
            name="empty" if empty else "cell",
        )


def _heading(case: HardCase, classes: Sequence[str]) -> str:
    words = f"{classes[case.truth]} → <b>{classes[case.prediction]}</b> {case.probability:.0%}"
    subject, clip = case.key.subject, case.key.clip
    return f"{words}<br>{plain(clip if clip.startswith(subject) else f'{subject} {clip}')}"


def _clips(predictions: Predictions) -> pd.DataFrame:
    """One row per clip, with its place: columns by accuracy, right clips at the bottom."""
    table = predictions.table
    table = table.assign(right=table["truth"] == table["prediction"])
    subject = ["dataset", "subject"]
    clips = table.groupby([*subject, "clip"], as_index=False).agg(
        truth=("truth", "first"),
        prediction=("prediction", lambda votes: votes.mode().iloc[0]),
        right=("right", "mean"),
        seeds=("seed", "nunique"),
    )
    subjects = clips.groupby(subject, as_index=False).agg(
        accuracy=("right", "mean"), clips=("right", "size")
    )
    subjects = subjects.sort_values(
        ["dataset", "accuracy", "clips", "subject"], ascending=[True, False, False, True]
    )
    subjects["column"] = subjects.groupby("dataset").cumcount()
    clips = clips.merge(subjects, on=subject).sort_values(
        ["dataset", "column", "right", "truth", "clip"], ascending=[True, True, False, True, True]
    )
    clips["row"] = clips.groupby(["dataset", "column"]).cumcount()
    return clips


def _squares(clips: pd.DataFrame, label: int, size: int, classes: Sequence[str]) -> go.Scatter:
    """Solid squares if every seed is right, a tint if some are, clear if none is."""
    colour, letters = CLASS_COLOURS[label], _initials(classes)
    fills = {True: f"{colour}40", False: "rgba(0,0,0,0)"}
    shares = clips["right"].tolist()
    return go.Scatter(
        x=clips["column"].tolist(),
        y=clips["row"].tolist(),
        mode="markers+text",
        marker={
            "symbol": "square",
            "size": size,
            "color": [colour if share == 1 else fills[share > 0] for share in shares],
            "line": {"color": colour, "width": 2},
        },
        text=[letters[guess] for guess in clips["prediction"]],
        textfont={
            "size": size * 0.66,
            "color": [ON_COLOUR if share == 1 else INK for share in shares],
        },
        hovertext=[_clip_words(clip, classes) for clip in clips.to_dict("records")],
        hoverinfo="text",
        showlegend=False,
    )


def _clip_words(clip: Mapping[Hashable, Any], classes: Sequence[str]) -> str:
    lines = [
        "/".join((clip["dataset"], clip["subject"], clip["clip"])),
        f"true {classes[clip['truth']]}, predicted {classes[clip['prediction']]}",
        f"right under {round(clip['right'] * clip['seeds'])} of {clip['seeds']} seeds",
        f"this subject: {clip['accuracy']:.0%} of {clip['clips']} clip(s)",
    ]
    return "<br>".join(map(plain, lines))


def _initials(classes: Sequence[str]) -> list[str]:
    """The shortest prefixes that tell the names apart."""
    for length in range(1, max(map(len, classes)) + 1):
        found = [name[:length].upper() for name in classes]
        if len(set(found)) == len(found):
            break
    return found
