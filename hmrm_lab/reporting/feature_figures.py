"""Features of clips in two dimensions (paper, Figure 5)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from plotly import graph_objects as go

from hmrm_lab.records import ClipKey, Floats, Ints
from hmrm_lab.reporting.style import CLASS_COLOURS, CLASS_SYMBOLS, INK, finish, plain

POINT_PX, RIM_PX = 9, 3
SEEN = 0.55  # opacity of clips that the model was trained on
AXIS = {"showticklabels": False, "ticks": "", "title": "t-SNE (no unit)"}


def feature_figure(
    points: Floats,
    labels: Ints,
    keys: Sequence[ClipKey],
    classes: Sequence[str],
    *,
    held_out: NDArray[np.bool_] | None = None,
    title: str = "Features by t-SNE",
    caption: str = "",
) -> go.Figure:
    """One symbol per clip. Colour and symbol are its class; an outline marks a held-out subject.

    Parameters
    ----------
    held_out
        Clips of subjects that the model has never seen; without it, it has seen all.

    Shapes
    ------
    points : (n, 2), of one model
    labels : (n,)
    held_out : (n,)
    """
    unseen = np.zeros(len(labels), dtype=bool) if held_out is None else held_out
    figure = go.Figure()
    for label, name in enumerate(classes):
        for new in (False, True):
            chosen = np.flatnonzero((labels == label) & (unseen == new))
            if len(chosen):
                figure.add_trace(_scatter(points[chosen], label, name, new=new))
                figure.data[-1].hovertext = [_hover(keys[k], name, new) for k in chosen.tolist()]
    seen = "No clip is of a subject that is new to the model."
    if unseen.any():
        seen = "Outlined: subjects held out. Pale: clips that the model was trained on."
    figure.update_xaxes(**AXIS)
    figure.update_yaxes(**AXIS)
    return finish(
        figure,
        title,
        caption=f"{seen} Only who lies near whom has a meaning.\n{caption}",
        height=380,
        most_width=720,
        top=96 if unseen.any() else 74,
        showlegend=True,
    )


def _scatter(points: Floats, label: int, name: str, *, new: bool) -> go.Scatter:
    marker: dict[str, Any] = {
        "color": CLASS_COLOURS[label],
        "symbol": CLASS_SYMBOLS[label],
        "size": POINT_PX + RIM_PX * new,
        "opacity": 1.0 if new else SEEN,
        "line": {"width": RIM_PX * new, "color": INK},
    }
    return go.Scatter(
        x=points[:, 0].round(2).tolist(),
        y=points[:, 1].round(2).tolist(),
        mode="markers",
        marker=marker,
        name=f"{name}, held out" if new else name,
        hoverinfo="text",
    )


def _hover(key: ClipKey, name: str, new: bool) -> str:
    lines = (f"{key.person}", key.clip, name, "held out" if new else "trained on")
    return "<br>".join(map(plain, lines))
