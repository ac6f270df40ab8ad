"""The figures of a sweep: the heatmap of Figure 7, and the history of a search."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import pandas as pd
from plotly import graph_objects as go

from hmrm_lab.reporting.style import (
    BLUE,
    GRID,
    INK,
    VERMILLION,
    finish,
    message_figure,
    plain,
)

SHADES = ((0.0, "#fde9c9"), (0.5, "#8fb7a9"), (1.0, "#0b3c5d"))  # light to dark for all eyes
DARK_ENOUGH = 0.6  # from this share of the range on, white letters
CELL_PX = 52
NOT_YET = "not done yet"
UNIT = "UF1 of pooled inner folds"
CAPTION = "Inner folds of the development subjects, not a test result."


def heatmap_figure(
    table: pd.DataFrame,
    rows: tuple[str, Sequence[Any]],
    columns: tuple[str, Sequence[Any]],
    *,
    caption: str = "",
) -> go.Figure:
    """UF1 of every combination of two settings; what is not done yet is an empty cell.

    Parameters
    ----------
    table
        As `trials_table` gives it: one row per trial.
    rows, columns
        A setting and its values, such as `("model.depth", [2, 4])`.
    caption
        Epoch rule, folds and seeds; that it is no test result is said in any case.
    """
    found = cells_by_place(table, rows[0], columns[0])
    scores = [[_score(found.get((row, column))) for column in columns[1]] for row in rows[1]]
    words = [[hover_words(found.get((row, column))) for column in columns[1]] for row in rows[1]]
    x, y = [str(value) for value in columns[1]], [str(value) for value in rows[1]]
    low, high = score_range(table)
    figure = go.Figure(
        go.Heatmap(
            z=scores,
            x=x,
            y=y,
            zmin=low,
            zmax=high,
            colorscale=[list(shade) for shade in SHADES],
            xgap=3,
            ygap=3,
            customdata=[[cell.replace("\n", "<br>") for cell in line] for line in words],
            hovertemplate="%{customdata}<extra></extra>",
            hoverongaps=True,
            colorbar={"title": {"text": "UF1"}, "thickness": 14},
        )
    )
    for row, line in enumerate(scores):
        for column, score in enumerate(line):
            _add_words(figure, column, row, score, share_of(score, low, high))
    return finish(
        figure,
        f"{_short(columns[0])} x {_short(rows[0])}: {UNIT}",
        caption=f"{CAPTION} {_count(scores)}" + (f"\n{caption}" if caption else ""),
        height=CELL_PX * len(y) + 20,
        most_width=max(480, 110 * len(x) + 160),
        xaxis={"title": _axis(columns[0]), "type": "category", "ticks": "", "showgrid": False},
        yaxis={"title": _axis(rows[0]), "type": "category", "ticks": "", "showgrid": False},
    )


def search_history_figure(history: pd.DataFrame, *, caption: str = "") -> go.Figure:
    """UF1 of every trial of a search, and the best so far.

    Parameters
    ----------
    history
        As `search` gives it: columns Trial, UF1, Best, and the settings by name; with two aims
        also Parameters and Front.
    """
    title = "Search, trial by trial"
    scored = history[history["UF1"].notna()]
    if scored.empty:
        return message_figure(title, "No trial has a score yet.", caption=CAPTION)
    figures = ("Trial", "UF1", "Best", "Parameters", "Front", "Note")
    names = [name for name in history.columns if name not in figures]
    words = [
        "<br>".join(f"{plain(_short(name))} {value_words(row[name])}" for name in names)
        for _, row in scored.iterrows()
    ]
    figure = go.Figure()
    figure.add_scatter(
        x=scored["Trial"],
        y=scored["Best"],
        mode="lines",
        line={"width": 2, "color": VERMILLION, "shape": "hv"},
        name="best so far",
        hovertemplate="best until trial %{x}: %{y:.3f}<extra></extra>",
    )
    figure.add_scatter(
        x=scored["Trial"],
        y=scored["UF1"],
        mode="markers",
        marker={"size": 10, "color": BLUE},
        name="trial",
        customdata=words,
        hovertemplate="trial %{x}: %{y:.3f}<br>%{customdata}<extra></extra>",
    )
    lost = len(history) - len(scored)
    tail = f" Trials that diverged and have no score: {lost}." if lost else ""
    return finish(
        figure,
        title,
        caption=f"{CAPTION}{tail}" + (f"\n{caption}" if caption else ""),
        height=260,
        left=72,
        top=70,
        most_width=800,
        showlegend=True,
        xaxis={"title": "Trial", "dtick": 1 if len(history) <= 15 else None},
        yaxis={"title": "UF1, inner folds (0 to 1)"},
    )


def cells_by_place(
    table: pd.DataFrame, row: str, column: str
) -> dict[tuple[Any, Any], dict[str, Any]]:
    """The rows of the table by the values of two settings."""
    if table.empty:
        return {}
    records = [{str(k): v for k, v in record.items()} for record in table.to_dict("records")]
    return {(record[row], record[column]): record for record in records}


def parameters_in_words(count: float | None) -> str:
    """`, 1,683 parameters`; nothing for a system that is no network."""
    return "" if count is None or pd.isna(count) else f", {int(count):,} parameters"


def hover_words(record: Mapping[str, Any] | None) -> str:
    """Score, interval, seeds, seconds and parameters of a cell, a line each."""
    if record is None:
        return NOT_YET
    if record["Note"]:
        return f"no score: {plain(record['Note'])}"
    return "\n".join(
        [
            f"UF1 {record['UF1']:.3f} [{record['UF1 low']:.3f}, {record['UF1 high']:.3f}]",
            f"{record['Seeds']} seed{'s' if record['Seeds'] > 1 else ''},"
            f" {record['Seconds']:.0f} s{parameters_in_words(record['Parameters'])}",
        ]
    )


def score_range(table: pd.DataFrame) -> tuple[float, float]:
    """Where the colours begin and end: the lowest and the highest score, never the same."""
    scores = [] if table.empty else table["UF1"].dropna().tolist()
    low, high = min(scores, default=0.0), max(scores, default=1.0)
    return (low, high) if high - low > 1e-6 else (low - 0.05, high + 0.05)


def share_of(score: float, low: float, high: float) -> float:
    return 0.0 if math.isnan(score) else (score - low) / (high - low)


def shade(share: float) -> str:
    """The colour of a share from 0 to 1, as the heatmap has it, as `#rrggbb`."""
    share = min(max(share, 0.0), 1.0)
    (low, first), (high, last) = next(two for two in pairwise(SHADES) if share <= two[1][0])
    part = (share - low) / (high - low)
    ends = ((int(first[n : n + 2], 16), int(last[n : n + 2], 16)) for n in (1, 3, 5))
    return "#" + "".join(f"{round(a + part * (b - a)):02x}" for a, b in ends)


def value_words(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _score(record: Mapping[str, Any] | None) -> float:
    return math.nan if record is None else float(record["UF1"])


def _add_words(figure: go.Figure, x: int, y: int, score: float, share: float) -> None:
    """The score in its cell, an empty one gets a dot; x and y count the values of the axes."""
    empty = math.isnan(score)
    letters = "#ffffff" if share >= DARK_ENOUGH else "#10202c"
    figure.add_annotation(
        x=x,
        y=y,
        text="·" if empty else f"{score:.3f}".lstrip("0"),
        showarrow=False,
        font={"color": INK if empty else letters, "size": 13},
        bordercolor=GRID if empty else None,
        name="empty" if empty else "cell",
    )


def _count(scores: Sequence[Sequence[float]]) -> str:
    values = [score for line in scores for score in line]
    done = sum(not math.isnan(score) for score in values)
    return f"{done} of {len(values)} settings have a score."


def _short(name: str) -> str:
    """`model.width` as `Width`."""
    return name.rpartition(".")[2].replace("_", " ").capitalize()


def _axis(name: str) -> str:
    units = {"model.width": "numbers per token", "model.depth": "blocks"}
    return f"{_short(name)} ({units[name]})" if name in units else _short(name)
