"""What the fittest choices of an evolutionary search have in common (AMMSM, Figure 4)."""

import pandas as pd
from plotly import graph_objects as go

from hmrm_lab.reporting.style import BLUE, ORANGE, VERMILLION, finish, message_figure

FITTEST = 20
SPREAD = 0.6  # of the place of a stage, from the fittest on the left to the last on the right
TITLE = "What the fittest choices have in common"
CAPTION = "Super-networks on inner folds of the development subjects, not a test result."


def fittest(table: pd.DataFrame, count: int = FITTEST) -> pd.DataFrame:
    """The best choices, each once: by UF1, and by cross-entropy between equals."""
    ordered = table.sort_values(
        ["UF1", "Cross-entropy", "Trial"], ascending=[False, True, True], kind="stable"
    )
    return ordered.drop_duplicates(_choice_columns(table)).head(count).reset_index(drop=True)


def choices_figure(table: pd.DataFrame, *, count: int = FITTEST, caption: str = "") -> go.Figure:
    """Sparsity ratios of every stage (blue) and the magnification factor (orange) of the fittest.

    Parameters
    ----------
    table
        As `Evolved` has it: columns Trial, alpha, `ratio 1` and so on, UF1 and Cross-entropy.
    count
        How many choices are drawn. Of each stage they stand side by side, the fittest left.
    """
    best = fittest(table, count) if len(table) else table
    if best.empty:
        return message_figure(TITLE, "No choice has been tried yet.", caption=CAPTION)
    ratios = [name for name in _choice_columns(best) if name != "alpha"]
    figure = go.Figure()
    for place, name in enumerate(ratios):
        _add_dots(figure, best, name, place, colour=BLUE, axis="y", told=place == 0)
    _add_dots(figure, best, "alpha", len(ratios), colour=ORANGE, axis="y2", told=True)
    how_many = f"{len(best)} fittest" if len(best) > 1 else "fittest"
    said = f"The {how_many} of {len(table)} trials; ringed: the winner. {CAPTION}"
    names = [f"stage {name.rpartition(' ')[2]}" for name in ratios]
    return finish(
        figure,
        TITLE,
        caption=said + (f"\n{caption}" if caption else ""),
        height=280,
        right=64,
        top=96,
        most_width=800,
        showlegend=True,
        xaxis={
            "tickvals": list(range(len(ratios) + 1)),
            "ticktext": [*names, "factor"],
            "range": [-0.5, len(ratios) + 0.5],
            "showgrid": False,
        },
        yaxis={"title": "Sparsity ratio (share of tokens)", "range": [0, 1.05]},
        yaxis2={
            "title": "Magnification factor",
            "overlaying": "y",
            "side": "right",
            "rangemode": "tozero",
            "tickmode": "auto",
            "showgrid": False,
        },
    )


def _choice_columns(table: pd.DataFrame) -> list[str]:
    return [str(name) for name in table.columns if name == "alpha" or str(name)[:6] == "ratio "]


def _add_dots(
    figure: go.Figure,
    best: pd.DataFrame,
    name: str,
    place: int,
    *,
    colour: str,
    axis: str,
    told: bool,
) -> None:
    steps = range(len(best))
    x = [place + SPREAD * (step / max(1, len(best) - 1) - 0.5) for step in steps]
    figure.add_scatter(
        x=x,
        y=best[name],
        yaxis=axis,
        mode="markers",
        marker={
            "size": 9,
            "color": colour,
            "line": {"width": [3, *(0 for _ in steps[1:])], "color": VERMILLION},
        },
        name="magnification factor" if name == "alpha" else "sparsity ratio",
        legendgroup=name[:5],
        showlegend=told,
        customdata=[
            f"trial {row['Trial']:.0f}: UF1 {row['UF1']:.3f},"
            f" cross-entropy {row['Cross-entropy']:.3f}"
            for _, row in best.iterrows()
        ],
        hovertemplate="%{y}<br>%{customdata}<extra></extra>",
    )
