"""What networks make of each input: UF1 of all cells with their intervals."""

from typing import Any

import pandas as pd
from plotly import graph_objects as go

from hmrm_lab.reporting.style import TEMPLATE, finish, message_figure, plain

TITLE = "UF1 of each network, by what it is given of a clip"
SYMBOLS = ("circle", "square", "diamond", "cross", "star", "triangle-up")
SPREAD = 0.66  # of the place of a network, from its first input to its last
ROW_PX = 22  # for each dot
LETTER_PX = 7.4
UF1 = "UF1 (0 to 1, higher is better), 95 % interval over subjects"


def inputs_figure(table: pd.DataFrame, *, caption: str = "") -> go.Figure:
    """A dot with its interval for each cell; those of one network stand below each other.

    Parameters
    ----------
    table
        As `inputs_table` gives it. Cells without figures have no dot.
    """
    known = table[table["UF1"].notna()]
    if known.empty:
        return message_figure(TITLE, "No cell has a complete run yet.", caption=caption)
    systems, inputs = (list(dict.fromkeys(known[name])) for name in ("System", "Input"))
    figure = go.Figure()
    for number, name in enumerate(inputs):
        shift = SPREAD * (number / max(1, len(inputs) - 1) - 0.5) if len(inputs) > 1 else 0.0
        rows = known[known["Input"] == name].to_dict("records")
        figure.add_scatter(**_dots(rows, [systems.index(row["System"]) + shift for row in rows]))
        colours = TEMPLATE.layout.colorway
        look = {"size": 10, "symbol": SYMBOLS[number % len(SYMBOLS)]}
        figure.data[-1].update(name=plain(name), marker=look | {"color": colours[number % 6]})
    return finish(
        figure,
        TITLE,
        caption=caption,
        height=ROW_PX * max(3, len(inputs)) * len(systems) + 24,
        left=int(24 + LETTER_PX * max(map(len, systems))),
        top=106,
        least_width=430,
        most_width=900,
        xaxis={"title": UF1, "range": [0, 1]},
        yaxis={
            "tickvals": list(range(len(systems))),
            "ticktext": [plain(name) for name in systems],
            "range": [len(systems) - 0.45, -0.55],
            "ticks": "",
            "showgrid": False,
        },
    )


def _dots(rows: list[dict[Any, Any]], places: list[float]) -> dict[str, Any]:
    """A scatter of UF1 with the two ends of its interval."""
    return {
        "x": [row["UF1"] for row in rows],
        "y": places,
        "error_x": {
            "array": [row["UF1 high"] - row["UF1"] for row in rows],
            "arrayminus": [row["UF1"] - row["UF1 low"] for row in rows],
            "thickness": 2,
            "width": 4,
        },
        "mode": "markers",
        "customdata": [
            (plain(row["System"]), plain(row["Input"]), row["UF1 low"], row["UF1 high"])
            for row in rows
        ],
        "hovertemplate": "%{customdata[0]}, %{customdata[1]}: %{x:.3f}"
        " [%{customdata[2]:.3f}, %{customdata[3]:.3f}]<extra></extra>",
    }
