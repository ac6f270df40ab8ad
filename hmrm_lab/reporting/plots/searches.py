"""Figures of a search: the heatmap of Figure 7, its history, and what the best choices share."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from plotly import graph_objects as go

from hmrm_lab.reporting.drawing import rgb
from hmrm_lab.reporting.style import BLUE, ORANGE, VERMILLION, finish, message_figure, plain

SHADES = ((0.0, "#fde9c9"), (0.5, "#8fb7a9"), (1.0, "#0b3c5d"))  # light to dark for all eyes
DARK_ENOUGH = 0.6  # from this share of the range on, white letters
CAPTION = "Inner folds of the development subjects, not a test result."
FITTEST = 20
SPREAD = 0.6  # of the place of a stage, from the fittest on the left to the last on the right
EVOLVED_CAPTION = f"Super-networks on {CAPTION[0].lower()}{CAPTION[1:]}"


def heatmap_figure(
    table: pd.DataFrame,
    rows: tuple[str, Sequence[Any]],
    columns: tuple[str, Sequence[Any]],
    *,
    caption: str = "",
) -> go.Figure:
    """UF1 of every combination of two settings; what is not done yet is an empty cell.

    `table` has one row per trial; `rows` is a setting and its values, as `("model.depth", [2, 4])`.
    """
    found = cells_by_place(table, rows[0], columns[0])
    cells = [[found.get((row, column)) for column in columns[1]] for row in rows[1]]
    scores = np.array([[cell["UF1"] if cell else math.nan for cell in line] for line in cells])
    low, high = score_range(table)
    hover = [[hover_words(cell).replace("\n", "<br>") for cell in row] for row in cells]
    heat = go.Heatmap(z=scores, customdata=hover, texttemplate="%{z:.3f}", xgap=3, ygap=3)
    heat.x, heat.y = ([str(value) for value in values] for _, values in (columns, rows))
    colours = {"zmin": low, "zmax": high, "colorscale": [list(shade) for shade in SHADES]}
    look = {"colorbar": {"title": {"text": "UF1"}, "thickness": 14}, "hoverongaps": True}
    figure = go.Figure(heat.update(**colours, **look))
    figure.data[0].hovertemplate = "%{customdata}<extra></extra>"
    empty = np.isnan(scores)
    if empty.any():
        places = [(heat.x[column], heat.y[row]) for row, column in np.argwhere(empty).tolist()]
        x, y = zip(*places, strict=True)
        figure.add_scatter(x=x, y=y, mode="text", text="·", textfont_size=13, hoverinfo="skip")
    count = f"{(~empty).sum()} of {scores.size} settings have a score."
    category = {"type": "category", "ticks": "", "showgrid": False}
    return finish(
        figure,
        f"{_short(columns[0])} x {_short(rows[0])}: UF1 of pooled inner folds",
        {"title": _axis(columns[0]), **category},
        {"title": _axis(rows[0]), **category},
        caption=f"{CAPTION} {count}\n{caption}",
        height=52 * len(rows[1]) + 20,
        widths=(0, max(480, 110 * len(columns[1]) + 160)),
    )


def search_history_figure(history: pd.DataFrame, *, caption: str = "") -> go.Figure:
    """UF1 of every trial of a search, and the best so far.

    Besides Trial, UF1 and Best, `history` has the settings by name.
    """
    title = "Search, trial by trial"
    scored = history[history["UF1"].notna()]
    if scored.empty:
        return message_figure(title, "No trial has a score yet.", caption=CAPTION)
    others = ["Trial", "UF1", "Best", "Parameters", "Front", "Note"]
    settings = scored.drop(columns=others, errors="ignore").to_dict("records")
    words = [
        "<br>".join(f"{plain(_short(str(n)))} {value_words(value)}" for n, value in row.items())
        for row in settings
    ]
    figure = go.Figure()
    steps = {"width": 2, "color": VERMILLION, "shape": "hv"}
    best = {"name": "best so far", "mode": "lines", "line": steps}
    trials = {"name": "trial", "mode": "markers", "marker": {"size": 10, "color": BLUE}}
    figure.add_scatter(x=scored["Trial"], y=scored["Best"], **best)
    figure.add_scatter(x=scored["Trial"], y=scored["UF1"], customdata=words, **trials)
    figure.data[0].hovertemplate = "best until trial %{x}: %{y:.3f}<extra></extra>"
    figure.data[1].hovertemplate = "trial %{x}: %{y:.3f}<br>%{customdata}<extra></extra>"
    lost = len(history) - len(scored)
    tail = f" Trials that diverged and have no score: {lost}." if lost else ""
    caption = f"{CAPTION}{tail}\n{caption}"
    x = {"title": "Trial", "dtick": 1 if len(history) <= 15 else None}
    y = "UF1, inner folds (0 to 1)"
    return finish(figure, title, x, y, caption=caption, height=260, left=72, widths=(0, 800))


def cells_by_place(
    table: pd.DataFrame, row: str, column: str
) -> dict[tuple[Any, Any], dict[str, Any]]:
    records = [{str(k): v for k, v in record.items()} for record in table.to_dict("records")]
    return {(record[row], record[column]): record for record in records}


def parameters_in_words(count: float | None) -> str:
    """`, 1,683 parameters`; nothing for a system that is no network."""
    return "" if count is None or pd.isna(count) else f", {int(count):,} parameters"


def hover_words(record: Mapping[str, Any] | None) -> str:
    """Score, interval, seeds, seconds and parameters of a cell, a line each."""
    if record is None:
        return "not done yet"
    if record["Note"]:
        return f"no score: {plain(record['Note'])}"
    return (
        f"UF1 {record['UF1']:.3f} [{record['UF1 low']:.3f}, {record['UF1 high']:.3f}]\n"
        f"{record['Seeds']} seed{'s' if record['Seeds'] > 1 else ''},"
        f" {record['Seconds']:.0f} s{parameters_in_words(record['Parameters'])}"
    )


def score_range(table: pd.DataFrame) -> tuple[float, float]:
    """Ends of the colour scale: the lowest and the highest score, never the same."""
    scores = [] if table.empty else table["UF1"].dropna().tolist()
    low, high = min(scores, default=0.0), max(scores, default=1.0)
    return (low, high) if high - low > 1e-6 else (low - 0.05, high + 0.05)


def share_of(score: float, low: float, high: float) -> float:
    """The place of a score between two others, 0 to 1; 0 for NaN."""
    return 0.0 if math.isnan(score) else (score - low) / (high - low)


def shade(share: float) -> str:
    """The colour of the heatmap for a share from 0 to 1, as `#rrggbb`."""
    stops = [stop for stop, _ in SHADES]
    channels = zip(*(rgb(colour) for _, colour in SHADES), strict=True)
    return "#" + "".join(f"{round(float(np.interp(share, stops, c))):02x}" for c in channels)


def value_words(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def fittest(table: pd.DataFrame, count: int = FITTEST) -> pd.DataFrame:
    """The best choices, each once: by UF1, and by cross-entropy between equals."""
    order = ["UF1", "Cross-entropy", "Trial"]
    ordered = table.sort_values(order, ascending=[False, True, True], kind="stable")
    return ordered.drop_duplicates(_choice_columns(table)).head(count).reset_index(drop=True)


def choices_figure(table: pd.DataFrame, *, count: int = FITTEST, caption: str = "") -> go.Figure:
    """Ratios of every stage (blue) and the factor (orange) of the fittest (AMMSM, Figure 4).

    `table` has the columns Trial, alpha, `ratio 1` and so on, UF1 and Cross-entropy. At each stage
    the `count` fittest stand side by side, the best on the left.
    """
    title = "What the fittest choices have in common"
    if table.empty:
        return message_figure(title, "No choice has been tried yet.", caption=EVOLVED_CAPTION)
    best = fittest(table, count)
    ratios = [name for name in _choice_columns(best) if name != "alpha"]
    words = [
        f"trial {row['Trial']:.0f}: UF1 {row['UF1']:.3f}, cross-entropy {row['Cross-entropy']:.3f}"
        for _, row in best.iterrows()
    ]
    rings = {"width": [3, *(0 for _ in best.index[1:])], "color": VERMILLION}
    figure = go.Figure()
    for place, name in enumerate([*ratios, "alpha"]):
        factor = name == "alpha"
        figure.add_scatter(
            x=place + SPREAD * (np.arange(len(best)) / max(1, len(best) - 1) - 0.5),
            y=best[name],
            yaxis="y2" if factor else "y",
            marker={"size": 9, "color": ORANGE if factor else BLUE, "line": rings},
            name="magnification factor" if factor else "sparsity ratio",
            legendgroup=name[:5],
            showlegend=factor or place == 0,
        )
    hover = "%{y}<br>%{customdata}<extra></extra>"
    figure.update_traces(mode="markers", customdata=words, hovertemplate=hover)
    how_many = f"{len(best)} fittest" if len(best) > 1 else "fittest"
    ringed = f"The {how_many} of {len(table)} trials; ringed: the winner. {EVOLVED_CAPTION}"
    names = [*(f"stage {name.rpartition(' ')[2]}" for name in ratios), "factor"]
    x = {"tickvals": list(range(len(names))), "ticktext": names, "showgrid": False}
    y = {"title": "Sparsity ratio (share of tokens)", "range": [0, 1.05]}
    factors = {"overlaying": "y", "side": "right", "rangemode": "tozero", "tickmode": "auto"}
    figure.update_xaxes(range=[-0.5, len(ratios) + 0.5])
    figure.update_layout(yaxis2={"title": "Magnification factor", "showgrid": False, **factors})
    caption = f"{ringed}\n{caption}"
    return finish(figure, title, x, y, caption=caption, right=64, widths=(0, 800))


def _choice_columns(table: pd.DataFrame) -> list[str]:
    return [str(name) for name in table.columns if name == "alpha" or str(name)[:6] == "ratio "]


def _short(name: str) -> str:
    return name.rpartition(".")[2].replace("_", " ").capitalize()


def _axis(name: str) -> str:
    units = {"model.width": "numbers per token", "model.depth": "blocks"}
    return f"{_short(name)} ({units[name]})" if name in units else _short(name)
