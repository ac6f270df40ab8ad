"""Figures of a study, a row each: scores, peeking, ranks, parameters, differences, inputs."""

import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
from plotly import graph_objects as go

from hmrm_lab.evaluation.ranks import LEVEL, Ranking
from hmrm_lab.reporting.style import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    TEMPLATE,
    VERMILLION,
    finish,
    message_figure,
    plain,
)
from hmrm_lab.reporting.study_words import SKETCH, p_words

Row = Mapping[str, Any]

ROW_PX = 27
FOREST_ROW_PX = 46
DOT_PX = 22  # for each input of a network
TOP = 106  # room for a legend of three lines, as on a narrow screen
LEAST_WIDTH, MOST_WIDTH = 430, 900
LETTER_PX = 7.4
CLAIM_SHIFT = 0.24  # of a row: a claim stands below our own figure
REASON_COLUMNS = 40
MARGIN = 0.06  # of the width, beyond the ends of the intervals
SPREAD = 0.66  # of the row of a network, from its first input to its last
SYMBOLS = ("circle", "square", "diamond", "cross", "star", "triangle-up")
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
    rows = _ranked(table)
    if not rows:
        return message_figure(SCORES, "No system has a complete run yet.", caption=caption)
    figure = go.Figure()
    _add_marks(figure, rows, "UF1", "measured", BLUE, "circle", intervals=True)
    _add_marks(figure, rows, "Null UF1", "shuffled labels", INK, "square-open")
    within = "shuffled within subjects"
    _add_marks(figure, rows, "Null within UF1", within, INK, "triangle-up-open")
    _add_marks(figure, rows, "Claimed UF1", "claimed by its authors", ORANGE, "diamond-open")
    return _finish(
        figure, SCORES, _names(rows), caption=caption, xaxis={"title": UF1, "range": [0, 1]}
    )


def peeking_figure(table: pd.DataFrame, *, caption: str = "") -> go.Figure:
    """Honest and oracle UF1 of every system, and the gap between them as a bar."""
    rows = [row for row in _ranked(table) if not math.isnan(row.get("Oracle UF1", math.nan))]
    if not rows:
        reason = "The oracle rule was not run; hmrm compare --oracle runs it beside the honest one."
        if "Oracle UF1" in table:
            reason = "No system has a complete run under the oracle rule."
        return message_figure(PEEKING, reason, caption=caption)
    figure = go.Figure()
    for place, row in enumerate(rows):
        ends = [row["UF1"], row["Oracle UF1"]]
        line = {"color": VERMILLION, "width": 7}
        _add_line(figure, ends, [place] * 2, "gap", line, opacity=0.35, showlegend=False)
    _add_marks(figure, rows, "UF1", "honest", BLUE, "circle")
    _add_marks(figure, rows, "Oracle UF1", "best test epoch", VERMILLION, "diamond-open")
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
    return _finish(figure, PEEKING, _names(rows), caption=caption, xaxis=span)


def ranks_figure(ranking: Ranking | str, *, caption: str = "") -> go.Figure:
    """The critical difference diagram: mean ranks, and bars beside systems that do not differ.

    The best stands on top. A bar at the right spans neighbours whose mean ranks differ by less
    than the critical difference. `ranking` may be the words why there is none.
    """
    if isinstance(ranking, str):
        return message_figure(RANKS, ranking, caption=caption)
    figure = go.Figure()
    count, gap = len(ranking.names), ranking.critical_difference
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
        _add_line(
            figure,
            [count + 0.4 + step * (place + 1)] * 2,
            [first - 0.2, last + 0.2],
            "no difference shown",
            {"color": INK, "width": 5},
            showlegend=place == 0,
        )
    beyond = ", beyond the axis" if 1 + gap > count else ""
    line = {"color": ORANGE, "width": 4}
    ends = [1, min(1 + gap, count)]
    _add_line(figure, ends, [-0.8, -0.8], f"critical difference{beyond}", line)
    words = (
        f"Over {', '.join(ranking.sets)}. Friedman's test by permutation: p "
        f"{p_words(ranking.p_value)}. Nemenyi's critical difference at {LEVEL:.0%}: "
        f"{gap:.2f} ranks, for {count} systems on {len(ranking.sets)} data "
        "sets, taken as independent blocks, which the data sets of one jointly trained composite "
        "are not. Few data sets tell little apart: a bar is no proof that systems are equal."
    )
    tick = 1 if count <= 6 else 2 if count <= 10 else 5
    return _finish(
        figure,
        RANKS,
        ranking.names,
        caption=f"{words}\n{caption}",
        top_row=-1.4,
        xaxis={
            "title": "Mean rank (1 is best)",
            "range": [0.6, count + 0.6 + step * (len(ranking.groups) + 1)],
            "tickvals": sorted({1, *range(tick, count + 1, tick)}),
            "tickangle": 0,
        },
    )


def parameters_figure(table: pd.DataFrame, *, ours: str, caption: str = "") -> go.Figure:
    """Parameters of every system that has some; filled where its UF1 lies in our interval."""
    rows = [row for row in _ranked(table) if row["Parameters"] > 0]
    if not rows:
        return message_figure(PARAMETERS, "No system has parameters to count.", caption=caption)
    own = next((row for row in rows if row["System"] == ours), None)
    figure = go.Figure()
    kinds = {
        "ours": (GREEN, "star"),
        "UF1 within our interval": (BLUE, "circle"),
        "UF1 outside of it": (INK, "circle-open"),
        "system": (BLUE, "circle"),
    }
    for kind, (colour, symbol) in kinds.items():
        places = [place for place, row in enumerate(rows) if _kind(row, own) == kind]
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
        "range": [math.floor(min(logs)), max(logs) + 0.5],
    }
    return _finish(figure, PARAMETERS, _names(rows), caption=caption, xaxis=span, right=72)


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
    rows = _records(table[table["Variant"] != full])
    if not rows:
        return message_figure(FOREST, "There is no variant to compare yet.", caption=caption)
    figure = go.Figure()
    figure.add_vline(x=0, line={"color": INK, "width": 1.5, "dash": "dash"})
    _add_marks(figure, rows, "Difference", "ours, 95 % interval", BLUE, "circle", intervals=True)
    claims = "claimed by the paper, on CASME II"
    _add_marks(
        figure, rows, "Paper difference", claims, ORANGE, "diamond-open", shift=CLAIM_SHIFT
    )
    for place, row in enumerate(rows):
        if math.isnan(row["Difference"]):
            _add_reason(figure, place, str(row["Note"]))
    columns = ("Difference low", "Difference high", "Difference", "Paper difference")
    ends = [row[name] for row in rows for name in columns if not math.isnan(row[name])]
    low, high = min([*ends, -0.05]), max([*ends, 0.05])
    margin = MARGIN * (high - low)
    return _finish(
        figure,
        FOREST,
        [f"<b>{plain(row['Variant'])}</b><br>{plain(row['Model'])}" for row in rows],
        caption=caption,
        row_px=FOREST_ROW_PX,
        left=40 + 7 * max(len(str(row["Model"])) for row in rows),
        top=70,
        xaxis={
            "title": "UF1 minus that of the full model",
            "range": [low - margin, high + margin],
            "tickformat": "+.2f",
        },
    )


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
    networks, inputs = (list(dict.fromkeys(known[name])) for name in ("System", "Input"))
    figure = go.Figure()
    for number, name in enumerate(inputs):
        of = known[known["Input"] == name].set_index("System").reindex(networks).reset_index()
        _add_marks(
            figure,
            _records(of),
            "UF1",
            plain(name),
            TEMPLATE.layout.colorway[number % 6],
            SYMBOLS[number % len(SYMBOLS)],
            shift=SPREAD * (number / max(1, len(inputs) - 1) - 0.5) if len(inputs) > 1 else 0,
            intervals=True,
        )
    return _finish(
        figure,
        INPUTS,
        [plain(name) for name in networks],
        caption=caption,
        row_px=DOT_PX * max(3, len(inputs)),
        xaxis={"title": f"{UF1}, 95 % interval over subjects", "range": [0, 1]},
    )


def power_figure(table: pd.DataFrame, *, clips: int, claims: Mapping[str, float]) -> go.Figure:
    """How often a study of so many clips would find a difference that is truly there.

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
        showlegend=False,
        most_width=800,
        xaxis={"title": "Mean difference in UF1 (scores from 0 to 1)", "rangemode": "tozero"},
        yaxis={"title": "Share of studies with p < 0.05", "tickformat": ".0%", "range": [0, 1.06]},
    )


def _records(table: pd.DataFrame) -> list[Row]:
    rows = table.to_dict("records")
    return [{str(key): value for key, value in row.items()} for row in rows]


def _ranked(table: pd.DataFrame) -> list[Row]:
    return _records(table[table["Rank"].notna()])


def _names(rows: Iterable[Row]) -> list[str]:
    return [
        plain(f"{row['System']}{' (sketch)' if row['Fidelity'] == SKETCH else ''}") for row in rows
    ]


def _kind(row: Row, own: Row | None) -> str:
    if own is None:
        return "system"
    if row is own:
        return "ours"
    inside = own["UF1 low"] <= row["UF1"] <= own["UF1 high"]
    return "UF1 within our interval" if inside else "UF1 outside of it"


def _add_marks(
    figure: go.Figure,
    rows: Sequence[Row],
    column: str,
    name: str,
    colour: str,
    symbol: str,
    *,
    intervals: bool = False,
    shift: float = 0,
) -> None:
    """Add a mark in each row that has a figure in this column; `shift` is in rows, downwards."""
    known = [
        (place, row) for place, row in enumerate(rows) if not math.isnan(row.get(column, math.nan))
    ]
    if not known:
        return
    hover = [f"{row[column]:.3f}" for _, row in known]
    ends = None
    if intervals:
        low, high = ([row[f"{column} {end}"] for _, row in known] for end in ("low", "high"))
        values = [row[column] for _, row in known]
        ends = {
            "array": [end - value for end, value in zip(high, values, strict=True)],
            "arrayminus": [value - end for end, value in zip(low, values, strict=True)],
            "thickness": 2,
            "width": 4,
        }
        hover = [f"{x} [{a:.3f}, {b:.3f}]" for x, a, b in zip(hover, low, high, strict=True)]
        if column == "Difference":
            tests = (f"p {p_words(row['p'])}, Holm {p_words(row['p (Holm)'])}" for _, row in known)
            hover = [f"{text}<br>{test}" for text, test in zip(hover, tests, strict=True)]
    of = [plain(row.get("System", row.get("Model", ""))) for _, row in known]
    figure.add_scatter(
        x=[row[column] for _, row in known],
        y=[place + shift for place, _ in known],
        error_x=ends,
        mode="markers",
        marker={
            "color": colour,
            "symbol": symbol,
            "size": 10,
            "line": {"width": 2, "color": colour},
        },
        name=name,
        hovertext=[f"{row}, {name}: {text}" for row, text in zip(of, hover, strict=True)],
        hovertemplate="%{hovertext}<extra></extra>",
    )


def _add_line(
    figure: go.Figure,
    x: Sequence[float],
    y: Sequence[float],
    name: str,
    line: Mapping[str, Any],
    **options: Any,
) -> None:
    figure.add_scatter(x=x, y=y, mode="lines", line=line, name=name, hoverinfo="skip", **options)


def _add_reason(figure: go.Figure, place: int, note: str) -> None:
    """Say why a row has no mark of ours: at the right, above where its claim would lie."""
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


def _finish(
    figure: go.Figure,
    title: str,
    names: Sequence[str],
    *,
    caption: str,
    xaxis: Mapping[str, Any],
    row_px: int = ROW_PX,
    top_row: float = -0.6,
    left: int = 0,
    right: int = 24,
    top: int = TOP,
) -> go.Figure:
    """Lay out a row for each name, the first on top."""
    return finish(
        figure,
        title,
        caption=caption,
        height=row_px * len(names) + 24,
        left=left or int(24 + LETTER_PX * max(map(len, names))),
        right=right,
        top=top,
        least_width=LEAST_WIDTH,
        most_width=MOST_WIDTH,
        showlegend=True,
        xaxis=dict(xaxis),
        yaxis={
            "tickvals": list(range(len(names))),
            "ticktext": list(names),
            "range": [len(names) - 0.4, top_row],
            "ticks": "",
            "showgrid": False,
        },
    )
