"""Figures of what makes a number honest: looks, chance, averages, and whom to resample."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from plotly import graph_objects as go

from hmrm_lab.evaluation.metrics import Doubles
from hmrm_lab.evaluation.peeking import look_counts
from hmrm_lab.reporting.style import BLUE, GREEN, INK, ORANGE, VERMILLION, finish, plain

COLOURS = (BLUE, VERMILLION, GREEN, ORANGE)
SYMBOLS = ("circle", "diamond", "square", "triangle-up")
DASHES = ("solid", "dash", "dot", "dashdot")
BINS = 40
MARGIN = 0.02  # of UF1, beside the outermost sample
JITTER = 0.18  # clips to the left and right, so that equal folds can be told apart
UF1 = "UF1 (0 to 1, higher is better)"


def looks_figure(
    curves: Mapping[str, tuple[Sequence[int], Doubles]],
    title: str,
    *,
    classes: int,
    caption: str = "",
) -> go.Figure:
    """UF1 against the number of epochs looked at, a line each; several draws give a band.

    Parameters
    ----------
    curves
        By name: the numbers of looks (L), and UF1 as (L,) or (draws, L).
    classes
        How many there are: guessing gives one over it.
    """
    figure = go.Figure()
    for number, (name, (counts, values)) in enumerate(curves.items()):
        draws = np.atleast_2d(values)
        colour = COLOURS[number % len(COLOURS)]
        if len(draws) > 1:
            figure.add_trace(_band(counts, draws, colour))
        figure.add_scatter(
            x=list(counts),
            y=draws.mean(0).round(4).tolist(),
            mode="lines+markers",
            line={"color": colour, "dash": DASHES[number % len(DASHES)]},
            marker={"symbol": SYMBOLS[number % len(SYMBOLS)], "size": 9},
            name=plain(name),
            hovertemplate="%{x} looks: UF1 %{y:.3f}<extra></extra>",
        )
    figure.add_hline(1 / classes, line={"dash": "dot", "width": 1.5, "color": INK})
    figure.add_annotation(
        x=1,
        xref="paper",
        y=1 / classes,
        text="chance",
        showarrow=False,
        xanchor="right",
        yanchor="top",
        font_size=11,
    )
    ticks = sorted({count for counts, _ in curves.values() for count in counts})
    return finish(
        figure,
        title,
        caption=caption,
        height=320,
        top=92,
        showlegend=True,
        xaxis={
            "type": "log",
            "title": "Epochs looked at (log scale)",
            "tickvals": ticks,
            "ticktext": [f"{tick:,}" for tick in ticks],
        },
        yaxis={"title": UF1, "range": [0, 1]},
    )


def distributions_figure(
    samples: Mapping[str, Doubles],
    marks: Mapping[str, float],
    title: str,
    *,
    caption: str = "",
) -> go.Figure:
    """Distributions of UF1 as outlines, and single values as vertical lines with their names."""
    figure = go.Figure()
    known = np.concatenate([*samples.values(), list(marks.values())])
    low, high = max(0.0, known.min() - MARGIN), min(1.0, known.max() + MARGIN)
    edges = np.linspace(low, high, BINS + 1)
    middles = ((edges[1:] + edges[:-1]) / 2).round(4).tolist()
    for number, (name, values) in enumerate(samples.items()):
        shares = np.histogram(values, edges)[0] / len(values)
        figure.add_scatter(
            x=middles,
            y=shares.round(5).tolist(),
            mode="lines",
            line={
                "shape": "hvh",
                "color": COLOURS[number % len(COLOURS)],
                "dash": DASHES[number % len(DASHES)],
            },
            fill="tozeroy",
            fillcolor=f"{COLOURS[number % len(COLOURS)]}22",
            name=plain(name),
            hovertemplate="UF1 %{x:.2f}: %{y:.1%}<extra></extra>",
        )
    for place, (name, value) in enumerate(marks.items()):
        figure.add_vline(value, line={"width": 2, "color": INK})
        figure.add_annotation(
            x=value,
            y=1 - 0.13 * place,
            yref="paper",
            text=f"{plain(name)} {value:.3f}",
            showarrow=False,
            xanchor="left" if value < (low + high) / 2 else "right",
            yanchor="top",
            xshift=4 if value < (low + high) / 2 else -4,
            font_size=11,
        )
    return finish(
        figure,
        title,
        caption=caption,
        height=300,
        top=92,
        showlegend=True,
        xaxis={"title": UF1, "range": [low, high]},
        yaxis={"title": "Share of samples", "rangemode": "tozero", "tickformat": ".0%"},
    )


def folds_figure(
    scores: pd.DataFrame, levels: Mapping[str, float], *, caption: str = ""
) -> go.Figure:
    """UF1 of every fold by its number of clips, and the averages that can be made of them.

    Parameters
    ----------
    scores
        As `fold_scores` gives them; `present` is drawn.
    levels
        Averages by name, as `three_averages` gives them.
    """
    figure = go.Figure()
    rng = np.random.default_rng(0)
    for number, (classes, part) in enumerate(scores.groupby("classes")):
        places = part["clips"] * (1 + JITTER * (rng.random(len(part)) - 0.5))
        figure.add_scatter(
            x=places.round(2).tolist(),
            y=part["present"].round(4).tolist(),
            mode="markers",
            marker={
                "color": COLOURS[number % len(COLOURS)],
                "symbol": SYMBOLS[number % len(SYMBOLS)],
                "size": 9,
                "opacity": 0.75,
            },
            name=f"{classes} class{'' if classes == 1 else 'es'} in the fold",
            customdata=part[["fold", "clips"]],
            hovertemplate="%{customdata[0]}: %{customdata[1]} clips, UF1 %{y:.2f}<extra></extra>",
        )
    for number, (name, value) in enumerate(levels.items()):
        figure.add_hline(value, line={"dash": DASHES[number], "width": 2, "color": INK})
        figure.add_annotation(
            x=1,
            xref="paper",
            y=value,
            text=f"{plain(name)}: {value:.3f}",
            showarrow=False,
            xanchor="right",
            yanchor="top" if number == 1 else "bottom",
            font_size=11,
        )
    jittered = "Points are moved a little to the side, so that equal folds can be told apart."
    return finish(
        figure,
        "UF1 of every fold, and three averages",
        caption=f"{jittered}\n{caption}",
        height=340,
        top=92,
        showlegend=True,
        xaxis={
            "type": "log",
            "title": "Clips in the fold (log scale)",
            "tickvals": look_counts(int(scores["clips"].max())),
        },
        yaxis={"title": "UF1 of the fold (absent classes left out)", "range": [-0.04, 1.08]},
    )


def _band(counts: Sequence[int], draws: Doubles, colour: str) -> go.Scatter:
    """From the least to the most of all draws."""
    around = [*counts, *reversed(counts)]
    edge = [*draws.max(0).tolist(), *draws.min(0)[::-1].tolist()]
    return go.Scatter(
        x=around,
        y=np.round(edge, 4).tolist(),
        fill="toself",
        fillcolor=f"{colour}33",
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        showlegend=False,
    )
