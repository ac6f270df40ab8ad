"""Small SVGs and pieces of HTML, for widgets and pages that redraw them often.

A plotly figure inside a widget would be redrawn as a whole, or leave its library in every saved
notebook. Ink and colours are those of `style`, readable on light and dark paper; what a colour
says is also said in words.
"""

import html
from collections.abc import Sequence
from itertools import groupby

import numpy as np

from hmrm_lab.evaluation.live_progress import FoldProgress, Points, RunSnapshot
from hmrm_lab.faces.apex import ApexCurve
from hmrm_lab.models.scan.inside import ScanTrace
from hmrm_lab.records import Floats, Ints
from hmrm_lab.reporting.plots.region_tokens import trace_rows
from hmrm_lab.reporting.style import BLUE, CLASS_COLOURS, GREEN, GRID, INK, ORANGE, VERMILLION

LOSO_PX = 360  # the width of a telephone
MOST_TICKS = 16
MOST_POINTS = 2500  # of all loss curves together
LEAST_POINTS = 2
CELL_PX, CELL_HEIGHT = 68, 46  # of a subject
NAME_LETTERS = 9
STATE_COLOURS = {"waiting": INK, "in work": ORANGE, "done": BLUE, "failed": VERMILLION}
BARS = "Orange bar: epochs trained. Blue bar: clips of this subject answered right."


class Axes:
    """The area of a plot in pixels: `x` and `y` place values in it.

    Parameters
    ----------
    spans
        The values at the left, right, lower and upper edge.
    margins
        Pixels at the left, right, top and bottom.
    """

    def __init__(
        self,
        size: tuple[int, int],
        margins: tuple[int, int, int, int],
        spans: tuple[float, float, float, float],
    ) -> None:
        self.width, self.height = size
        self.left, right, self.top, bottom = margins
        self.right, self.floor = self.width - right, self.height - bottom
        self.spans = spans

    def x(self, value: float) -> float:
        first, last = self.spans[:2]
        share = (value - first) / (last - first) if last > first else 0.5
        return self.left + share * (self.right - self.left)

    def y(self, value: float) -> float:
        low, high = self.spans[2:]
        return self.floor - (value - low) / (high - low) * (self.floor - self.top)

    def lines(self) -> str:
        """The two axes."""
        across = line(self.left, self.floor, self.right, self.floor, INK, 1)
        return across + line(self.left, self.top, self.left, self.floor, INK, 1)

    def path(self, points: Points) -> str:
        """The path through points; one point alone is a dot."""
        places = [f"{round(self.x(x), 1):g},{round(self.y(y), 1):g}" for x, y in points]
        return f"M{places[0]}L{' '.join(places[1:] or places)}"

    def below(self, words: str) -> str:
        """The title of the axis at the bottom."""
        return text((self.left + self.right) / 2, self.height - 5, words)


def line(
    x1: float, y1: float, x2: float, y2: float, colour: str, width: int, dashes: str = ""
) -> str:
    """A stroke."""
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{colour}" stroke-width="{width}"{dashed}/>'


def text(x: float, y: float, words: str, anchor: str = "middle") -> str:
    """Words of markup; `anchor` is start, middle or end."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{words}</text>'


def stroke(path: str, colour: str, width: float, opacity: float = 1) -> str:
    """A path of a curve."""
    return (
        f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="{width}"'
        f' stroke-opacity="{opacity}" stroke-linecap="round"/>'
    )


def svg(parts: Sequence[str], label: str, width: float, height: float, size: int = 12) -> str:
    """An SVG as wide as its place, at most `width` pixels; the label is for screen readers."""
    return (
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{html.escape(label)}"'
        f' style="width:100%;max-width:{width:.0f}px" font-family="system-ui, sans-serif"'
        f' font-size="{size}" fill="{INK}">{"".join(parts)}</svg>'
    )


def curve_svg(curve: ApexCurve, frame: int, annotated: int | None = None) -> str:
    """Draw an apex curve with the spotted apex, the annotated one if any, and the present frame."""
    first, last = int(curve.frames[0]), int(curve.frames[-1])
    top = float(curve.curve.max(initial=0)) or 1.0
    axes = Axes((460, 200), (34, 12, 42, 38), (first, last, 0, top))
    points = list(zip(curve.frames.tolist(), curve.curve.tolist(), strict=True))
    marks = [(curve.apex, f"spotted apex {curve.apex}", VERMILLION, "6 4")]
    if annotated is not None:
        marks.append((annotated, f"annotated apex {annotated}", GREEN, ""))
    every = -(-(last - first + 1) // MOST_TICKS)
    now = dict(points).get(frame, 0.0)
    parts = [
        axes.lines(),
        *(text(axes.x(n), axes.floor + 16, str(n)) for n in range(first, last + 1, every)),
        axes.below("frame"),
        text(axes.left - 6, axes.top + 4, f"{top:.1f}", "end"),
        text(axes.left - 6, axes.floor + 4, "0", "end"),
        *(line(axes.x(n), axes.top, axes.x(n), axes.floor, c, 2, d) for n, _, c, d in marks),
        stroke(axes.path(points), BLUE, 2),
        f'<circle cx="{axes.x(frame):.1f}" cy="{axes.y(now):.1f}" r="6" fill="{ORANGE}"/>',
    ]
    legend = [(f"frame {frame}", ORANGE), *((words, colour) for _, words, colour, _ in marks)]
    for place, (words, colour) in enumerate(legend):
        left = axes.left + 130 * place
        parts.append(f'<rect x="{left}" y="9" width="10" height="10" fill="{colour}"/>')
        parts.append(text(left + 15, 18, words, "start"))
    label = ", ".join(["Apex curve", *(words for words, _ in legend)])
    return svg(parts, label, axes.width, axes.height)


def probability_svg(probabilities: Sequence[float], classes: Sequence[str], truth: int) -> str:
    """One bar per class, full width for 1; the true and the predicted class are named.

    Shapes
    ------
    probabilities : (K,), in the order of the classes
    """
    left, full, step = 92, 178, 32  # names to the left, per cent and marks to the right
    predicted = int(np.argmax(probabilities))
    parts, spoken = [], []
    for row, (name, share) in enumerate(zip(classes, probabilities, strict=True)):
        marks = [
            word for word, label in (("predicted", predicted), ("true", truth)) if label == row
        ]
        words = f"{share:.0%} {', '.join(marks)}".strip()
        spoken.append(f"{name} {words}")
        place = f'x="{left}" y="{row * step}" height="22"'
        parts += [
            text(left - 8, row * step + 16, name, "end"),
            f'<rect {place} width="{full}" fill="{GRID}"/>',
            f'<rect {place} width="{share * full:.1f}" fill="{CLASS_COLOURS[row]}"/>',
            text(left + full + 8, row * step + 16, words, "start"),
        ]
    return svg(parts, "; ".join(spoken), 420, len(classes) * step, size=13)


def progress_bar(share: float, words: str) -> str:
    """A bar of that share, 0 to 1, above the words."""
    label = f'aria-valuenow="{round(100 * share)}" aria-label="{html.escape(words)}"'
    return (
        f'<div style="max-width:{2 * LOSO_PX}px"><div role="progressbar" aria-valuemin="0"'
        f' aria-valuemax="100" {label}'
        f' style="border:1px solid {INK};height:12px"><div style="width:{100 * share:.1f}%;'
        f'height:100%;background:{BLUE}"></div></div>{html.escape(words)}</div>'
    )


def subject_cells(folds: Sequence[FoldProgress]) -> str:
    """A cell for each held-out subject, data set by data set, with its state in words.

    The bar of a cell in work is its share of the epochs; that of a finished one is the share of its
    clips that were answered right.
    """
    counts = [f"{sum(f.state == state for f in folds)} {state}" for state in STATE_COLOURS]
    groups = [(name, list(of)) for name, of in groupby(folds, lambda fold: fold.fold.split("/")[0])]
    parts = []
    for name, group in groups:
        if len(groups) > 1:
            heading = html.escape(name) or "not known yet"
            parts.append(f'<div style="width:100%"><b>{heading}</b></div>')
        parts += [_cell(fold) for fold in group]
    return (
        f'<div role="group" aria-label="Held-out subjects: {", ".join(counts)}"'
        f' style="display:flex;flex-wrap:wrap;gap:4px;max-width:{2 * LOSO_PX}px">'
        f"{''.join(parts)}</div>"
        f'<small style="display:block;line-height:1.4">{BARS}</small>'
    )


def loss_curves(arrived: RunSnapshot) -> str:
    """Training loss by epoch: thin lines of finished trainings, strong ones of those in work."""
    finished, in_work = ([c for c in of if c] for of in (arrived.finished, arrived.in_work))
    curves = [*finished, *in_work]
    top = max((loss for points in curves for _, loss in points), default=1.0) or 1.0
    last = max([arrived.epochs, *(points[-1][0] for points in curves)])
    most = max(LEAST_POINTS, MOST_POINTS // max(len(curves), 1))
    axes = Axes((LOSO_PX, 200), (52, 18, 30, 40), (1, last, 0, top))

    def paths(chosen: Sequence[Points]) -> str:
        return "".join(axes.path(_thinned(points, most)) for points in chosen)

    done, going = len(arrived.finished), len(arrived.in_work)
    middle = (axes.top + axes.floor) / 2
    ends = [(axes.x(epoch), axes.y(loss)) for *_, (epoch, loss) in in_work]
    parts = [
        axes.lines(),
        text(axes.left - 6, axes.top + 8, f"{top:.2g}", "end"),
        text(axes.left - 6, axes.floor + 4, "0", "end"),
        *(text(axes.x(n), axes.floor + 16, str(n)) for n in _epoch_ticks(last)),
        axes.below("epoch"),
        f'<g transform="rotate(-90 12 {middle})">{text(12, middle, "training loss")}</g>',
        stroke(paths(finished), BLUE, 1.2, 0.6 if done > 8 else 0.9),
        stroke(paths(in_work), ORANGE, 3),
        *(f'<circle cx="{x:.0f}" cy="{y:.0f}" r="4" fill="{ORANGE}"/>' for x, y in ends),
    ]
    for x, colour, words in ((44, BLUE, f"{done} finished"), (154, ORANGE, f"{going} in work")):
        parts += [line(x, 12, x + 18, 12, colour, 3), text(x + 24, 16, words, "start")]
    label = f"Training loss by epoch, {done} finished trainings and {going} in work"
    return svg(parts, label, axes.width, axes.height)


def confusion_cells(counts: Ints, classes: Sequence[str], words: str) -> str:
    """The words, and under them counts: a row per true class, a column per predicted one.

    Shapes
    ------
    counts : (K, K)
    """
    sizes = counts.sum(1, keepdims=True)
    left, top, width, height = 96, 34, 82, 40
    right = max(LOSO_PX, left + len(classes) * width)
    parts = [
        text(left + len(classes) / 2 * width, 12, "predicted class"),
        text(left - 6, 12, "true (clips)", "end"),
    ]
    for number, name in enumerate(classes):
        parts.append(text(left + (number + 0.5) * width, 28, name))
        middle = top + (number + 0.5) * height + 4
        parts.append(text(left - 6, middle, f"{name} ({sizes[number, 0]})", "end"))
    for (row, column), share in np.ndenumerate(counts / sizes.clip(min=1)):
        x, y = left + column * width, top + row * height
        count = text(x + width / 2, y + height / 2 + 4, f"{counts[row, column]}")
        parts.append(
            f'<rect x="{x + 1}" y="{y + 1}" width="{width - 2}" height="{height - 2}" fill="{BLUE}"'
            f' fill-opacity="{0.6 * share:.2f}" stroke="{GRID}"/>'
            f'<g font-weight="bold" font-size="14" fill="currentColor">{count}</g>'
        )
    label = f"Confusion of true and predicted class. {words}"
    picture = svg(parts, label, right, top + len(classes) * height + 6)
    return f'<div style="max-width:{right}px;line-height:1.4">{html.escape(words)}</div>{picture}'


def token_grid_html(numbers: Sequence[Sequence[int]], chosen: int | None = None) -> str:
    """The places of tokens in the sequence as a small table, laid out as on the face."""
    cell = "padding:1px 6px;text-align:right;border:1px solid rgba(125,132,142,.35)"
    marks = {True: ("bold", " ◀"), False: ("normal", "")}
    body = ""
    for row in numbers:
        cells = [(number, *marks[number == chosen]) for number in row]
        shown = [f"<td style='{cell};font-weight:{bold}'>{n}{mark}</td>" for n, bold, mark in cells]
        body += f"<tr>{''.join(shown)}</tr>"
    return f"<table style='border-collapse:collapse;font-size:12px'>{body}</table>"


def trace_svg(trace: ScanTrace) -> str:
    """The figure of `trace_figure` as a small SVG."""
    length = len(trace.x)
    pitch, height = 96.75, 71.75  # from row to row, and of one row
    across = Axes((460, 400), (44, 12, 18, 34), (-0.5, length - 0.5, 0, 1))
    parts = [text(across.x(token), 382, str(token)) for token in range(length)]
    for number, (name, stems) in enumerate(trace_rows(trace).items()):
        values = np.concatenate([series for _, series, _, _ in stems])
        low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
        top, span = 18 + number * pitch, (high - low) or 1.0
        zero = top + high / span * height
        bold = f"<tspan font-weight='bold'>{name}</tspan>"
        parts += [
            line(44, zero, 448, zero, INK, 1),
            text(38, top + height / 2 + 4, bold, "end"),
            text(38, top + 6, f"{high:.2f}", "end"),
        ]
        for _, series, colour, shift in stems:
            for token, value in enumerate(series.tolist()):
                x, y = across.x(token + shift), top + (high - value) / span * height
                parts.append(line(x, zero, x, y, colour, 3))
                parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>')
    states = " and ".join(trace.states)
    parts.append(across.below("token"))
    return svg(parts, f"Input, step, {states} state and output of {length} tokens", 460, 400)


def matrix_svg(matrix: Floats) -> str:
    """A token-to-token matrix as a small SVG: blue below zero, red above, the numbers on hover."""
    length, top = len(matrix), float(np.abs(matrix).max()) or 1.0
    side = 244 / length
    parts = []
    for (t, k), value in np.ndenumerate(matrix):
        place = f'x="{44 + k * side:.1f}" y="{18 + t * side:.1f}"'
        fill = f'fill="{VERMILLION if value > 0 else BLUE}" fill-opacity="{abs(value) / top:.3f}"'
        parts.append(
            f'<rect {place} width="{side - 1:.1f}" height="{side - 1:.1f}" {fill} stroke="{INK}"'
            f' stroke-opacity="0.3"><title>from {k} to {t}: {value:.3f}</title></rect>'
        )
    for n in range(length):
        parts.append(text(39, 18 + n * side + side / 2 + 4, str(n), "end"))
        parts.append(text(44 + (n + 0.5) * side, 276, str(n)))
    parts += [text(166, 292, "from token k"), text(4, 12, "to token t", "start")]
    label = f"Matrix of {length} by {length} tokens, largest entry {top:.3f}"
    return svg(parts, label, 300, 320)


def log_curve_svg(steps: Floats, values: Floats, last: int, name: str, colour: str) -> str:
    """A curve of positive values on a logarithmic axis, over steps 0..last."""
    if len(values) == 0:
        return f"<p>{name}: nothing yet</p>"
    logs = np.log10(values.clip(min=1e-6))
    low, high = float(logs.min()) - 0.05, float(logs.max()) + 0.05
    axes = Axes((720, 240), (56, 24, 30, 40), (0, max(last, 1), low, high))
    heights = [(tick, axes.y(float(np.log10(tick)))) for tick in _log_ticks(low, high)]
    across = np.linspace(0, last, 5).round().astype(int).tolist()
    parts = [
        *(line(axes.left, y, axes.right, y, GRID, 1) for _, y in heights),
        *(text(axes.left - 6, y + 4, f"{tick:g}", "end") for tick, y in heights),
        *(text(axes.x(step), axes.floor + 16, str(step)) for step in across),
        axes.below("step"),
        text(axes.left, axes.top - 12, name, "start"),
        stroke(axes.path(list(zip(steps.tolist(), logs.tolist(), strict=True))), colour, 2),
    ]
    return svg(parts, f"{name} by step", axes.width, axes.height)


def _cell(fold: FoldProgress) -> str:
    """Name, bar and words of one subject."""
    subject = fold.fold.partition("/")[2]
    short = subject if len(subject) <= NAME_LETTERS else f"{subject[: NAME_LETTERS - 1]}…"
    colour, words = STATE_COLOURS[fold.state], _words(fold)
    share = fold.right / fold.answered if fold.state == "done" and fold.answered else fold.share
    dashes = ' stroke-dasharray="3 3"' if fold.state == "waiting" else ""
    reason = f" ({fold.reason})" if fold.reason else ""
    label = f"{fold.fold or 'a subject'}: {fold.state}, {words}{reason}"
    bar, full = 'x="4" y="20" height="8" rx="2"', CELL_PX - 8
    return (
        f'<svg width="{CELL_PX}" height="{CELL_HEIGHT}" viewBox="0 0 {CELL_PX} {CELL_HEIGHT}"'
        f' role="img" aria-label="{html.escape(label)}" font-family="system-ui, sans-serif"'
        f' font-size="11" fill="{INK}"><title>{html.escape(label)}</title>'
        f"{text(CELL_PX / 2, 13, html.escape(short))}"
        f'<rect {bar} width="{full * share:.1f}" fill="{colour}"/>'
        f'<rect {bar} width="{full}" fill="none" stroke="{colour}"{dashes}/>'
        f"{text(CELL_PX / 2, 41, words)}</svg>"
    )


def _words(fold: FoldProgress) -> str:
    if fold.state == "done":
        return f"{fold.right}/{fold.answered} right"
    if fold.state == "failed":
        return "failed"
    return f"{fold.share:.0%}" if fold.share or fold.state == "in work" else "waits"


def _epoch_ticks(last: int) -> list[int]:
    """The first epoch, and the multiples of a round step, about eight."""
    steps = (digit * 10**power for power in range(9) for digit in (1, 2, 5))
    step = next(step for step in steps if last / step <= 8)
    return sorted({1, *range(step, last + 1, step)})


def _log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times the powers of ten between; all their multiples where these are too few."""
    powers = range(int(np.floor(low)), int(np.ceil(high)) + 1)
    for multiples in ((1, 2, 5), range(1, 10)):
        ticks = [m * 10.0**power for power in powers for m in multiples]
        ticks = [tick for tick in ticks if low <= np.log10(tick) <= high]
        if len(ticks) >= 3:
            break
    return ticks


def _thinned(points: Points, most: int) -> Points:
    chosen = np.unique(np.linspace(0, len(points) - 1, min(len(points), most)).astype(int))
    return [points[index] for index in chosen]
