"""The figures of a run: pure functions, data in, `plotly.graph_objects.Figure` out."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from plotly import graph_objects as go
from plotly.subplots import make_subplots

from hmrm_lab.evaluation.summary import stamp
from hmrm_lab.records import ClipKey, Floats, Ints, Predictions
from hmrm_lab.reporting.plots.optical_flow import (
    attention_figure,
    error_figure,
    flow_figure,
    flow_gallery_figure,
    frames_figure,
    hard_cases_figure,
)
from hmrm_lab.reporting.style import (
    BLUE,
    CLASS_COLOURS,
    CLASS_SYMBOLS,
    INK,
    ON_COLOUR,
    ORANGE,
    VERMILLION,
    finish,
    plain,
)
from hmrm_lab.reporting.tables import ALL


SHADES = [[0, "#d3e4f1"], [1, "#074b7d"]]
DARK_ENOUGH = 0.45  # from this share on, white letters
MOST_POINTS = 150  # of one training curve

# What keeps a row from being compared, as `tables.note` words it: colour and symbol.
KINDS = {
    "honest": (BLUE, "circle"),
    "SMOKE": (INK, "x-open"),
    "PEEKS": (VERMILLION, "diamond-open"),
    "WEIGHTS": (VERMILLION, "x-open"),
    "CONTROL": (INK, "square-open"),
    "INCOMPLETE": (ORANGE, "triangle-up-open"),
}


def confusion_figure(metrics: Mapping[str, Any], part: str = ALL) -> go.Figure:
    """Truth against prediction, pooled over folds and seeds; shaded by share of the true class.

    `part` is `all`, or one of the data sets in `metrics["datasets"]`.
    """
    figures = metrics["all"] if part == ALL else metrics["datasets"][part]
    counts = np.array(figures["confusion"])
    sizes = counts.sum(1, keepdims=True)
    shares = counts / sizes.clip(min=1)
    classes = list(figures["f1"])
    names = [f"{name} ({size})" for name, size in zip(classes, sizes[:, 0], strict=True)]
    figure = go.Figure(
        go.Heatmap(
            z=shares,
            x=classes,
            y=names,
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
    for (row, column), share in np.ndenumerate(shares):
        figure.add_annotation(
            x=classes[column],
            y=names[row],
            text=f"<b>{counts[row, column]}</b><br>{share:.0%}",
            showarrow=False,
            font={"color": "#ffffff" if share >= DARK_ENOUGH else "#10202c", "size": 14},
            name="cell",
        )
    seeds = len(metrics["seeds"])
    counted = f"Counts are clips times {seeds} seeds. " if seeds > 1 else ""
    return finish(
        figure,
        "Confusion" if part == ALL else f"Confusion, {plain(part)}",
        caption=f"{counted}Per cent of the true class.\n{_stamp(metrics, part)}",
        height=270,
        left=120,
        most_width=600,
        xaxis={"title": "Predicted class", "ticks": ""},
        yaxis={"title": "True class (clips)", "autorange": "reversed", "ticks": ""},
    )


def training_curves_figure(history: pd.DataFrame, *, caption: str = "") -> go.Figure:
    """Training loss: a thin line per fold and seed, and their median.

    Parameters
    ----------
    history
        Columns fold, seed, epoch, loss, as `collect_history` gives them; no rows for a system that
        is fitted in one step, of which the title says that there is nothing to draw.
    """
    figure = go.Figure()
    if history.empty:
        return finish(
            figure,
            "No training loss: fitted in one step",
            caption=caption,
            height=120,
            xaxis={"visible": False},
            yaxis={"visible": False},
        )
    for (fold, seed), curve in history.groupby(["fold", "seed"]):
        epochs, losses = _thinned(curve["epoch"], curve["loss"])
        figure.add_scatter(
            x=epochs,
            y=losses,
            mode="lines",
            line={"width": 1, "color": "rgba(42, 135, 208, 0.3)"},
            name=plain(f"{fold}, seed {seed}"),
            hovertemplate="%{fullData.name}<br>epoch %{x}: %{y:.3f}<extra></extra>",
            showlegend=False,
        )
    median = history.groupby("epoch")["loss"].median()
    epochs, losses = _thinned(median.index.to_series(), median)
    figure.add_scatter(
        x=epochs,
        y=losses,
        mode="lines",
        line={"width": 3, "color": VERMILLION},
        name="median over folds and seeds",
        hovertemplate="median, epoch %{x}: %{y:.3f}<extra></extra>",
    )
    folds = history["fold"].nunique()
    return finish(
        figure,
        f"Training loss of {folds} folds",
        caption=caption,
        height=280,
        top=70,
        showlegend=True,
        xaxis={"title": "Epoch", "dtick": 1 if history["epoch"].max() <= 10 else None},
        yaxis={"title": "Training loss", "rangemode": "tozero"},
    )


def metrics_interval_figure(table: pd.DataFrame) -> go.Figure:
    """UF1 with its interval, systems and data sets below each other.

    Parameters
    ----------
    table
        Rows as `results_table` gives them. A row whose `Note` is not empty gets a symbol of its
        own, so that a peeking result cannot be taken for an honest one.
    """
    figure = go.Figure()
    places, names = _places(table)
    kinds = [str(row).partition(" ")[0].strip(",") or "honest" for row in table["Note"]]
    for kind, (colour, symbol) in KINDS.items():
        chosen = [index for index, of in enumerate(kinds) if of == kind]
        if not chosen:
            continue
        rows = table.iloc[chosen]
        figure.add_scatter(
            x=rows["UF1"],
            y=[places[index] for index in chosen],
            error_x={
                "array": rows["UF1 high"] - rows["UF1"],
                "arrayminus": rows["UF1"] - rows["UF1 low"],
                "thickness": 2,
                "width": 5,
            },
            mode="markers",
            marker={
                "color": colour,
                "symbol": symbol,
                "size": 11,
                "line": {"width": 2, "color": colour},
            },
            name=kind,
            customdata=rows[["System", "Part", "UF1 low", "UF1 high", "Subjects", "Epoch rule"]],
            hovertemplate=(
                "%{customdata[0]}, %{customdata[1]}<br>UF1 %{x:.3f} "
                "[%{customdata[2]:.3f}, %{customdata[3]:.3f}]<br>%{customdata[4]} subjects, "
                "epoch rule %{customdata[5]}<extra></extra>"
            ),
        )
    odd = ", ".join(kind for kind in KINDS if kind in kinds and kind != "honest")
    rules = ", ".join(sorted(table["Epoch rule"].unique()))
    subjects = "-".join(map(str, sorted({table["Subjects"].min(), table["Subjects"].max()})))
    return finish(
        figure,
        "UF1 with 95 % interval over subjects",
        caption=(f"{odd}: not comparable with honest results\n" if odd else "")
        + f"epoch rule {rules}; {subjects} subjects (folds)",
        height=34 * len(names) + 20,
        left=24 + 8 * max(map(len, names.values())),
        top=70,
        showlegend=True,
        xaxis={"title": "UF1 (0 to 1, higher is better)", "range": [0, 1]},
        yaxis={
            "tickvals": list(names),
            "ticktext": list(names.values()),
            "range": [max(names) + 0.6, min(names) - 0.6],
            "ticks": "",
        },
    )


def _places(table: pd.DataFrame) -> tuple[list[int], dict[int, str]]:
    """The height of every row, grouped by part, and the names along the axis."""
    systems = _short_names(table)
    names: dict[int, str] = {}
    places: dict[int, int] = {}
    headed = table["Part"].nunique() > 1
    for part in table["Part"].unique():
        if headed:
            names[len(names)] = f"<b>{'all data' if part == ALL else plain(part)}</b>"
        for index in np.flatnonzero(table["Part"] == part):
            places[int(index)] = len(names)
            names[len(names)] = plain(systems.iloc[index])
    return [places[index] for index in range(len(table))], names


def _short_names(table: pd.DataFrame) -> "pd.Series[str]":
    """The shortest that tells the rows apart: system, with note, run's name, with digest."""
    noted = table["System"] + (", " + table["Note"]).where(table["Note"] != "", "")
    bare = table["Run"].str.replace(r"-[0-9a-f]{8}$", "", regex=True)
    for names in (table["System"], noted, bare):
        if not table.assign(name=names).duplicated(["name", "Part"]).any():
            return names
    return table["Run"]


def _thinned(
    epochs: "pd.Series[int]", losses: "pd.Series[float]"
) -> tuple[Sequence[int], Sequence[float]]:
    """Not more points than a screen can show; the first and the last stay."""
    chosen = np.unique(np.linspace(0, len(epochs) - 1, min(len(epochs), MOST_POINTS)).astype(int))
    return (
        epochs.to_numpy(np.int32)[chosen].tolist(),
        losses.to_numpy(np.float64)[chosen].round(4).tolist(),
    )


def _stamp(metrics: Mapping[str, Any], part: str) -> str:
    """The stamp, with the subjects of this part."""
    return stamp({**metrics, "all": metrics["all"] if part == ALL else metrics["datasets"][part]})


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


POINT_PX, RIM_PX = 9, 3
SEEN = 0.55  # opacity of clips that the model was trained on
AXIS = {"showticklabels": False, "ticks": "", "title": "t-SNE (no unit)"}


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
    """One symbol per clip. Colour and symbol are its class; an outline marks a held-out subject.

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
            chosen = np.flatnonzero((labels == label) & (unseen == new))
            if len(chosen):
                figure.add_trace(_scatter(points[chosen], label, name, new=new))
                figure.data[-1].hovertext = [
                    _feature_words(keys[k], name, new) for k in chosen.tolist()
                ]
    seen = "No clip is of a subject that is new to the model."
    if unseen.any():
        seen = "Outlined: subjects held out. Pale: clips that the model was trained on."
    figure.update_xaxes(**AXIS)
    figure.update_yaxes(**AXIS)
    return finish(
        figure,
        title,
        caption=f"{seen} Only who lies near whom has a meaning.\n{caption}",
        height=380,
        most_width=720,
        top=96 if unseen.any() else 74,
        showlegend=True,
    )


def _scatter(points: Floats, label: int, name: str, *, new: bool) -> go.Scatter:
    marker: dict[str, Any] = {
        "color": CLASS_COLOURS[label],
        "symbol": CLASS_SYMBOLS[label],
        "size": POINT_PX + RIM_PX * new,
        "opacity": 1.0 if new else SEEN,
        "line": {"width": RIM_PX * new, "color": INK},
    }
    return go.Scatter(
        x=points[:, 0].round(2).tolist(),
        y=points[:, 1].round(2).tolist(),
        mode="markers",
        marker=marker,
        name=f"{name}, held out" if new else name,
        hoverinfo="text",
    )


def _feature_words(key: ClipKey, name: str, new: bool) -> str:
    lines = (f"{key.person}", key.clip, name, "held out" if new else "trained on")
    return "<br>".join(map(plain, lines))
