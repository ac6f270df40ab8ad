"""The selective scan drawn: what goes in, what is remembered, what comes out, and its matrix."""

from collections.abc import Mapping

import numpy as np
from plotly import graph_objects as go
from plotly.subplots import make_subplots

from hmrm_lab.models.scan.inside import ScanTrace
from hmrm_lab.records import Floats
from hmrm_lab.reporting.style import BLUE, GREEN, INK, ORANGE, VERMILLION, finish, plain
from hmrm_lab.reporting.svg import line, text

SIGNED = [[0, BLUE], [0.5, "#f4f4f4"], [1, VERMILLION]]  # below zero, zero, above
SIGNED_ABOVE = [[0, SIGNED[1][1]], [1, VERMILLION]]
STATE_COLOURS = {"forward": BLUE, "backward": ORANGE}
SHIFT = 0.12  # of the stems of two directions, which stand side by side

STEMS_WIDTH, STEMS_HEIGHT = 460, 400
MATRIX_PX = 300
LEFT, RIGHT, TOP, BOTTOM, GAP = 44, 12, 18, 34, 20


def impulse_figure(
    responses: Mapping[str, Floats], impulse: int, title: str, *, caption: str = ""
) -> go.Figure:
    """The answers to one impulse, by name.

    Shapes
    ------
    responses : each (L,)
    impulse : the token that is 1; all others are 0
    """
    figure = go.Figure()
    for name, values in responses.items():
        figure.add_scatter(
            x=np.arange(len(values)),
            y=values.round(5),
            name=plain(name),
            mode="lines+markers",
            hovertemplate="token %{x}: %{y:.3f}",
        )
    figure.add_vline(x=impulse, line={"color": INK, "dash": "dot"})
    return finish(
        figure,
        title,
        caption=f"Dotted: the token of the impulse.\n{caption}",
        height=260,
        most_width=760,
        top=84,
        xaxis={"title": "token", "dtick": 2},
        yaxis={"title": "output y"},
    )


def trace_figure(trace: ScanTrace, title: str, *, caption: str = "") -> go.Figure:
    """Input, step, state and output of one channel, token by token."""
    names = ("input x", "step dt", "state h", "output y")
    figure = make_subplots(rows=4, shared_xaxes=True, vertical_spacing=0.04)
    series: list[tuple[int, str, Floats, str, float]] = [
        (1, "x", trace.x.numpy(), INK, 0.0),
        (2, "dt", trace.dt.numpy(), INK, 0.0),
        *((3, f"h, {name}", *state) for name, state in _states(trace).items()),
        (4, "y", trace.y.numpy(), GREEN, 0.0),
    ]
    for row, name, values, colour, shift in series:
        figure.add_bar(
            x=np.arange(len(values)),
            y=values.round(5),
            name=name,
            width=0.2,
            offset=shift - 0.1,
            marker_color=colour,
            hovertemplate="token %{x}: %{y:.3f}",
            row=row,
            col=1,
        )
        figure.update_yaxes(title=names[row - 1], row=row, col=1)
    figure.update_xaxes(title="token", dtick=1, row=4, col=1)
    return finish(figure, title, caption=caption, height=420, most_width=760, top=76, left=64)


def matrix_figure(
    matrices: Mapping[str, Floats], title: str, *, what: str = "weight", caption: str = ""
) -> go.Figure:
    """Token-to-token matrices side by side on one scale; a row is an output token.

    Shapes
    ------
    matrices : each (L, L)
    """
    top = max(float(np.abs(matrix).max()) for matrix in matrices.values()) or 1.0
    signed = any((matrix < 0).any() for matrix in matrices.values())
    figure = make_subplots(cols=len(matrices), subplot_titles=[plain(name) for name in matrices])
    for column, matrix in enumerate(matrices.values(), start=1):
        figure.add_heatmap(
            z=matrix.round(4),
            zmin=-top if signed else 0,
            zmax=top,
            colorscale=SIGNED if signed else SIGNED_ABOVE,
            showscale=column == len(matrices),
            colorbar={"title": {"text": what}, "thickness": 14},
            xgap=1,
            ygap=1,
            hovertemplate="from token %{x} to token %{y}: %{z:.3f}<extra></extra>",
            row=1,
            col=column,
        )
    figure.update_xaxes(title="from token k", showgrid=False, constrain="domain")
    figure.update_yaxes(autorange="reversed", showgrid=False, constrain="domain")
    figure.update_yaxes(title="to token t", row=1, col=1)
    for number in range(1, len(matrices) + 1):
        anchor = "x" if number == 1 else f"x{number}"
        figure.update_yaxes(scaleanchor=anchor, row=1, col=number)
    return finish(
        figure,
        title,
        caption=caption,
        height=270,
        least_width=230 * len(matrices) + 100,
        most_width=310 * len(matrices) + 110,
        top=84,
        right=70,
    )


def trace_svg(trace: ScanTrace) -> str:
    """The same as `trace_figure` as a small SVG, for a widget that redraws it."""
    rows: list[tuple[str, list[tuple[Floats, str, float]]]] = [
        ("x", [(trace.x.numpy(), INK, 0.0)]),
        ("dt", [(trace.dt.numpy(), INK, 0.0)]),
        ("h", list(_states(trace).values())),
        ("y", [(trace.y.numpy(), GREEN, 0.0)]),
    ]
    height = (STEMS_HEIGHT - TOP - BOTTOM - 3 * GAP) / 4
    parts = [
        part
        for number, (name, stems) in enumerate(rows)
        for part in _stems(name, stems, TOP + number * (height + GAP), height)
    ]
    length = len(trace.x)
    base = STEMS_HEIGHT - BOTTOM + 16
    parts += [text(_across(token, length), base, str(token)) for token in range(length)]
    parts.append(text((LEFT + STEMS_WIDTH - RIGHT) / 2, STEMS_HEIGHT - 3, "token"))
    states = " and ".join(trace.states)
    words = f"Input, step, {states} state and output of {length} tokens"
    return _svg(parts, STEMS_WIDTH, STEMS_HEIGHT, words)


def matrix_svg(matrix: Floats) -> str:
    """A token-to-token matrix as a small SVG: blue below zero, red above, the numbers on hover."""
    length, top = len(matrix), float(np.abs(matrix).max()) or 1.0
    side = (MATRIX_PX - LEFT - RIGHT) / length
    parts = [
        f'<rect x="{LEFT + k * side:.1f}" y="{TOP + t * side:.1f}" width="{side - 1:.1f}"'
        f' height="{side - 1:.1f}" {_signed(float(value) / top)}>'
        f"<title>from {k} to {t}: {value:.3f}</title></rect>"
        for (t, k), value in np.ndenumerate(matrix)
    ]
    middle = side / 2 + 4
    parts += [text(LEFT - 5, TOP + t * side + middle, str(t), "end") for t in range(length)]
    below = TOP + length * side + 14
    parts += [text(LEFT + (k + 0.5) * side, below, str(k)) for k in range(length)]
    parts.append(text(LEFT + length * side / 2, below + 16, "from token k"))
    parts.append(text(4, 12, "to token t", "start"))
    words = f"Matrix of {length} by {length} tokens, largest entry {top:.3f}"
    return _svg(parts, MATRIX_PX, MATRIX_PX + 20, words)


def _states(trace: ScanTrace) -> dict[str, tuple[Floats, str, float]]:
    """By direction the states, their colour, and how far to the side they are drawn."""
    shifts = {"forward": -SHIFT, "backward": SHIFT} if len(trace.states) > 1 else {}
    return {
        name: (state.numpy(), STATE_COLOURS[name], shifts.get(name, 0.0))
        for name, state in trace.states.items()
    }


def _stems(
    name: str, stems: list[tuple[Floats, str, float]], top: float, height: float
) -> list[str]:
    """One row: an axis at zero, a stem for each token, the largest value at its side."""
    values = np.concatenate([series for series, _, _ in stems])
    high, low = max(float(values.max()), 0.0), min(float(values.min()), 0.0)
    span = (high - low) or 1.0

    def y(value: float) -> float:
        return top + (high - value) / span * height

    parts = [
        line(LEFT, y(0), STEMS_WIDTH - RIGHT, y(0), INK, 1),
        text(LEFT - 6, top + height / 2 + 4, f"<tspan font-weight='bold'>{name}</tspan>", "end"),
        text(LEFT - 6, top + 6, f"{high:.2f}", "end"),
    ]
    for series, colour, shift in stems:
        for token, value in enumerate(series.tolist()):
            x = _across(token + shift, len(series))
            parts.append(line(x, y(0), x, y(value), colour, 3))
            parts.append(f'<circle cx="{x:.1f}" cy="{y(value):.1f}" r="3" fill="{colour}"/>')
    return parts


def _across(token: float, length: int) -> float:
    return LEFT + (token + 0.5) / length * (STEMS_WIDTH - LEFT - RIGHT)


def _signed(share: float) -> str:
    """-1..1 as the fill of a cell, through which the page shows at zero, be it light or dark."""
    colour = VERMILLION if share > 0 else BLUE
    return f'fill="{colour}" fill-opacity="{abs(share):.3f}" stroke="{INK}" stroke-opacity="0.3"'


def _svg(parts: list[str], width: int, height: int, words: str) -> str:
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{words}"'
        f' style="width:100%;max-width:{width}px" font-family="system-ui, sans-serif"'
        f' font-size="12" fill="{INK}">{"".join(parts)}</svg>'
    )
