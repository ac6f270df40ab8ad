"""Figures of a study, a row each: scores, peeking, ranks, parameters, differences, inputs."""

import math
import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from plotly import graph_objects as go

from hmrm_lab.evaluation.significance import LEVEL, Ranking
from hmrm_lab.reporting import style
from hmrm_lab.reporting.plots.kit import add_reference, column_dots, dots, interval_plot
from hmrm_lab.reporting.plots.results import UF1
from hmrm_lab.reporting.study_words import SKETCH
from hmrm_lab.reporting.style import BLUE, INK, ORANGE, VERMILLION, finish, message_figure, plain
from hmrm_lab.reporting.tables import p_words

ROW_PX = 27
FOREST_ROW_PX = 46
DOT_PX = 22  # for each input of a network
CLAIM_SHIFT = 0.24  # of a row: a claim stands below our own figure
REASON_COLUMNS = 40
SPREAD = 0.66  # of the row of a network, from its first input to its last


def scores_figure(table: pd.DataFrame, *, caption: str = "") -> go.Figure:
    """Honest UF1 of every system with its interval; claims and controls where there are any."""
    title = "UF1 with 95 % interval over subjects"
    rows = table[table["Rank"].notna()]
    if rows.empty:
        return message_figure(title, "No system has a complete run yet.", caption=caption)
    within = "shuffled within subjects"
    series = [
        column_dots(rows, "UF1", "measured"),
        _points(rows, "Null UF1", "shuffled labels", INK, "square-open"),
        _points(rows, "Null within UF1", within, INK, "triangle-up-open"),
        _points(rows, "Claimed UF1", "claimed by its authors", ORANGE, "diamond-open"),
    ]
    x = {"title": UF1, "range": [0, 1]}
    return interval_plot(_names(rows), series, title, x=x, caption=caption, row_px=ROW_PX)


def peeking_figure(table: pd.DataFrame, *, caption: str = "") -> go.Figure:
    """Honest and oracle UF1 of every system, and the gap between them as a bar."""
    title = "How much does peeking add?"
    rows = table[table["Oracle UF1"].notna() & table["Rank"].notna()]
    if rows.empty:
        reason = "No system has a complete run under the oracle rule."
        return message_figure(title, reason, caption=caption)
    ends = rows[["UF1", "Oracle UF1"]].to_numpy()
    look = {"ends": None, "colour": VERMILLION, "symbol": "diamond-open"}
    added = [f"{value:+.3f}" for value in rows["Peeking adds"]]
    series = [
        _points(rows, "UF1", "honest", BLUE, "circle"),
        column_dots(rows, "Oracle UF1", "best test epoch", labels=added, **look),
    ]
    x = {"title": UF1, "range": [max(0, ends.min() - 0.05), min(1, ends.max()) + 0.12]}
    figure = interval_plot(_names(rows), series, title, x=x, caption=caption, row_px=ROW_PX)
    for place, (low, high) in enumerate(ends):
        bar = {"line": {"color": VERMILLION, "width": 7}, "opacity": 0.35, "name": "gap"}
        figure.add_shape(type="line", x0=low, x1=high, y0=place, y1=place, **bar)
    return figure


def ranks_figure(ranking: Ranking, *, caption: str = "") -> go.Figure:
    """The critical difference diagram: mean ranks, and bars beside systems that do not differ.

    The best stands on top. A bar at the right spans neighbours whose mean ranks differ by less
    than the critical difference.
    """
    title = "Mean rank over the data sets"
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
    x = {
        "title": "Mean rank (1 is best)",
        "range": [0.6, count + 0.6 + step * (len(ranking.groups) + 1)],
        "tickvals": sorted({1, *range(tick, count + 1, tick)}),
        "tickangle": 0,
    }
    names, caption = [plain(name) for name in ranking.names], f"{words}\n{caption}"
    ranks = [dots("mean rank", ranking.ranks, digits=".2f")]
    figure = interval_plot(names, ranks, title, x=x, caption=caption, row_px=ROW_PX, top_row=-1.4)
    for place, (first, last) in enumerate(ranking.groups):
        at, ends = count + 0.4 + step * (place + 1), [first - 0.2, last + 0.2]
        bar = {"line": {"color": INK, "width": 5}, "name": "no difference shown"}
        figure.add_scatter(x=[at, at], y=ends, mode="lines", showlegend=place == 0, **bar)
    ends, line = [1, min(1 + gap, count)], {"color": ORANGE, "width": 4}
    name = "critical difference" + (", beyond the axis" if 1 + gap > count else "")
    figure.add_scatter(x=ends, y=[-0.8, -0.8], mode="lines", line=line, name=name)
    return figure


def parameters_figure(table: pd.DataFrame, *, ours: str, caption: str = "") -> go.Figure:
    """Parameters of every system that has some; filled where its UF1 lies in our interval."""
    title = "Parameters"
    rows = table[table["Rank"].notna() & (table["Parameters"] > 0)]
    if rows.empty:
        return message_figure(title, "No system has parameters to count.", caption=caption)
    own = rows["System"] == ours
    marks = {"system": (rows["Rank"].notna(), BLUE, "circle")}
    if own.any():
        low, high = rows.loc[own, ["UF1 low", "UF1 high"]].iloc[0]
        inside = rows["UF1"].between(low, high)
        marks = {
            plain(ours): (own, style.GREEN, "star"),
            "UF1 within our interval": (inside & ~own, BLUE, "circle"),
            "UF1 outside of it": (~inside & ~own, INK, "circle-open"),
        }
    counts = rows["Parameters"]
    labels = [f"{count:,.0f}" for count in counts]
    series = [
        dots(kind, counts.where(of), colour=colour, symbol=mark, labels=labels, digits=",.0f")
        for kind, (of, colour, mark) in marks.items()
    ]
    x = {
        "title": "Trainable parameters (log scale)",
        "type": "log",
        "dtick": 1,
        "exponentformat": "SI",
        "range": [math.floor(np.log10(counts).min()), np.log10(counts).max() + 0.5],
    }
    names = _names(rows)
    return interval_plot(names, series, title, x=x, caption=caption, row_px=ROW_PX, right=72)


def forest_figure(table: pd.DataFrame, *, full: str = "M4", caption: str = "") -> go.Figure:
    """UF1 of each variant minus UF1 of the full model, with the 95 % interval paired by subject.

    Left of the line a variant is worse than `full`. The hollow diamond is the difference that the
    paper claims, without interval. A variant without figures keeps its row and says why.
    """
    title = "What each change does to UF1"
    rows = table[table["Variant"] != full].reset_index(drop=True)
    if rows.empty:
        return message_figure(title, "There is no variant to compare yet.", caption=caption)
    words = [
        f"{plain(model)}<br>p {p_words(p)}, corrected {p_words(corrected)}"
        for model, p, corrected in zip(rows["Model"], rows["p"], rows["p (Holm)"], strict=True)
    ]
    ours = column_dots(rows, "Difference", "ours, 95 % interval", words=words, digits="+.3f")
    name = "claimed by the paper, on CASME II"
    look = {"colour": ORANGE, "symbol": "diamond-open", "digits": "+.3f"}
    shifted = (rows.index + CLAIM_SHIFT).tolist()
    claims = column_dots(rows, "Paper difference", name, places=shifted, **look)
    names = [
        f"<b>{plain(variant)}</b><br>{plain(model)}"
        for variant, model in zip(rows["Variant"], rows["Model"], strict=True)
    ]
    x = {"title": "UF1 minus that of the full model", "tickformat": "+.2f"}
    figure = interval_plot(
        names, [ours, claims], title, x=x, reference=0, caption=caption, row_px=FOREST_ROW_PX
    )
    for place in np.flatnonzero(rows["Difference"].isna()):
        reason = rows["Note"][place] or "the full model has no figures yet"
        figure.add_annotation(
            text="<br>".join(map(plain, textwrap.wrap(reason, REASON_COLUMNS))),
            x=1,
            xref="paper",
            xanchor="right",
            align="right",
            y=place - 0.12,  # above where its claim would lie
            showarrow=False,
            bgcolor="white",
            name="reason",
        )
    return figure


def inputs_figure(table: pd.DataFrame, *, caption: str = "") -> go.Figure:
    """A dot with its interval for each cell of `inputs_table`; a row for each network.

    Cells without figures have no dot.
    """
    title = "UF1 of each network, by what it is given of a clip"
    known = table[table["UF1"].notna()]
    if known.empty:
        return message_figure(title, "No cell has a complete run yet.", caption=caption)
    networks, inputs = known["System"].unique().tolist(), known["Input"].unique().tolist()
    shifts = np.linspace(-SPREAD / 2, SPREAD / 2, len(inputs)) if len(inputs) > 1 else [0.0]
    series = []
    for number, name in enumerate(inputs):
        of = known[known["Input"] == name]
        places = [networks.index(network) + shifts[number] for network in of["System"]]
        colour, _, symbol = style.series(number)
        look = {"places": places, "colour": colour, "symbol": symbol}
        series.append(column_dots(of, "UF1", plain(name), **look))
    x = {"title": f"{UF1}, 95 % interval over subjects", "range": [0, 1]}
    rows, row_px = [plain(name) for name in networks], DOT_PX * max(3, len(inputs))
    return interval_plot(rows, series, title, x=x, caption=caption, row_px=row_px)


def power_figure(table: pd.DataFrame, *, clips: int, claims: Mapping[str, float]) -> go.Figure:
    """Power (`power_table`) of a study: the share of studies that find a true difference.

    Each of the `claims`, differences in UF1 by name, is a vertical line.
    """
    figure = go.Figure()
    name = "studies that find it (p < 0.05)"
    figure.add_scatter(x=table["Mean UF1 difference"], y=table["Found"], name=name)
    hover = "difference %{x:.3f}: found in %{y:.0%}<extra></extra>"
    look = {"line": {"width": 3, "color": BLUE}, "marker": {"size": 8}, "hovertemplate": hover}
    figure.update_traces(mode="lines+markers", **look)
    for place, (name, gap) in enumerate(sorted(claims.items(), key=lambda claim: claim[1])):
        # neighbours keep clear of each other's line
        words, at, beyond = plain(name), 1.0 - 0.1 * place, bool(place % 2)
        add_reference(figure, x=gap, words=words, dash="dash", colour=ORANGE, at=at, beyond=beyond)
    title = f"What {clips} clips can tell apart"
    x = {"title": "Mean difference in UF1 (scores from 0 to 1)", "rangemode": "tozero"}
    y = {"title": "Share of studies with p < 0.05", "tickformat": ".0%", "range": [0, 1.06]}
    caption = (
        f"{table['Studies'].iloc[0]} simulated studies for each point; every answer independent of"
        " all others. Broken lines: differences that the paper claims on CASME II."
    )
    size: dict[str, Any] = {"height": 260, "left": 72, "widths": (0, 800)}
    return finish(figure, title, x, y, caption=caption, showlegend=False, **size)


def _points(table: pd.DataFrame, column: str, name: str, colour: str, symbol: str) -> go.Scatter:
    return column_dots(table, column, name, ends=None, colour=colour, symbol=symbol)


def _names(table: pd.DataFrame) -> list[str]:
    marks = table["Fidelity"].map(lambda fidelity: " (sketch)" if fidelity == SKETCH else "")
    return [plain(name) for name in table["System"] + marks]
