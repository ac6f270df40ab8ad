"""Figures of a comparison, a row for each system: scores, peeking, mean ranks, parameters."""

import math
from collections.abc import Iterable
from typing import Any

import pandas as pd
from plotly import graph_objects as go

from hmrm_lab.evaluation.ranks import LEVEL, Ranking
from hmrm_lab.reporting.comparison import p_words
from hmrm_lab.reporting.style import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    VERMILLION,
    finish,
    message_figure,
    plain,
)

ROW_PX = 27
TOP = 106  # room for a legend of three lines, as on a narrow screen
LEAST_WIDTH = 430
LETTER_PX = 7.4
SCORES = "UF1 with 95 % interval over subjects"
PEEKING = "How much does peeking add?"
RANKS = "Mean rank over the data sets"
PARAMETERS = "Parameters"
UF1 = "UF1 (0 to 1, higher is better)"


def scores_figure(table: pd.DataFrame, *, caption: str = "") -> go.Figure:
    """Honest UF1 of every system with its interval; claims and controls where there are any.

    Parameters
    ----------
    table
        As `comparison_table` gives it. Systems without figures are left out.
    """
    rows = _ranked(table)
    if not rows:
        return message_figure(SCORES, "No system has a complete run yet.", caption=caption)
    figure = go.Figure()
    _add_scores(figure, rows, "UF1", "measured", BLUE, "circle", intervals=True)
    _add_scores(figure, rows, "Null UF1", "shuffled labels", INK, "square-open")
    _add_scores(
        figure, rows, "Null within UF1", "shuffled within subjects", INK, "triangle-up-open"
    )
    _add_scores(figure, rows, "Claimed UF1", "claimed by its authors", ORANGE, "diamond-open")
    return _finish(figure, rows, SCORES, caption, {"title": UF1, "range": [0, 1]})


def peeking_figure(table: pd.DataFrame, *, caption: str = "") -> go.Figure:
    """Honest and oracle UF1 of every system, and the gap between them as a bar."""
    rows = [row for row in _ranked(table) if not math.isnan(row.get("Oracle UF1", math.nan))]
    if not rows:
        told = "The oracle rule was not run; hmrm compare --oracle runs it beside the honest one."
        if "Oracle UF1" in table:
            told = "No system has a complete run under the oracle rule."
        return message_figure(PEEKING, told, caption=caption)
    figure = go.Figure()
    for place, row in enumerate(rows):
        figure.add_scatter(
            x=[row["UF1"], row["Oracle UF1"]],
            y=[place, place],
            mode="lines",
            line={"color": VERMILLION, "width": 7},
            opacity=0.35,
            hoverinfo="skip",
            name="gap",
            showlegend=False,
        )
    _add_scores(figure, rows, "UF1", "honest", BLUE, "circle")
    _add_scores(figure, rows, "Oracle UF1", "best test epoch", VERMILLION, "diamond-open")
    for place, row in enumerate(rows):
        figure.add_annotation(
            x=max(row["UF1"], row["Oracle UF1"]),
            y=place,
            text=f"{row['Peeking adds']:+.3f}",
            showarrow=False,
            xanchor="left",
            xshift=10,
            name="added",
            font={"size": 12},
        )
    ends = [row[name] for row in rows for name in ("UF1", "Oracle UF1")]
    span = {"title": UF1, "range": [max(0, min(ends) - 0.05), min(1, max(ends)) + 0.12]}
    return _finish(figure, rows, PEEKING, caption, span)


def ranks_figure(ranking: Ranking | str, *, caption: str = "") -> go.Figure:
    """The critical difference diagram: mean ranks, and bars beside systems that do not differ.

    The best stands on top. A bar at the right spans neighbours whose mean ranks differ by less
    than the critical difference. `ranking` may be the words why there is none.
    """
    if isinstance(ranking, str):
        return message_figure(RANKS, ranking, caption=caption)
    figure = go.Figure()
    count = len(ranking.names)
    figure.add_scatter(
        x=list(ranking.ranks),
        y=list(range(count)),
        mode="markers",
        marker={"color": BLUE, "size": 11},
        name="mean rank",
        cliponaxis=False,
        hovertemplate="mean rank %{x:.2f}<extra></extra>",
    )
    step = 0.055 * count
    for place, (first, last) in enumerate(ranking.groups):
        figure.add_scatter(
            x=[count + 0.4 + step * (place + 1)] * 2,
            y=[first - 0.2, last + 0.2],
            mode="lines",
            line={"color": INK, "width": 5},
            name="no difference shown",
            showlegend=place == 0,
            hovertemplate="these do not differ by the critical difference<extra></extra>",
        )
    end = 1 + ranking.critical_difference
    figure.add_scatter(
        x=[1, min(end, count)],
        y=[-0.8, -0.8],
        mode="lines",
        line={"color": ORANGE, "width": 4},
        name="critical difference" + (", beyond the axis" if end > count else ""),
        hovertemplate=f"critical difference {ranking.critical_difference:.2f}<extra></extra>",
    )
    told = (
        f"Over {', '.join(ranking.sets)}. Friedman's test by permutation: p "
        f"{p_words(ranking.p_value)}. Nemenyi's critical difference at {LEVEL:.0%}: "
        f"{ranking.critical_difference:.2f} ranks, for {count} systems on {len(ranking.sets)} data "
        "sets, taken as independent blocks, which the data sets of one jointly trained composite "
        "are not. Few data sets tell little apart: a bar is no proof that systems are equal."
    )
    return finish(
        figure,
        RANKS,
        caption=f"{told}\n{caption}",
        height=ROW_PX * (count + 1) + 20,
        left=_room(ranking.names),
        top=TOP,
        least_width=LEAST_WIDTH,
        most_width=900,
        xaxis={
            "title": "Mean rank (1 is best)",
            "range": [0.6, count + 0.6 + step * (len(ranking.groups) + 1)],
            "tickvals": _ticks(count),
            "tickangle": 0,
        },
        yaxis=_rows_axis(ranking.names, top=-1.4),
    )


def parameters_figure(table: pd.DataFrame, *, ours: str, caption: str = "") -> go.Figure:
    """Parameters of every system that has some; filled where its UF1 lies in our interval."""
    rows = [row for row in _ranked(table) if row["Parameters"] > 0]
    if not rows:
        return message_figure(PARAMETERS, "No system has parameters to count.", caption=caption)
    own = next((row for row in rows if row["System"] == ours), None)
    figure = go.Figure()
    kinds: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        kinds.setdefault(_kind(row, own), []).append(place)
    looks = {
        "ours": (GREEN, "star"),
        "UF1 within our interval": (BLUE, "circle"),
        "UF1 outside of it": (INK, "circle-open"),
        "system": (BLUE, "circle"),
    }
    for kind, (colour, symbol) in looks.items():
        places = kinds.get(kind, [])
        if places:
            figure.add_scatter(
                x=[rows[place]["Parameters"] for place in places],
                y=places,
                mode="markers+text",
                text=[f" {rows[place]['Parameters']:,.0f}" for place in places],
                textposition="middle right",
                marker={"color": colour, "symbol": symbol, "size": 11},
                name=plain(ours) if kind == "ours" else kind,
                hovertemplate="%{x:,} parameters<extra></extra>",
                cliponaxis=False,
            )
    logs = [math.log10(row["Parameters"]) for row in rows]
    span = {
        "title": "Trainable parameters (log scale)",
        "type": "log",
        "dtick": 1,
        "exponentformat": "SI",
        "range": [
            math.floor(min(logs)),
            max(logs) + 0.5,
        ],
    }
    return _finish(figure, rows, PARAMETERS, caption, span, right=72)


def _kind(row: dict[str, Any], own: dict[str, Any] | None) -> str:
    if own is None:
        return "system"
    if row is own:
        return "ours"
    inside = own["UF1 low"] <= row["UF1"] <= own["UF1 high"]
    return "UF1 within our interval" if inside else "UF1 outside of it"


def _add_scores(
    figure: go.Figure,
    rows: list[dict[str, Any]],
    column: str,
    name: str,
    colour: str,
    symbol: str,
    *,
    intervals: bool = False,
) -> None:
    """Points of one column, where it has a figure."""
    known = [
        (place, row) for place, row in enumerate(rows) if not math.isnan(row.get(column, math.nan))
    ]
    if not known:
        return
    ends = None
    if intervals:
        ends = {
            "array": [row[f"{column} high"] - row[column] for _, row in known],
            "arrayminus": [row[column] - row[f"{column} low"] for _, row in known],
            "thickness": 2,
            "width": 4,
        }
    figure.add_scatter(
        x=[row[column] for _, row in known],
        y=[place for place, _ in known],
        error_x=ends,
        mode="markers",
        marker={
            "color": colour,
            "symbol": symbol,
            "size": 10,
            "line": {"width": 2, "color": colour},
        },
        name=name,
        customdata=[plain(row["System"]) for _, row in known],
        hovertemplate="%{customdata}, " + name + ": %{x:.3f}<extra></extra>",
    )


def _ranked(table: pd.DataFrame) -> list[dict[str, Any]]:
    rows = table[table["Rank"].notna()].to_dict("records")
    return [{str(key): value for key, value in row.items()} for row in rows]


def _finish(
    figure: go.Figure,
    rows: list[dict[str, Any]],
    title: str,
    caption: str,
    xaxis: dict[str, Any],
    *,
    right: int = 24,
) -> go.Figure:
    names = [f"{row['System']}{' (sketch)' if row['Fidelity'] == 'sketch' else ''}" for row in rows]
    return finish(
        figure,
        title,
        caption=caption,
        height=ROW_PX * len(rows) + 24,
        left=_room(names),
        right=right,
        top=TOP,
        least_width=LEAST_WIDTH,
        most_width=900,
        xaxis=xaxis,
        yaxis=_rows_axis(names),
    )


def _rows_axis(names: Iterable[str], top: float = -0.6) -> dict[str, Any]:
    words = [plain(name) for name in names]
    return {
        "tickvals": list(range(len(words))),
        "ticktext": words,
        "range": [len(words) - 0.4, top],
        "ticks": "",
        "showgrid": False,
    }


def _room(names: Iterable[str]) -> int:
    return int(24 + LETTER_PX * max(map(len, names)))


def _ticks(count: int) -> list[int]:
    step = 1 if count <= 6 else 2 if count <= 10 else 5
    return sorted({1, *range(step, count + 1, step)})
