"""A leave-one-subject-out while it is going, as light pictures: texts of HTML with small SVGs.

A widget replaces them every second. Ink and colours are those of `style`, readable on light and
dark paper; what a colour says is also said in words. Nothing needs more room than a telephone has.
"""

import html
from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np

from hmrm_lab.evaluation.live_progress import Arrived, FoldProgress, Points
from hmrm_lab.records import Ints
from hmrm_lab.reporting.style import BLUE, GRID, INK, ORANGE, VERMILLION
from hmrm_lab.reporting.svg import line, text

CELL, CELL_HEIGHT = 68, 46
WIDTH, HEIGHT = 360, 200
LEFT, RIGHT, TOP, BOTTOM = 44, 10, 30, 40
MOST_POINTS = 2500  # of all curves together
LEAST_POINTS = 2
NAME_LETTERS = 9
COLOURS = {"waiting": INK, "in work": ORANGE, "done": BLUE, "failed": VERMILLION}
MOST_TICKS = 8
BARS = "Orange bar: epochs trained. Blue bar: clips of this subject answered right."


def progress_bar(share: float, words: str) -> str:
    """A bar of that share, 0 to 1, above the words."""
    per_cent = round(100 * share)
    return (
        f'<div style="max-width:{2 * WIDTH}px"><div role="progressbar" aria-valuemin="0"'
        f' aria-valuemax="100" aria-valuenow="{per_cent}" aria-label="{_quoted(words)}"'
        f' style="border:1px solid {INK};height:12px"><div style="width:{100 * share:.1f}%;'
        f'height:100%;background:{BLUE}"></div></div>{html.escape(words)}</div>'
    )


def subject_cells(folds: Sequence[FoldProgress]) -> str:
    """A cell for each held-out subject, data set by data set, with its state in words.

    The bar of a cell in work is its share of the epochs; that of a finished one is the share of its
    clips that were answered right.
    """
    counts = [f"{sum(f.state == state for f in folds)} {state}" for state in COLOURS]
    groups = [(name, list(of)) for name, of in groupby(folds, lambda fold: fold.fold.split("/")[0])]
    parts = []
    for name, group in groups:
        if len(groups) > 1:
            heading = html.escape(name) or "not known yet"
            parts.append(f'<div style="width:100%"><b>{heading}</b></div>')
        parts += [_cell(fold) for fold in group]
    return (
        f'<div role="group" aria-label="Held-out subjects: {", ".join(counts)}"'
        f' style="display:flex;flex-wrap:wrap;gap:4px;max-width:{2 * WIDTH}px">'
        f"{''.join(parts)}</div>"
        f'<small style="display:block;line-height:1.4">{BARS}</small>'
    )


def loss_curves(arrived: Arrived) -> str:
    """Training loss by epoch: thin lines of finished trainings, strong ones of those in work."""
    lines = [points for points in (*arrived.finished, *arrived.in_work) if points]
    top = max((loss for points in lines for _, loss in points), default=1.0) or 1.0
    last = max([arrived.epochs, *(points[-1][0] for points in lines)])
    most = max(LEAST_POINTS, MOST_POINTS // max(len(lines), 1))

    def path(curves: Sequence[Points], colour: str, width: float, opacity: float) -> str:
        strokes = [_stroke(_thinned(points, most), last, top) for points in curves if points]
        return (
            f'<path d="{"".join(strokes)}" fill="none" stroke="{colour}" stroke-width="{width}"'
            f' stroke-opacity="{opacity}" stroke-linecap="round"/>'
        )

    done, going = len(arrived.finished), len(arrived.in_work)
    opacity = 0.6 if done > 8 else 0.9
    return _svg(
        [
            *_axes(last, top),
            path(arrived.finished, BLUE, 1.2, opacity),
            path(arrived.in_work, ORANGE, 3, 1),
            *(_end(points, last, top) for points in arrived.in_work if points),
            *_key(LEFT, BLUE, f"{done} finished"),
            *_key(LEFT + 110, ORANGE, f"{going} in work"),
        ],
        f"Training loss by epoch, {done} finished trainings and {going} in work",
    )


def confusion_cells(counts: Ints, classes: Sequence[str], words: str) -> str:
    """The words, and under them counts: a row per true class, a column per predicted one.

    Shapes
    ------
    counts : (K, K)
    """
    sizes = counts.sum(1, keepdims=True)
    shares = counts / sizes.clip(min=1)
    left, top, width, height = 96, 34, 82, 40
    right = max(WIDTH, left + len(classes) * width)
    parts = [text(left + len(classes) / 2 * width, 12, "predicted class")]
    for number, name in enumerate(classes):
        parts.append(text(left + (number + 0.5) * width, 28, name))
        middle = top + (number + 0.5) * height + 4
        parts.append(text(left - 6, middle, f"{name} ({sizes[number, 0]})", "end"))
    for (row, column), share in np.ndenumerate(shares):
        x, y = left + column * width, top + row * height
        parts.append(
            f'<rect x="{x + 1}" y="{y + 1}" width="{width - 2}" height="{height - 2}" fill="{BLUE}"'
            f' fill-opacity="{0.6 * share:.2f}" stroke="{GRID}"/>'
        )
        parts.append(_bold(x + width / 2, y + height / 2 + 4, f"{counts[row, column]}"))
    parts.append(text(left - 6, 12, "true (clips)", "end"))
    picture = _svg(
        parts,
        f"Confusion of true and predicted class. {words}",
        top + len(classes) * height + 6,
        right,
    )
    return f'<div style="max-width:{right}px;line-height:1.4">{html.escape(words)}</div>{picture}'


def _cell(fold: FoldProgress) -> str:
    """Name, bar and words of one subject."""
    subject = fold.fold.partition("/")[2]
    short = subject if len(subject) <= NAME_LETTERS else f"{subject[: NAME_LETTERS - 1]}…"
    colour, words = COLOURS[fold.state], _words(fold)
    share = fold.right / fold.answered if fold.state == "done" and fold.answered else fold.share
    dashes = ' stroke-dasharray="3 3"' if fold.state == "waiting" else ""
    label = f"{fold.fold or 'a subject'}: {fold.state}, {words}"
    label += f" ({fold.reason})" if fold.reason else ""
    bar = 'x="4" y="20" height="8" rx="2"'
    return (
        f'<svg width="{CELL}" height="{CELL_HEIGHT}" viewBox="0 0 {CELL} {CELL_HEIGHT}" role="img"'
        f' aria-label="{_quoted(label)}" font-family="system-ui, sans-serif" font-size="11"'
        f' fill="{INK}"><title>{html.escape(label)}</title>'
        f"{text(CELL / 2, 13, html.escape(short))}"
        f'<rect {bar} width="{(CELL - 8) * share:.1f}" fill="{colour}"/>'
        f'<rect {bar} width="{CELL - 8}" fill="none" stroke="{colour}"{dashes}/>'
        f"{text(CELL / 2, 41, words)}</svg>"
    )


def _words(fold: FoldProgress) -> str:
    if fold.state == "done":
        return f"{fold.right}/{fold.answered} right"
    if fold.state == "failed":
        return "failed"
    return f"{fold.share:.0%}" if fold.share or fold.state == "in work" else "waits"


def _axes(last: int, top: float) -> Iterator[str]:
    floor, end = HEIGHT - BOTTOM, WIDTH - RIGHT
    yield line(LEFT, floor, end, floor, INK, 1)
    yield line(LEFT, TOP, LEFT, floor, INK, 1)
    yield text(LEFT - 6, TOP + 8, f"{top:.2g}", "end")
    yield text(LEFT - 6, floor + 4, "0", "end")
    for epoch in _ticks(last):
        yield text(_x(epoch, last), floor + 16, str(epoch))
    yield text((LEFT + end) / 2, HEIGHT - 6, "epoch")
    middle = (TOP + floor) / 2
    yield f'<g transform="rotate(-90 12 {middle})">{text(12, middle, "training loss")}</g>'


def _ticks(last: int) -> list[int]:
    """The first epoch, and the multiples of a round step."""
    steps = (digit * 10**power for power in range(9) for digit in (1, 2, 5))
    step = next(step for step in steps if last / step <= MOST_TICKS)
    return sorted({1, *range(step, last + 1, step)})


def _key(x: float, colour: str, words: str) -> Iterator[str]:
    yield line(x, 12, x + 18, 12, colour, 3)
    yield text(x + 24, 16, words, "start")


def _stroke(points: Points, last: int, top: float) -> str:
    """A line through the points; one point alone is a dot."""
    places = [
        f"{_x(epoch, last):.0f},{TOP + (1 - loss / top) * (HEIGHT - BOTTOM - TOP):.0f}"
        for epoch, loss in points
    ]
    return f"M{places[0]}L{' '.join(places[1:] or places)}"


def _end(points: Points, last: int, top: float) -> str:
    """Where a training is now."""
    epoch, loss = points[-1]
    y = TOP + (1 - loss / top) * (HEIGHT - BOTTOM - TOP)
    return f'<circle cx="{_x(epoch, last):.0f}" cy="{y:.0f}" r="4" fill="{ORANGE}"/>'


def _x(epoch: int, last: int) -> float:
    share = (epoch - 1) / (last - 1) if last > 1 else 0.5
    return LEFT + 8 + share * (WIDTH - RIGHT - LEFT - 16)


def _thinned(points: Points, most: int) -> Points:
    chosen = np.unique(np.linspace(0, len(points) - 1, min(len(points), most)).astype(int))
    return [points[index] for index in chosen]


def _bold(x: float, y: float, words: str) -> str:
    return f'<g font-weight="bold" font-size="14" fill="currentColor">{text(x, y, words)}</g>'


def _svg(parts: Sequence[str], label: str, height: float = HEIGHT, width: float = WIDTH) -> str:
    return (
        f'<svg viewBox="0 0 {width} {height:.0f}" role="img" aria-label="{_quoted(label)}"'
        f' style="width:100%;max-width:{width}px" font-family="system-ui, sans-serif"'
        f' font-size="12" fill="{INK}">{"".join(parts)}</svg>'
    )


def _quoted(words: str) -> str:
    return html.escape(words, quote=True)
