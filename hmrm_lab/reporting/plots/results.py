"""Figures of runs: scores, cost, training, and what a score is worth."""

from collections.abc import Iterator, Mapping, Sequence
from math import ceil, floor, log10
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from plotly import graph_objects as go
from plotly.subplots import make_subplots

from hmrm_lab.evaluation.metrics import Doubles
from hmrm_lab.evaluation.simulate import evaluation_counts
from hmrm_lab.reporting.plots.kit import add_line, add_reference, column_dots, interval_plot
from hmrm_lab.reporting.style import BLUE, INK, ORANGE, VERMILLION, finish, plain, series
from hmrm_lab.reporting.tables import ALL

THIN = {"width": 1, "color": "rgba(42, 135, 208, 0.3)"}
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

# Parameters that authors give for their own systems. No scores: those were measured otherwise.
PUBLISHED = MappingProxyType({"STSTNet": 1_683, "HTNet": 139_600_000})
CONVENTION = (
    "FLOPs are for one map, a multiply-add counted as two; the scan has its own formula; norms, "
    "activations and pooling are left out."
)
COSTS = (("Parameters", "Parameters (log scale)"), ("FLOPs", "FLOPs per map (log scale)"))
UF1 = "UF1 (0 to 1, higher is better)"
BINS = 40
MARGIN = 0.02  # of UF1, beside the last sample
JITTER = 0.18  # clips to the left and right, so that equal folds can be told apart


def training_curves_figure(history: pd.DataFrame, *, caption: str = "") -> go.Figure:
    """Training loss: a thin line per fold and seed, and their median.

    `history` has the columns fold, seed, epoch, loss; no rows for a system without epochs.
    """
    figure = go.Figure()
    if history.empty:
        title, hidden = "No training loss: a non-iterative estimator", {"visible": False}
        return finish(figure, title, hidden, hidden, caption=caption, height=120)
    for (fold, seed), curve in history.groupby(["fold", "seed"]):
        name, points = plain(f"{fold}, seed {seed}"), _thinned(curve.set_index("epoch")["loss"])
        figure.add_scatter(**points, name=name, line=THIN, showlegend=False)
    hover = "%{fullData.name}<br>epoch %{x}: %{y:.3f}<extra></extra>"
    figure.update_traces(mode="lines", hovertemplate=hover)
    points = _thinned(history.groupby("epoch")["loss"].median())
    look = {"mode": "lines", "line": {"width": 3, "color": VERMILLION}}
    hover = "median, epoch %{x}: %{y:.3f}<extra></extra>"
    figure.add_scatter(**points, **look, name="median over folds and seeds", hovertemplate=hover)
    title = f"Training loss of {history['fold'].nunique()} folds"
    x = {"title": "Epoch", "dtick": 1 if history["epoch"].max() <= 10 else None}
    y = {"title": "Training loss", "rangemode": "tozero"}
    return finish(figure, title, x, y, caption=caption)


def metrics_interval_figure(table: pd.DataFrame) -> go.Figure:
    """UF1 with its interval, systems and data sets below each other (rows of `results_table`).

    A row whose `Note` is not empty gets a symbol of its own, so that a peeking result cannot be
    taken for an honest one.
    """
    names = _short_names(table)
    rows, places = [], {}
    for part, of_part in table.groupby("Part", sort=False):
        if table["Part"].nunique() > 1:
            rows.append(f"<b>{'all data' if part == ALL else plain(part)}</b>")
        for index in of_part.index:
            places[index] = len(rows)
            rows.append(plain(names[index]))
    series = []
    for kind, chosen, look in _by_kind(table):
        words = [
            f"{plain(row['System'])}, {plain(row['Part'])}: {row['Subjects']} subjects, "
            f"epoch rule {row['Epoch rule']}"
            for _, row in chosen.iterrows()
        ]
        at = [places[index] for index in chosen.index]
        series.append(column_dots(chosen, "UF1", kind, places=at, words=words, **look))
    odd = ", ".join(dots.name for dots in series if dots.name != "honest")
    warning = f"{odd}: not comparable with honest results\n" if odd else ""
    title, caption = "UF1 with 95 % interval over subjects", f"{warning}{_conditions(table)}"
    x = {"title": UF1, "range": [0, 1]}
    return interval_plot(rows, series, title, x=x, caption=caption, row_px=34)


def cost_figure(
    table: pd.DataFrame, *, published: Mapping[str, int] = PUBLISHED, caption: str = ""
) -> go.Figure:
    """UF1 with its interval against parameters and against FLOPs (paper, Figure 6).

    Drawn are the whole runs among the rows of `results_table`, each with the symbol of its note.
    Parameters that authors give are dotted lines, as no score on these clips belongs to them.
    """
    rows = table[table["Part"] == ALL]
    if rows.empty:
        raise ValueError("the table holds no whole run")
    figure = make_subplots(cols=2, shared_yaxes=True, horizontal_spacing=0.06)
    for column, (name, title) in enumerate(COSTS, start=1):
        counts = [*rows[name].dropna(), *(published.values() if column == 1 else ())]
        logs = [log10(count) for count in counts] or [3.0]
        decades = [floor(min(logs)), ceil(max(logs) + 0.3)]  # room for a name beside the last
        axis = {"type": "log", "range": decades, "dtick": 1, "exponentformat": "SI"}
        figure.update_xaxes(title=title, **axis, row=1, col=column)
        for kind, chosen, look in _by_kind(rows[rows[name].notna()]):
            systems, counted = [*map(plain, chosen["System"])], chosen[name].tolist()
            words = [f"{who}<br>{name} {n:,}" for who, n in zip(systems, counted, strict=True)]
            look |= {"places": counted, "labels": systems, "words": words}
            dots = column_dots(chosen, "UF1", kind, upright=True, **look)
            dots.update(legendgroup=kind, showlegend=column == 1)
            figure.add_trace(dots, row=1, col=column)
    for name, count in published.items():
        add_reference(figure, x=count, words=f"{plain(name)}, as published", row=1, col=1)
        figure.layout.annotations[-1].textangle = -90
    figure.update_yaxes(range=[0, 1])
    figure.update_yaxes(title="UF1 (higher is better)", row=1, col=1)
    bare = rows.loc[rows["Parameters"].isna(), "System"].unique()
    bars = "Bars: 95 % interval over subjects. "
    bars += f"Not drawn, as no networks: {', '.join(map(plain, bare))}. " if len(bare) else ""
    if published:
        bars += "Dotted: parameters as their authors give them; no score is theirs. "
    caption = f"{bars}{CONVENTION}\n{_conditions(rows)}\n{caption}"
    return finish(figure, "What accuracy costs", caption=caption, height=320, widths=(560, 900))


def peeking_curve_figure(
    curves: Mapping[str, tuple[Sequence[int], Doubles]],
    title: str,
    *,
    classes: int,
    claims: Mapping[str, float] | None = None,
    caption: str = "",
) -> go.Figure:
    """UF1 against the number of test-set evaluations, a line each; several draws give a band.

    `curves` holds by name the numbers of evaluations (L), and UF1 as (L,) or (draws, L); `claims`
    are of publications, each a line across.
    """
    figure = go.Figure()
    for number, (name, (counts, values)) in enumerate(curves.items()):
        draws = np.atleast_2d(values)
        band = (draws.min(0), draws.max(0)) if len(draws) > 1 else None
        hover = "%{x} epochs: UF1 %{y:.3f}<extra></extra>"
        add_line(figure, counts, draws.mean(0), name, number, band=band, hovertemplate=hover)
    add_reference(figure, y=1 / classes, words="chance", below=True)
    for words, claim in (claims or {}).items():
        add_reference(figure, y=claim, words=f"{plain(words)} {claim:.3f}", dash="solid")
    ticks = sorted({count for counts, _ in curves.values() for count in counts})
    x = {
        "type": "log",
        "title": "Test-set evaluations (log scale)",
        "tickvals": ticks,
        "ticktext": [f"{tick:,}" for tick in ticks],
    }
    return finish(figure, title, x, {"title": UF1, "range": [0, 1]}, caption=caption, height=320)


def distributions_figure(
    samples: Mapping[str, Doubles], marks: Mapping[str, float], title: str, *, caption: str = ""
) -> go.Figure:
    """Distributions of UF1 as outlines, and single values as vertical lines with their names."""
    known = np.concatenate([*samples.values(), list(marks.values())])
    low, high = max(0.0, known.min() - MARGIN), min(1.0, known.max() + MARGIN)
    edges = np.linspace(low, high, BINS + 1)
    figure = go.Figure()
    for number, (name, values) in enumerate(samples.items()):
        shares = np.histogram(values, edges)[0] / len(values)
        hover = "UF1 %{x:.2f}: %{y:.1%}<extra></extra>"
        middles = ((edges[1:] + edges[:-1]) / 2).round(4)
        add_line(figure, middles, shares, name, number, mode="lines", hovertemplate=hover)
        colour = figure.data[-1].line.color
        figure.data[-1].update(line_shape="hvh", fill="tozeroy", fillcolor=f"{colour}22")
    for place, (name, value) in enumerate(marks.items()):
        words, at = f"{plain(name)} {value:.3f}", 1 - 0.13 * place
        beyond = value < (low + high) / 2
        add_reference(figure, x=value, words=words, dash="solid", width=2, at=at, beyond=beyond)
    x = {"title": UF1, "range": [low, high]}
    y = {"title": "Share of samples", "rangemode": "tozero", "tickformat": ".0%"}
    return finish(figure, title, x, y, caption=caption, height=300)


def folds_figure(
    scores: pd.DataFrame, levels: Mapping[str, float], *, caption: str = ""
) -> go.Figure:
    """UF1 of every fold (`fold_scores`) by its number of clips, and averages (`three_averages`)."""
    figure = go.Figure()
    rng = np.random.default_rng(0)
    for number, (classes, part) in enumerate(scores.groupby("classes")):
        places = part["clips"] * (1 + JITTER * (rng.random(len(part)) - 0.5))
        name = f"{classes} class{'' if classes == 1 else 'es'} in the fold"
        data = part[["fold", "clips"]]
        look: dict[str, Any] = {"mode": "markers", "opacity": 0.75, "customdata": data}
        add_line(figure, places.round(2), part["present"], name, number, **look)
    hover = "%{customdata[0]}: %{customdata[1]} clips, UF1 %{y:.2f}<extra></extra>"
    figure.update_traces(hovertemplate=hover)
    for number, (name, value) in enumerate(levels.items()):
        words, dash = f"{plain(name)}: {value:.3f}", series(number)[1]
        add_reference(figure, y=value, words=words, dash=dash, width=2, below=number == 1)
    jittered = "Points are moved a little to the side, so that equal folds can be told apart."
    ticks = evaluation_counts(int(scores["clips"].max()))
    title = "UF1 of every fold, and three averages"
    x = {"type": "log", "title": "Clips in the fold (log scale)", "tickvals": ticks}
    y = {"title": "UF1 of the fold (absent classes left out)", "range": [-0.04, 1.08]}
    return finish(figure, title, x, y, caption=f"{jittered}\n{caption}", height=340)


def _by_kind(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame, dict[str, Any]]]:
    kinds = table["Note"].map(lambda note: note.split(" ")[0].strip(",") or "honest")
    for kind, (colour, symbol) in KINDS.items():
        if (kinds == kind).any():
            yield kind, table[kinds == kind], {"colour": colour, "symbol": symbol}


def _conditions(table: pd.DataFrame) -> str:
    rules = ", ".join(sorted(table["Epoch rule"].unique()))
    subjects = "-".join(map(str, sorted({table["Subjects"].min(), table["Subjects"].max()})))
    protocols = ", ".join(sorted(table["Protocol"].unique()))
    return f"protocol {protocols}; epoch rule {rules}; {subjects} subjects"


def _short_names(table: pd.DataFrame) -> "pd.Series[str]":
    """The shortest that tells the rows apart: system, with note, run's name, with digest."""
    noted = table["System"] + (", " + table["Note"]).where(table["Note"] != "", "")
    bare = table["Run"].str.replace(r"-[0-9a-f]{8}$", "", regex=True)
    for names in (table["System"], noted, bare):
        if not table.assign(name=names).duplicated(["name", "Part"]).any():
            return names
    return table["Run"]


def _thinned(losses: "pd.Series[float]") -> dict[str, Any]:
    """A line of no more points than a screen can show; the first and the last stay."""
    chosen = np.linspace(0, len(losses) - 1, min(len(losses), MOST_POINTS)).astype(int)
    kept = losses.iloc[np.unique(chosen)]
    return {"x": kept.index.tolist(), "y": kept.round(4).tolist()}
