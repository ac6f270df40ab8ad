"""The curves of a pre-training while it runs: a page that draws itself anew every few seconds."""

from pathlib import Path

import numpy as np
import pandas as pd

from hmrm_lab.records import Floats
from hmrm_lab.reporting.style import BLUE, GRID, INK, ORANGE
from hmrm_lab.reporting.svg import line, text
from hmrm_lab.runtime.store import write_atomic

WIDTH, HEIGHT = 720, 240
LEFT, RIGHT, TOP, BOTTOM = 56, 24, 30, 40
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
        log_curve_svg(*_thinned(table, column), steps, name, colour)
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
        return LEFT + step / max(last, 1) * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        share = (np.log10(value) - low) / (high - low)
        return float(HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP))

    points = " ".join(f"{x(s):.1f},{y(v):.1f}" for s, v in zip(steps, values, strict=True))
    rows = _ticks(low, high)
    across = np.linspace(0, last, 5).round().astype(int).tolist()
    parts = [
        *(line(LEFT, y(tick), WIDTH - RIGHT, y(tick), GRID, 1) for tick in rows),
        *(text(LEFT - 6, y(tick) + 4, f"{tick:g}", "end") for tick in rows),
        *(text(x(step), HEIGHT - BOTTOM + 16, str(step)) for step in across),
        text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, "step"),
        text(LEFT, TOP - 12, name, "start"),
        f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>',
    ]
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{name} by step"'
        f' style="width:100%" font-family="system-ui, sans-serif" font-size="12"'
        f' fill="{INK}">{"".join(parts)}</svg>'
    )


def _thinned(table: pd.DataFrame, column: str) -> tuple[Floats, Floats]:
    """Steps and means of at most `POINTS` stretches."""
    stretch = np.arange(len(table)) * POINTS // max(len(table), POINTS)
    means = table.groupby(stretch)[["step", column]].mean()
    return means["step"].to_numpy(), means[column].clip(lower=1e-6).to_numpy()


def _ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times the powers of ten between; all their multiples where these are too few."""
    powers = range(int(np.floor(low)), int(np.ceil(high)) + 1)
    for multiples in ((1, 2, 5), range(1, 10)):
        ticks = [m * 10.0**power for power in powers for m in multiples]
        ticks = [tick for tick in ticks if low <= np.log10(tick) <= high]
        if len(ticks) >= 3:
            break
    return ticks
