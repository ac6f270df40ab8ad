"""Small SVGs and pieces of HTML, for widgets and pages that redraw them often.

A plotly figure inside a widget would be redrawn as a whole, or leave its library in every saved
notebook. Colours are readable on light and dark paper; what they say is also said in words.
"""

from collections.abc import Iterable, Sequence
from functools import cache
from itertools import groupby
from typing import Any
from xml.etree import ElementTree as ET

import jinja2
import numpy as np
import pandas as pd
from plotly.offline import get_plotlyjs

from hmrm_lab.evaluation.live_progress import FoldProgress, Points, RunSnapshot
from hmrm_lab.records import Floats, Ints
from hmrm_lab.reporting.drawing import image_uri, wheel_picture
from hmrm_lab.reporting.style import BLUE, CLASS_COLOURS, GRID, INK, ORANGE, VERMILLION

WHEEL_PX = 220  # drawn at half of it
LOSO_PX = 360  # the width of a telephone
MOST_POINTS = 2500  # of all loss curves together
LEAST_POINTS = 2
STATE_COLOURS = {"waiting": INK, "in work": ORANGE, "done": BLUE, "failed": VERMILLION}
Box = tuple[float, float, float, float]
Ticks = Iterable[tuple[float, str]]


@cache
def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("hmrm_lab.reporting", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(ink=INK, blue=BLUE, red=VERMILLION, grid=GRID, script=get_plotlyjs)
    return environment


def render_page(template: str, **values: Any) -> str:
    """A template with its values; text is escaped, and a value that is missing is an error."""
    return _templates().get_template(template).render(**values)


def piece(name: str, *values: Any) -> str:
    """A macro of `pieces.html.j2` with its values."""
    module = _templates().get_template("pieces.html.j2").module
    return str(getattr(module, name)(*values)).strip()


def progress_bar(share: float, words: str) -> str:
    return piece("progress", share, words)


def subject_cells(folds: Sequence[FoldProgress]) -> str:
    """A cell for each held-out subject, data set by data set, with its state in words.

    Its bar is the share of the epochs, or when it is done of the clips that were answered right.
    """
    counts = [f"{sum(f.state == state for f in folds)} {state}" for state in STATE_COLOURS]
    by_set = groupby(folds, lambda fold: fold.fold.partition("/")[0])
    groups = {name: list(of) for name, of in by_set}
    return piece("subjects", groups, ", ".join(counts), STATE_COLOURS)


def probability_bars(probabilities: Sequence[float], classes: Sequence[str], truth: int) -> str:
    """One bar per class, full width for 1; the true and the predicted class are named."""
    predicted = int(np.argmax(probabilities))
    rows = []
    for label, (name, share) in enumerate(zip(classes, probabilities, strict=True)):
        marks = ["predicted"] * (label == predicted) + ["true"] * (label == truth)
        words = f"{share:.0%} {', '.join(marks)}".strip()
        rows.append((name, float(share), words, CLASS_COLOURS[label]))
    return piece("probabilities", rows, "; ".join(f"{name} {words}" for name, _, words, _ in rows))


def confusion_cells(counts: Ints, classes: Sequence[str], words: str) -> str:
    """The words, and under them counts (K, K): a row per true class, a column per predicted one."""
    shares = counts / counts.sum(1, keepdims=True).clip(min=1)
    return piece("confusion", counts.tolist(), shares.tolist(), classes, words)


def legend_html(display: str, most: str) -> str:
    """The legend of a display: a wheel or a bar, up to `most` in words; nothing for arrows."""
    if display == "colour":
        return piece("wheel", image_uri(wheel_picture(WHEEL_PX), "png"), most)
    return "" if display == "quiver" else piece("bar", "", "0", f"{most} or more")


def token_grid_html(numbers: Sequence[Sequence[int]], chosen: int | None = None) -> str:
    return piece("tokens", numbers, chosen)


def matrix_html(matrix: Floats) -> str:
    """A token-to-token matrix: blue below zero, red above, the numbers on hover."""
    return piece("matrix", matrix.tolist(), float(np.abs(matrix).max()) or 1.0)


def table_html(table: pd.DataFrame, *, index: bool = True, header: bool = True) -> str:
    """HTML of a table that scrolls where it is wider than the page, its cells on one line each."""
    text = table.to_html(index=index, header=header, border=0, justify="left")
    style = "border-collapse:separate;border-spacing:12px 0;white-space:nowrap;text-align:left"
    styled = text.replace("<table", f'<table style="{style}"', 1)
    return f'<div tabindex="0" style="overflow-x:auto">{styled}</div>'


class Plot:
    """An SVG that grows: `x` and `y` place values in its area.

    Margins are pixels at the left, right, top and bottom, and spans the values there.
    """

    def __init__(self, size: tuple[int, int], margins: Box, spans: Box) -> None:
        self.width, self.height = size
        self.left, right, self.top, bottom = margins
        self.right, self.floor = self.width - right, self.height - bottom
        self.spans = spans
        self.root = ET.Element("svg", viewBox=f"0 0 {self.width} {self.height}", role="img")

    def add(self, tag: str, words: str = "", **look: Any) -> None:
        """Add an element; numbers are rounded to tenths."""
        given = {
            name.replace("_", "-"): value if isinstance(value, str) else f"{value:.1f}"
            for name, value in look.items()
        }
        ET.SubElement(self.root, tag, given).text = words

    def x(self, value: float) -> float:
        first, last = self.spans[:2]
        share = (value - first) / (last - first) if last > first else 0.5
        return self.left + share * (self.right - self.left)

    def y(self, value: float) -> float:
        low, high = self.spans[2:]
        return self.floor - (value - low) / (high - low) * (self.floor - self.top)

    def text(self, x: float, y: float, words: str, anchor: str = "middle", **look: str) -> None:
        self.add("text", words, x=x, y=y, text_anchor=anchor, **look)

    def line(self, ends: Box, colour: str, width: int, dashes: str = "") -> None:
        """A stroke from (x, y) to (x, y)."""
        x1, y1, x2, y2 = ends
        look = {"stroke_width": str(width), "stroke_dasharray": dashes}
        self.add("line", x1=x1, y1=y1, x2=x2, y2=y2, stroke=colour, **look)

    def dot(self, x: float, y: float, radius: int, colour: str) -> None:
        self.add("circle", cx=x, cy=y, r=str(radius), fill=colour)

    def curves(
        self, curves: Sequence[Points], colour: str, width: float, opacity: float = 1
    ) -> None:
        """Paths through points; one point alone is a dot."""
        paths = ""
        for points in curves:
            places = [f"{round(self.x(x), 1):g},{round(self.y(y), 1):g}" for x, y in points]
            paths += f"M{places[0]}L{' '.join(places[1:] or places)}"
        look = {"stroke_width": str(width), "stroke_opacity": str(opacity)}
        self.add("path", d=paths, fill="none", stroke=colour, stroke_linecap="round", **look)

    def axes(self, title: str, across: Ticks, up: Ticks) -> None:
        self.line((self.left, self.floor, self.right, self.floor), INK, 1)
        self.line((self.left, self.top, self.left, self.floor), INK, 1)
        for value, words in across:
            self.text(self.x(value), self.floor + 16, words)
        for value, words in up:
            self.text(self.left - 6, self.y(value) + 4, words, "end")
        self.text((self.left + self.right) / 2, self.height - 5, title)

    def legend(self, entries: Iterable[tuple[str, str]], step: int) -> None:
        for place, (words, colour) in enumerate(entries):
            left = self.left + step * place
            self.add("rect", x=left, y=9, width=10, height=10, fill=colour)
            self.text(left + 15, 18, words, "start")

    def svg(self, label: str) -> str:
        """As wide as its place, at most its own width; the label is for screen readers."""
        style = f"width:100%;max-width:{self.width}px;font:12px system-ui;fill:currentColor"
        self.root.attrib |= {"aria-label": label, "style": style}
        return ET.tostring(self.root, encoding="unicode")


def loss_curves(snapshot: RunSnapshot) -> str:
    """Training loss by epoch: thin lines of finished trainings, strong ones of those in work."""
    finished, in_work = ([c for c in of if c] for of in (snapshot.finished, snapshot.in_work))
    curves = [*finished, *in_work]
    top = max((loss for points in curves for _, loss in points), default=1.0) or 1.0
    last = max([snapshot.epochs, *(points[-1][0] for points in curves)])
    most = max(LEAST_POINTS, MOST_POINTS // max(len(curves), 1))
    done, going = len(snapshot.finished), len(snapshot.in_work)
    plot = Plot((LOSO_PX, 200), (52, 18, 30, 40), (1, last, 0, top))
    plot.axes("epoch", [(n, str(n)) for n in _epoch_ticks(last)], [(top, f"{top:.2g}"), (0, "0")])
    middle = (plot.top + plot.floor) / 2
    plot.text(12, middle, "training loss", transform=f"rotate(-90 12 {middle})")
    plot.curves([_thinned(c, most) for c in finished], BLUE, 1.2, 0.6 if done > 8 else 0.9)
    plot.curves([_thinned(c, most) for c in in_work], ORANGE, 3)
    for *_, (epoch, loss) in in_work:
        plot.dot(plot.x(epoch), plot.y(loss), 4, ORANGE)
    plot.legend([(f"{done} finished", BLUE), (f"{going} in work", ORANGE)], 110)
    return plot.svg(f"Training loss by epoch, {done} finished trainings and {going} in work")


def _epoch_ticks(last: int) -> list[int]:
    """The first epoch, and the multiples of a round step, about eight."""
    steps = (digit * 10**power for power in range(9) for digit in (1, 2, 5))
    step = next(step for step in steps if last / step <= 8)
    return sorted({1, *range(step, last + 1, step)})


def _thinned(points: Points, most: int) -> Points:
    chosen = np.unique(np.linspace(0, len(points) - 1, min(len(points), most)).astype(int))
    return [points[index] for index in chosen]
