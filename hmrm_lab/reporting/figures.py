"""The figures of a run: pure functions, data in, `plotly.graph_objects.Figure` out."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from plotly import graph_objects as go

from hmrm_lab.evaluation.summary import stamp
from hmrm_lab.reporting.flow_comparison import (
    attention_figure,
    error_figure,
    flow_gallery_figure,
    frames_figure,
)
from hmrm_lab.reporting.flow_figures import flow_figure, hard_cases_figure
from hmrm_lab.reporting.style import BLUE, INK, ORANGE, VERMILLION, finish, plain
from hmrm_lab.reporting.subject_strip import subject_strip_figure
from hmrm_lab.reporting.tables import ALL

__all__ = [
    "attention_figure",
    "confusion_figure",
    "error_figure",
    "flow_figure",
    "flow_gallery_figure",
    "frames_figure",
    "hard_cases_figure",
    "metrics_interval_figure",
    "subject_strip_figure",
    "training_curves_figure",
]

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
