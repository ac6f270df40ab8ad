"""The forest plot of an ablation: what each change costs, with its interval, against zero."""

import math
import textwrap
from collections.abc import Mapping
from typing import Any

import pandas as pd
from plotly import graph_objects as go

from hmrm_lab.reporting.style import BLUE, INK, ORANGE, finish, message_figure, plain

ROW_PX = 46
CLAIM_SHIFT = 0.24  # of a row: the claim stands below our own
TITLE = "What each change does to UF1"
REASON_COLUMNS = 40
ROOM = 0.06  # of the width, beyond the outermost end


def forest_figure(table: pd.DataFrame, *, full: str = "M4", caption: str = "") -> go.Figure:
    """UF1 of each variant minus UF1 of the full model, with the 95 % interval paired by subject.

    Left of the line the variant is worse than the full model. The hollow diamond is the difference
    that the paper claims; it has no interval, for the paper gives none. A variant without figures
    keeps its row and says why.

    Parameters
    ----------
    table
        As `ablation_table` gives it.
    full
        The variant that all others are compared with: it is the line, and has no row.
    """
    rows = table[table["Variant"] != full].to_dict("records")
    if not rows:
        return message_figure(TITLE, "There is no variant to compare yet.", caption=caption)
    figure = go.Figure()
    figure.add_vline(x=0, line={"color": INK, "width": 1.5, "dash": "dash"})
    _add_ours(figure, rows)
    _add_claims(figure, rows)
    for place, row in enumerate(rows):
        if math.isnan(row["Difference"]):
            _add_reason(figure, place, str(row["Note"]))
    names = [f"<b>{plain(row['Variant'])}</b><br>{plain(row['Model'])}" for row in rows]
    return finish(
        figure,
        TITLE,
        caption=caption,
        height=ROW_PX * len(rows) + 30,
        left=40 + 7 * max(len(str(row["Model"])) for row in rows),
        top=70,
        most_width=900,
        xaxis={
            "title": "UF1 minus that of the full model",
            "range": _reach(rows),
            "tickformat": "+.2f",
        },
        yaxis={
            "tickvals": list(range(len(rows))),
            "ticktext": names,
            "range": [len(rows) - 0.4, -0.6],
            "ticks": "",
            "showgrid": False,
        },
    )


def _add_ours(figure: go.Figure, rows: list[dict[Any, Any]]) -> None:
    known = [(n, row) for n, row in enumerate(rows) if not math.isnan(row["Difference"])]
    if not known:
        return
    chosen = [row for _, row in known]
    figure.add_scatter(
        x=[row["Difference"] for row in chosen],
        y=[place for place, _ in known],
        error_x={
            "array": [row["Difference high"] - row["Difference"] for row in chosen],
            "arrayminus": [row["Difference"] - row["Difference low"] for row in chosen],
            "thickness": 2,
            "width": 6,
        },
        mode="markers",
        marker={"color": BLUE, "size": 11},
        name="ours, 95 % interval",
        customdata=[
            (
                plain(row["Model"]),
                row["Difference low"],
                row["Difference high"],
                row["p"],
                row["p (Holm)"],
            )
            for row in chosen
        ],
        hovertemplate=(
            "%{customdata[0]}<br>%{x:+.3f} [%{customdata[1]:+.3f}, %{customdata[2]:+.3f}]"
            "<br>p %{customdata[3]:.3f}, corrected %{customdata[4]:.3f}<extra></extra>"
        ),
    )


def _add_claims(figure: go.Figure, rows: list[dict[Any, Any]]) -> None:
    known = [(n, row) for n, row in enumerate(rows) if not math.isnan(row["Paper difference"])]
    if not known:
        return
    figure.add_scatter(
        x=[row["Paper difference"] for _, row in known],
        y=[place + CLAIM_SHIFT for place, _ in known],
        mode="markers",
        marker={
            "color": ORANGE,
            "symbol": "diamond-open",
            "size": 10,
            "line": {"width": 2, "color": ORANGE},
        },
        name="claimed by the paper, on CASME II",
        hovertemplate="claimed by the paper: %{x:+.3f}<extra></extra>",
    )


def _add_reason(figure: go.Figure, place: int, note: str) -> None:
    """Why a row has no point of ours; at the right, above where its claim would lie."""
    words = note or "the full model has no figures yet"
    figure.add_annotation(
        x=1,
        xref="paper",
        y=place - 0.12,
        text="<br>".join(map(plain, textwrap.wrap(words, REASON_COLUMNS))),
        showarrow=False,
        xanchor="right",
        align="right",
        font={"size": 11},
        name="reason",
    )


def _reach(rows: list[dict[Any, Any]]) -> list[float]:
    """From the outermost end on either side, zero always among them."""
    columns = ("Difference low", "Difference high", "Difference", "Paper difference")
    ends = [row[name] for row in rows for name in columns if not math.isnan(row[name])]
    low, high = min([*ends, -0.05]), max([*ends, 0.05])
    room = ROOM * (high - low)
    return [low - room, high + room]


def power_figure(table: pd.DataFrame, *, clips: int, claims: Mapping[str, float]) -> go.Figure:
    """How often a study of so many clips would find a difference that is truly there.

    Parameters
    ----------
    table
        As `power_table` gives it.
    claims
        Differences in UF1 that somebody claims, by name; each is a vertical line.
    """
    figure = go.Figure()
    figure.add_scatter(
        x=table["Mean UF1 difference"],
        y=table["Found"],
        mode="lines+markers",
        line={"width": 3, "color": BLUE},
        marker={"size": 8},
        name="studies that find it (p < 0.05)",
        hovertemplate="difference %{x:.3f}: found in %{y:.0%}<extra></extra>",
    )
    for place, (name, gap) in enumerate(sorted(claims.items(), key=lambda claim: claim[1])):
        figure.add_vline(x=gap, line={"color": ORANGE, "width": 1.5, "dash": "dash"})
        figure.add_annotation(
            x=gap,
            y=1.0 - 0.1 * place,
            text=plain(name),
            xanchor="left" if place % 2 else "right",  # neighbours keep clear of each other's line
            xshift=4 if place % 2 else -4,
            showarrow=False,
            name="claim",
            font={"size": 11},
        )
    studies = int(table["Studies"].iloc[0])
    return finish(
        figure,
        f"What {clips} clips can tell apart",
        caption=f"{studies} simulated studies for each point; every answer independent of all "
        "others. Broken lines: differences that the paper claims on CASME II.",
        height=260,
        left=72,
        most_width=800,
        xaxis={"title": "Mean difference in UF1 (scores from 0 to 1)", "rangemode": "tozero"},
        yaxis={"title": "Share of studies with p < 0.05", "tickformat": ".0%", "range": [0, 1.06]},
    )
