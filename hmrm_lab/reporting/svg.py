"""The two strokes that drawn curves are made of."""

import html
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
import pandas as pd

from hmrm_lab.evaluation.live_progress import Arrived, FoldProgress, Points
from hmrm_lab.faces.apex import ApexCurve
from hmrm_lab.records import Floats, Ints
from hmrm_lab.reporting.style import BLUE, CLASS_COLOURS, GREEN, GRID, INK, ORANGE, VERMILLION
from hmrm_lab.runtime.store import write_atomic


def line(
    x1: float, y1: float, x2: float, y2: float, colour: str, width: int, dashes: str = ""
) -> str:
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{colour}" stroke-width="{width}"{dashed}/>'


def text(x: float, y: float, words: str, anchor: str = "middle") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{words}</text>'


CURVE_WIDTH, CURVE_HEIGHT = 460, 200
CURVE_LEFT, CURVE_RIGHT, CURVE_TOP, CURVE_BOTTOM = 34, 12, 42, 38
CURVE_MOST_TICKS = 16


def curve_svg(curve: ApexCurve, frame: int, annotated: int | None = None) -> str:
    """Draw the curve with the spotted apex, the annotated one if any, and the present frame."""
    first, last = int(curve.frames[0]), int(curve.frames[-1])
    top = float(curve.curve.max(initial=0)) or 1.0

    def x(number: float) -> float:
        return CURVE_LEFT + (number - first) / max(last - first, 1) * (
            CURVE_WIDTH - CURVE_LEFT - CURVE_RIGHT
        )

    def y(value: float) -> float:
        return CURVE_HEIGHT - CURVE_BOTTOM - value / top * (CURVE_HEIGHT - CURVE_BOTTOM - CURVE_TOP)

    points = list(zip(curve.frames.tolist(), curve.curve.tolist(), strict=True))
    path = " ".join(f"{x(number):.1f},{y(value):.1f}" for number, value in points)
    now = dict(points).get(frame, 0.0)
    every = -(-(last - first + 1) // CURVE_MOST_TICKS)
    parts = [
        line(CURVE_LEFT, y(0), CURVE_WIDTH - CURVE_RIGHT, y(0), INK, 1),
        line(CURVE_LEFT, CURVE_TOP, CURVE_LEFT, y(0), INK, 1),
        *(text(x(n), y(0) + 16, str(n)) for n in range(first, last + 1, every)),
        text((CURVE_LEFT + CURVE_WIDTH - CURVE_RIGHT) / 2, CURVE_HEIGHT - 4, "frame"),
        text(CURVE_LEFT - 6, CURVE_TOP + 4, f"{top:.1f}", "end"),
        text(CURVE_LEFT - 6, y(0) + 4, "0", "end"),
        line(x(curve.apex), CURVE_TOP, x(curve.apex), y(0), VERMILLION, 2, "6 4"),
    ]
    if annotated is not None:
        parts.append(line(x(annotated), CURVE_TOP, x(annotated), y(0), GREEN, 2))
    parts += [
        f'<polyline points="{path}" fill="none" stroke="{BLUE}" stroke-width="2"/>',
        f'<circle cx="{x(frame):.1f}" cy="{y(now):.1f}" r="6" fill="{ORANGE}"/>',
        *_legend(curve, frame, annotated),
    ]
    words = f"Apex curve, frame {frame}, spotted apex {curve.apex}"
    words += "" if annotated is None else f", annotated apex {annotated}"
    return (
        f'<svg viewBox="0 0 {CURVE_WIDTH} {CURVE_HEIGHT}" role="img" aria-label="{words}"'
        f' style="width:100%;max-width:{CURVE_WIDTH}px" font-family="system-ui, sans-serif"'
        f' font-size="12" fill="{INK}">{"".join(parts)}</svg>'
    )


def _legend(curve: ApexCurve, frame: int, annotated: int | None) -> list[str]:
    entries = [(ORANGE, f"frame {frame}"), (VERMILLION, f"spotted apex {curve.apex}")]
    if annotated is not None:
        entries.append((GREEN, f"annotated apex {annotated}"))
    parts = []
    for place, (colour, words) in enumerate(entries):
        left = CURVE_LEFT + 130 * place
        parts.append(f'<rect x="{left}" y="9" width="10" height="10" fill="{colour}"/>')
        parts.append(text(left + 15, 18, words, "start"))
    return parts


BARS_WIDTH, BAR_PX, GAP_PX = 420, 22, 10
BARS_LEFT, BARS_RIGHT = 92, 150  # names of the classes; figures and marks


def probability_svg(probabilities: Sequence[float], classes: Sequence[str], truth: int) -> str:
    """One bar per class, full width for 1; the true and the predicted class are named.

    Shapes
    ------
    probabilities : (K,), in the order of the classes
    """
    full = BARS_WIDTH - BARS_LEFT - BARS_RIGHT
    predicted = max(range(len(classes)), key=lambda label: probabilities[label])
    parts, spoken = [], []
    for row, (name, share, colour) in enumerate(
        zip(classes, probabilities, CLASS_COLOURS, strict=False)
    ):
        top = row * (BAR_PX + GAP_PX)
        marks = [
            word for word, label in (("predicted", predicted), ("true", truth)) if label == row
        ]
        words = f"{share:.0%} {', '.join(marks)}".strip()
        spoken.append(f"{name} {words}")
        place = f'x="{BARS_LEFT}" y="{top}" height="{BAR_PX}"'
        parts += [
            text(BARS_LEFT - 8, top + 16, name, "end"),
            f'<rect {place} width="{full}" fill="{GRID}"/>',
            f'<rect {place} width="{share * full:.1f}" fill="{colour}"/>',
            text(BARS_LEFT + full + 8, top + 16, words, "start"),
        ]
    height = len(classes) * (BAR_PX + GAP_PX)
    return (
        f'<svg viewBox="0 0 {BARS_WIDTH} {height}" role="img" aria-label="{"; ".join(spoken)}"'
        f' style="width:100%;max-width:{BARS_WIDTH}px" font-family="system-ui, sans-serif"'
        f' font-size="13" fill="{INK}">{"".join(parts)}</svg>'
    )


CELL, CELL_HEIGHT = 68, 46
LOSO_WIDTH, LOSO_HEIGHT = 360, 200
LOSO_LEFT, LOSO_RIGHT, LOSO_TOP, LOSO_BOTTOM = 44, 10, 30, 40
MOST_POINTS = 2500  # of all curves together
LEAST_POINTS = 2
NAME_LETTERS = 9
COLOURS = {"waiting": INK, "in work": ORANGE, "done": BLUE, "failed": VERMILLION}
LOSO_MOST_TICKS = 8
BARS = "Orange bar: epochs trained. Blue bar: clips of this subject answered right."


def progress_bar(share: float, words: str) -> str:
    """A bar of that share, 0 to 1, above the words."""
    per_cent = round(100 * share)
    return (
        f'<div style="max-width:{2 * LOSO_WIDTH}px"><div role="progressbar" aria-valuemin="0"'
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
        f' style="display:flex;flex-wrap:wrap;gap:4px;max-width:{2 * LOSO_WIDTH}px">'
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
            *_key(LOSO_LEFT, BLUE, f"{done} finished"),
            *_key(LOSO_LEFT + 110, ORANGE, f"{going} in work"),
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
    right = max(LOSO_WIDTH, left + len(classes) * width)
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
    floor, end = LOSO_HEIGHT - LOSO_BOTTOM, LOSO_WIDTH - LOSO_RIGHT
    yield line(LOSO_LEFT, floor, end, floor, INK, 1)
    yield line(LOSO_LEFT, LOSO_TOP, LOSO_LEFT, floor, INK, 1)
    yield text(LOSO_LEFT - 6, LOSO_TOP + 8, f"{top:.2g}", "end")
    yield text(LOSO_LEFT - 6, floor + 4, "0", "end")
    for epoch in _ticks(last):
        yield text(_x(epoch, last), floor + 16, str(epoch))
    yield text((LOSO_LEFT + end) / 2, LOSO_HEIGHT - 6, "epoch")
    middle = (LOSO_TOP + floor) / 2
    yield f'<g transform="rotate(-90 12 {middle})">{text(12, middle, "training loss")}</g>'


def _ticks(last: int) -> list[int]:
    """The first epoch, and the multiples of a round step."""
    steps = (digit * 10**power for power in range(9) for digit in (1, 2, 5))
    step = next(step for step in steps if last / step <= LOSO_MOST_TICKS)
    return sorted({1, *range(step, last + 1, step)})


def _key(x: float, colour: str, words: str) -> Iterator[str]:
    yield line(x, 12, x + 18, 12, colour, 3)
    yield text(x + 24, 16, words, "start")


def _stroke(points: Points, last: int, top: float) -> str:
    """A line through the points; one point alone is a dot."""
    places = [
        f"{_x(epoch, last):.0f},{LOSO_TOP + (1 - loss / top) * (LOSO_HEIGHT - LOSO_BOTTOM - LOSO_TOP):.0f}"
        for epoch, loss in points
    ]
    return f"M{places[0]}L{' '.join(places[1:] or places)}"


def _end(points: Points, last: int, top: float) -> str:
    """Where a training is now."""
    epoch, loss = points[-1]
    y = LOSO_TOP + (1 - loss / top) * (LOSO_HEIGHT - LOSO_BOTTOM - LOSO_TOP)
    return f'<circle cx="{_x(epoch, last):.0f}" cy="{y:.0f}" r="4" fill="{ORANGE}"/>'


def _x(epoch: int, last: int) -> float:
    share = (epoch - 1) / (last - 1) if last > 1 else 0.5
    return LOSO_LEFT + 8 + share * (LOSO_WIDTH - LOSO_RIGHT - LOSO_LEFT - 16)


def _thinned(points: Points, most: int) -> Points:
    chosen = np.unique(np.linspace(0, len(points) - 1, min(len(points), most)).astype(int))
    return [points[index] for index in chosen]


def _bold(x: float, y: float, words: str) -> str:
    return f'<g font-weight="bold" font-size="14" fill="currentColor">{text(x, y, words)}</g>'


def _svg(
    parts: Sequence[str], label: str, height: float = LOSO_HEIGHT, width: float = LOSO_WIDTH
) -> str:
    return (
        f'<svg viewBox="0 0 {width} {height:.0f}" role="img" aria-label="{_quoted(label)}"'
        f' style="width:100%;max-width:{width}px" font-family="system-ui, sans-serif"'
        f' font-size="12" fill="{INK}">{"".join(parts)}</svg>'
    )


def _quoted(words: str) -> str:
    return html.escape(words, quote=True)


LOSS_WIDTH, LOSS_HEIGHT = 720, 240
LOSS_LEFT, LOSS_RIGHT, LOSS_TOP, LOSS_BOTTOM = 56, 24, 30, 40
POINTS = 90  # each the mean of its stretch of steps
RELOAD_S = 10

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
{reload}<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>body {{ margin: 2rem auto; max-width: 46rem; padding: 0 1rem; font: 16px/1.5 system-ui, \
"DejaVu Sans", sans-serif; }} h1 {{ font-size: 1.3rem; }}</style>
</head>
<body>
<h1>{title}</h1>
{curves}
<p>Each point is the mean of its stretch of steps, on a logarithmic scale. Steps differ in how hard
their pairs are.</p>
</body>
</html>
"""


def write_loss_page(history: Path, page: Path, steps: int) -> Path:
    """Draw the loss and the end-point error of `loss.csv` against the step.

    Parameters
    ----------
    steps
        Of the whole training. Until they are done the page loads itself again and again.
    """
    table = pd.read_csv(history)
    done = int(table["step"].max()) if len(table) else 0
    curves = [
        log_curve_svg(*_means(table, column), steps, name, colour)
        for column, name, colour in (
            ("loss", "loss", BLUE),
            ("epe_px", "end-point error (px)", ORANGE),
        )
    ]
    reload = f'<meta http-equiv="refresh" content="{RELOAD_S}">\n' if done < steps else ""
    title = f"Pre-training: step {done} of {steps}"
    write_atomic(page, PAGE.format(reload=reload, title=title, curves="\n".join(curves)))
    return page


def log_curve_svg(steps: Floats, values: Floats, last: int, name: str, colour: str) -> str:
    """A curve of positive values on a logarithmic axis, over steps 0..last."""
    if len(values) == 0:
        return f"<p>{name}: nothing yet</p>"
    low, high = np.log10(values.min()) - 0.05, np.log10(values.max()) + 0.05

    def x(step: float) -> float:
        return LOSS_LEFT + step / max(last, 1) * (LOSS_WIDTH - LOSS_LEFT - LOSS_RIGHT)

    def y(value: float) -> float:
        share = (np.log10(value) - low) / (high - low)
        return float(LOSS_HEIGHT - LOSS_BOTTOM - share * (LOSS_HEIGHT - LOSS_BOTTOM - LOSS_TOP))

    points = " ".join(f"{x(s):.1f},{y(v):.1f}" for s, v in zip(steps, values, strict=True))
    rows = _log_ticks(low, high)
    across = np.linspace(0, last, 5).round().astype(int).tolist()
    parts = [
        *(line(LOSS_LEFT, y(tick), LOSS_WIDTH - LOSS_RIGHT, y(tick), GRID, 1) for tick in rows),
        *(text(LOSS_LEFT - 6, y(tick) + 4, f"{tick:g}", "end") for tick in rows),
        *(text(x(step), LOSS_HEIGHT - LOSS_BOTTOM + 16, str(step)) for step in across),
        text((LOSS_LEFT + LOSS_WIDTH - LOSS_RIGHT) / 2, LOSS_HEIGHT - 6, "step"),
        text(LOSS_LEFT, LOSS_TOP - 12, name, "start"),
        f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>',
    ]
    return (
        f'<svg viewBox="0 0 {LOSS_WIDTH} {LOSS_HEIGHT}" role="img" aria-label="{name} by step"'
        f' style="width:100%" font-family="system-ui, sans-serif" font-size="12"'
        f' fill="{INK}">{"".join(parts)}</svg>'
    )


def _means(table: pd.DataFrame, column: str) -> tuple[Floats, Floats]:
    """Steps and means of at most `POINTS` stretches."""
    stretch = np.arange(len(table)) * POINTS // max(len(table), POINTS)
    means = table.groupby(stretch)[["step", column]].mean()
    return means["step"].to_numpy(), means[column].clip(lower=1e-6).to_numpy()


def _log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times the powers of ten between; all their multiples where these are too few."""
    powers = range(int(np.floor(low)), int(np.ceil(high)) + 1)
    for multiples in ((1, 2, 5), range(1, 10)):
        ticks = [m * 10.0**power for power in powers for m in multiples]
        ticks = [tick for tick in ticks if low <= np.log10(tick) <= high]
        if len(ticks) >= 3:
            break
    return ticks
