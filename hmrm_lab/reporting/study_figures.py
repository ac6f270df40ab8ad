"""Figures of a study, a row each: scores, peeking, ranks, parameters, differences, inputs."""

import math
import textwrap
from collections.abc import Mapping

import numpy as np
import pandas as pd
from plotly import graph_objects as go

from hmrm_lab.evaluation.significance import LEVEL, Ranking
from hmrm_lab.reporting.plots.kit import Dots, add_reference, interval_plot
from hmrm_lab.reporting.study_words import SKETCH, p_words
from hmrm_lab.reporting.style import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    SERIES_COLOURS,
    SERIES_SYMBOLS,
    VERMILLION,
    finish,
    message_figure,
    plain,
)

ROW_PX = 27
FOREST_ROW_PX = 46
DOT_PX = 22  # for each input of a network
CLAIM_SHIFT = 0.24  # of a row: a claim stands below our own figure
REASON_COLUMNS = 40
SPREAD = 0.66  # of the row of a network, from its first input to its last
SCORES = "UF1 with 95 % interval over subjects"
PEEKING = "How much does peeking add?"
RANKS = "Mean rank over the data sets"
PARAMETERS = "Parameters"
FOREST = "What each change does to UF1"
INPUTS = "UF1 of each network, by what it is given of a clip"
UF1 = "UF1 (0 to 1, higher is better)"


def scores_figure(table: pd.DataFrame, *, caption: str = "") -> go.Figure:
    """Honest UF1 of every system with its interval; claims and controls where there are any.

    Parameters
    ----------
    table
        As `comparison_table` gives it. Systems without figures are left out.
    """
    rows = table[table["Rank"].notna()]
    if rows.empty:
        return message_figure(SCORES, "No system has a complete run yet.", caption=caption)
    within = "shuffled within subjects"
    series = [
        Dots.of(rows, "UF1", "measured"),
        _points(rows, "Null UF1", "shuffled labels", INK, "square-open"),
        _points(rows, "Null within UF1", within, INK, "triangle-up-open"),
        _points(rows, "Claimed UF1", "claimed by its authors", ORANGE, "diamond-open"),
    ]
    x = {"title": UF1, "range": [0, 1]}
    return interval_plot(_names(rows), series, SCORES, x=x, caption=caption, row_px=ROW_PX)


def peeking_figure(table: pd.DataFrame, *, caption: str = "") -> go.Figure:
    """Honest and oracle UF1 of every system, and the gap between them as a bar."""
    if "Oracle UF1" not in table:
        reason = "The oracle rule was not run; hmrm compare --oracle runs it beside the honest one."
        return message_figure(PEEKING, reason, caption=caption)
    rows = table[table["Oracle UF1"].notna() & table["Rank"].notna()]
    if rows.empty:
        reason = "No system has a complete run under the oracle rule."
        return message_figure(PEEKING, reason, caption=caption)
    ends = rows[["UF1", "Oracle UF1"]].to_numpy()
    look = {"low": (), "high": (), "colour": VERMILLION, "symbol": "diamond-open"}
    added = [f"{value:+.3f}" for value in rows["Peeking adds"]]
    series = [
        _points(rows, "UF1", "honest", BLUE, "circle"),
        Dots.of(rows, "Oracle UF1", "best test epoch", labels=added, **look),
    ]
    x = {"title": UF1, "range": [max(0, ends.min() - 0.05), min(1, ends.max()) + 0.12]}
    figure = interval_plot(_names(rows), series, PEEKING, x=x, caption=caption, row_px=ROW_PX)
    for place, gap in enumerate(ends):
        bar = {"color": VERMILLION, "width": 7}
        figure.add_shape(
            type="line",
            x0=gap[0],
            x1=gap[1],
            y0=place,
            y1=place,
            line=bar,
            opacity=0.35,
            name="gap",
        )
    return figure


def ranks_figure(ranking: Ranking | str, *, caption: str = "") -> go.Figure:
    """The critical difference diagram: mean ranks, and bars beside systems that do not differ.

    The best stands on top. A bar at the right spans neighbours whose mean ranks differ by less
    than the critical difference. `ranking` may be the reason why there is none.
    """
    if isinstance(ranking, str):
        return message_figure(RANKS, ranking, caption=caption)
    count, gap = len(ranking.names), ranking.critical_difference
    step = 0.055 * count
    tick = 1 if count <= 6 else 2 if count <= 10 else 5
    words = (
        f"Over {', '.join(ranking.sets)}. Friedman's test by permutation: p "
        f"{p_words(ranking.p_value)}. Nemenyi's critical difference at {LEVEL:.0%}: "
        f"{gap:.2f} ranks, for {count} systems on {len(ranking.sets)} data "
        "sets, taken as independent blocks, which the data sets of one jointly trained composite "
        "are not. Few data sets tell little apart: a bar is no proof that systems are equal."
    )
    figure = interval_plot(
        [plain(name) for name in ranking.names],
        [Dots("mean rank", ranking.ranks, digits=".2f")],
        RANKS,
        x={
            "title": "Mean rank (1 is best)",
            "range": [0.6, count + 0.6 + step * (len(ranking.groups) + 1)],
            "tickvals": sorted({1, *range(tick, count + 1, tick)}),
            "tickangle": 0,
        },
        caption=f"{words}\n{caption}",
        row_px=ROW_PX,
        top_row=-1.4,
    )
    for place, (first, last) in enumerate(ranking.groups):
        figure.add_scatter(
            x=[count + 0.4 + step * (place + 1)] * 2,
            y=[first - 0.2, last + 0.2],
            mode="lines",
            line={"color": INK, "width": 5},
            name="no difference shown",
            showlegend=place == 0,
        )
    figure.add_scatter(
        x=[1, min(1 + gap, count)],
        y=[-0.8, -0.8],
        mode="lines",
        line={"color": ORANGE, "width": 4},
        name="critical difference" + (", beyond the axis" if 1 + gap > count else ""),
    )
    return figure


def parameters_figure(table: pd.DataFrame, *, ours: str, caption: str = "") -> go.Figure:
    """Parameters of every system that has some; filled where its UF1 lies in our interval."""
    rows = table[table["Rank"].notna() & (table["Parameters"] > 0)]
    if rows.empty:
        return message_figure(PARAMETERS, "No system has parameters to count.", caption=caption)
    own = rows["System"] == ours
    marks = {"system": (rows["Rank"].notna(), BLUE, "circle")}
    if own.any():
        low, high = rows.loc[own, ["UF1 low", "UF1 high"]].iloc[0]
        inside = rows["UF1"].between(low, high)
        marks = {
            plain(ours): (own, GREEN, "star"),
            "UF1 within our interval": (inside & ~own, BLUE, "circle"),
            "UF1 outside of it": (~inside & ~own, INK, "circle-open"),
        }
    series = [
        Dots(
            kind,
            rows["Parameters"].where(of).tolist(),
            colour=colour,
            symbol=symbol,
            labels=[f"{count:,.0f}" for count in rows["Parameters"]],
            digits=",.0f",
        )
        for kind, (of, colour, symbol) in marks.items()
    ]
    logs = np.log10(rows["Parameters"])
    x = {
        "title": "Trainable parameters (log scale)",
        "type": "log",
        "dtick": 1,
        "exponentformat": "SI",
        "range": [math.floor(logs.min()), logs.max() + 0.5],
    }
    return interval_plot(
        _names(rows), series, PARAMETERS, x=x, caption=caption, row_px=ROW_PX, right=72
    )


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
    rows = table[table["Variant"] != full].reset_index(drop=True)
    if rows.empty:
        return message_figure(FOREST, "There is no variant to compare yet.", caption=caption)
    words = [
        f"{plain(model)}<br>p {p_words(p)}, corrected {p_words(corrected)}"
        for model, p, corrected in zip(rows["Model"], rows["p"], rows["p (Holm)"], strict=True)
    ]
    ours = Dots.of(rows, "Difference", "ours, 95 % interval", words=words, digits="+.3f")
    name = "claimed by the paper, on CASME II"
    shifted = (rows.index + CLAIM_SHIFT).tolist()
    look = {"colour": ORANGE, "symbol": "diamond-open", "places": shifted, "digits": "+.3f"}
    claims = Dots.of(rows, "Paper difference", name, **look)
    figure = interval_plot(
        [
            f"<b>{plain(variant)}</b><br>{plain(model)}"
            for variant, model in zip(rows["Variant"], rows["Model"], strict=True)
        ],
        [ours, claims],
        FOREST,
        x={"title": "UF1 minus that of the full model", "tickformat": "+.2f"},
        reference=0,
        caption=caption,
        row_px=FOREST_ROW_PX,
    )
    for place in np.flatnonzero(rows["Difference"].isna()):
        reason = rows["Note"][place] or "the full model has no figures yet"
        figure.add_annotation(
            x=1,
            xref="paper",
            y=place - 0.12,  # above where its claim would lie
            text="<br>".join(map(plain, textwrap.wrap(reason, REASON_COLUMNS))),
            showarrow=False,
            xanchor="right",
            align="right",
            font={"size": 11},
            name="reason",
        )
    return figure


def inputs_figure(table: pd.DataFrame, *, caption: str = "") -> go.Figure:
    """A dot with its interval for each cell; those of one network stand below each other.

    Parameters
    ----------
    table
        As `inputs_table` gives it. Cells without figures have no dot.
    """
    known = table[table["UF1"].notna()]
    if known.empty:
        return message_figure(INPUTS, "No cell has a complete run yet.", caption=caption)
    networks, inputs = known["System"].unique().tolist(), known["Input"].unique().tolist()
    shifts = np.linspace(-SPREAD / 2, SPREAD / 2, len(inputs)) if len(inputs) > 1 else [0.0]
    series = []
    for number, name in enumerate(inputs):
        of = known[known["Input"] == name]
        places = [networks.index(network) + shifts[number] for network in of["System"]]
        look = {"colour": SERIES_COLOURS[number % 6], "symbol": SERIES_SYMBOLS[number % 6]}
        series.append(Dots.of(of, "UF1", plain(name), places=places, **look))
    return interval_plot(
        [plain(name) for name in networks],
        series,
        INPUTS,
        x={"title": f"{UF1}, 95 % interval over subjects", "range": [0, 1]},
        caption=caption,
        row_px=DOT_PX * max(3, len(inputs)),
    )


def power_figure(table: pd.DataFrame, *, clips: int, claims: Mapping[str, float]) -> go.Figure:
    """Power of a study of so many clips: the share of studies that find a true difference.

    Parameters
    ----------
    table
        As `power_table` gives it.
    claims
        Claimed differences in UF1, by name; each is a vertical line.
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
        add_reference(
            figure,
            x=gap,
            words=plain(name),
            dash="dash",
            colour=ORANGE,
            at=1.0 - 0.1 * place,
            side="right" if place % 2 else "left",  # neighbours keep clear of each other's line
        )
    studies = int(table["Studies"].iloc[0])
    return finish(
        figure,
        f"What {clips} clips can tell apart",
        caption=f"{studies} simulated studies for each point; every answer independent of all "
        "others. Broken lines: differences that the paper claims on CASME II.",
        height=260,
        left=72,
        showlegend=False,
        most_width=800,
        xaxis={"title": "Mean difference in UF1 (scores from 0 to 1)", "rangemode": "tozero"},
        yaxis={"title": "Share of studies with p < 0.05", "tickformat": ".0%", "range": [0, 1.06]},
    )


def _points(table: pd.DataFrame, column: str, name: str, colour: str, symbol: str) -> Dots:
    """The figures of a column without their intervals."""
    return Dots.of(table, column, name, low=(), high=(), colour=colour, symbol=symbol)


def _names(table: pd.DataFrame) -> list[str]:
    marks = table["Fidelity"].map(lambda fidelity: " (sketch)" if fidelity == SKETCH else "")
    return [plain(name) for name in table["System"] + marks]
