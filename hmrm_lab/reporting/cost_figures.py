"""What accuracy costs: parameters and operations against UF1 (paper, Figure 6)."""

from collections.abc import Iterable, Mapping
from math import ceil, floor, log10
from types import MappingProxyType

import pandas as pd
from plotly import graph_objects as go
from plotly.subplots import make_subplots

from hmrm_lab.reporting.figures import KINDS
from hmrm_lab.reporting.style import INK, finish, plain
from hmrm_lab.reporting.tables import ALL

# Parameters that authors give for their own systems. No scores: those were measured otherwise.
PUBLISHED = MappingProxyType({"STSTNet": 1_683, "HTNet": 139_600_000})
CONVENTION = (
    "FLOPs are for one map, a multiply-add counted as two; the scan has its own formula; norms, "
    "activations and pooling are left out."
)
PANELS = (("Parameters", "Parameters (log scale)"), ("FLOPs", "FLOPs per map (log scale)"))


def cost_figure(
    table: pd.DataFrame, *, published: Mapping[str, int] = PUBLISHED, caption: str = ""
) -> go.Figure:
    """UF1 with its interval against parameters and against FLOPs.

    Parameters
    ----------
    table
        Rows as `results_table` gives them; those of whole runs are drawn. A row with a note gets
        the symbol of its kind.
    published
        Parameters by the name of a system, as its authors give them: a dotted line, as no score
        on these clips belongs to them.

    Raises
    ------
    ValueError
        If the table holds no whole run.
    """
    rows = table[table["Part"] == ALL]
    if rows.empty:
        raise ValueError("the table holds no whole run")
    figure = make_subplots(cols=2, shared_yaxes=True, horizontal_spacing=0.06)
    kinds = rows["Note"].str.partition(" ")[0].str.strip(",").replace("", "honest")
    for kind in [kind for kind in KINDS if (kinds == kind).any()]:
        for column, (name, _) in enumerate(PANELS, start=1):
            points = _points(rows[(kinds == kind) & rows[name].notna()], name, kind)
            points.showlegend = column == 1
            figure.add_trace(points, row=1, col=column)
    for name, count in published.items():
        figure.add_vline(count, line={"dash": "dot", "width": 1.5, "color": INK}, row=1, col=1)
        figure.add_annotation(
            x=log10(count),
            y=1,
            text=f"{plain(name)}, as published",
            textangle=-90,
            showarrow=False,
            xanchor="right",
            yanchor="top",
            font_size=11,
            row=1,
            col=1,
        )
    for column, (name, title) in enumerate(PANELS, start=1):
        counts = [*rows[name].dropna(), *(published.values() if column == 1 else ())]
        axis = {"type": "log", "range": _decades(counts), "dtick": 1, "exponentformat": "SI"}
        figure.update_xaxes(title=title, **axis, row=1, col=column)
    figure.update_yaxes(range=[0, 1])
    figure.update_yaxes(title="UF1 (higher is better)", row=1, col=1)
    rules = ", ".join(sorted(rows["Epoch rule"].unique()))
    folds = "-".join(map(str, sorted({rows["Subjects"].min(), rows["Subjects"].max()})))
    bare = rows.loc[rows["Parameters"].isna(), "System"].unique()
    left_out = f"Not drawn, as no networks: {', '.join(map(plain, bare))}. " if len(bare) else ""
    dotted = "Dotted: parameters as their authors give them; no score is theirs. "
    return finish(
        figure,
        "What accuracy costs",
        caption=f"Bars: 95 % interval over subjects. {left_out}{dotted if published else ''}"
        f"{CONVENTION}\n"
        f"epoch rule {rules}; {folds} subjects (folds)\n{caption}",
        height=320,
        top=70,
        least_width=560,
        most_width=900,
        showlegend=True,
    )


def _decades(counts: Iterable[float]) -> list[int]:
    """The whole decades round these, with room for a name beside the last."""
    logs = [log10(count) for count in counts] or [3.0]
    return [floor(min(logs)), ceil(max(logs) + 0.3)]


def _points(rows: pd.DataFrame, name: str, kind: str) -> go.Scatter:
    colour, symbol = KINDS[kind]
    return go.Scatter(
        x=rows[name].tolist(),
        y=rows["UF1"].tolist(),
        error_y={
            "array": (rows["UF1 high"] - rows["UF1"]).tolist(),
            "arrayminus": (rows["UF1"] - rows["UF1 low"]).tolist(),
            "thickness": 2,
            "width": 5,
        },
        mode="markers+text",
        marker={
            "color": colour,
            "symbol": symbol,
            "size": 11,
            "line": {"width": 2, "color": colour},
        },
        text=[f" {plain(system)}" for system in rows["System"]],
        textposition="middle right",
        name=kind,
        hovertemplate="%{text}<br>" + name + " %{x:,}<br>UF1 %{y:.3f}<extra></extra>",
        cliponaxis=False,
    )
