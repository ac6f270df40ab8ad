"""Play with one channel of the selective scan: what it writes, keeps and passes by."""

import math
from collections.abc import Mapping
from typing import Any

import ipywidgets as w
import numpy as np
import torch

from hmrm_lab.models.scan.inside import DIRECTIONS, ScanTrace, trace_scan
from hmrm_lab.reporting.plots.region_tokens import trace_rows
from hmrm_lab.reporting.style import INK
from hmrm_lab.reporting.svg import Plot, matrix_html
from hmrm_widgets.parts import buttons, control, plain, row, view
from hmrm_widgets.viewer import Viewer

SIZES: dict[str, Any] = {"words": "9em", "width": "26em"}


class ScanPlayground(Viewer):
    """Controls for decay, steps, direction and input above x, dt, h, y and the matrix.

    One channel, one number of state, B = C = 1, so that h is what the scan remembers.

    Parameters
    ----------
    tokens
        The length of the sequence, two at least (`ValueError` otherwise).
    """

    def __init__(self, tokens: int = 12) -> None:
        if tokens < 2:
            raise ValueError("the playground needs two tokens")
        self._tokens = tokens
        self.decay = _slider("Decay (-A)", 0.5, 0.05, 3.0)
        self.step = _slider("dt of all tokens", 0.3, 0.05, 1.0)
        self.skip = _slider("Skip (D)", 0.0, 0.0, 1.0)
        self.attended, self.impulse = (
            control(w.IntSlider, words, value=value, min=0, max=tokens - 1, **SIZES)
            for words, value in (
                ("Attend to token", tokens // 2),
                ("Impulse at token", tokens // 4),
            )
        )
        limits = dict[str, Any](value=1.0, min=-2, max=1.3, step=0.1)
        self.strength = control(
            w.FloatLogSlider, "its dt, times", readout_format=".2f", **limits, **SIZES
        )
        inputs = (("One impulse", "impulse"), ("Every token", "ones"))
        ways = [(name.capitalize(), name) for name in DIRECTIONS]
        self.input = buttons("Input x", inputs, "8em", words="9em")
        self.direction = buttons("Direction", ways, "8em", words="9em")
        self.stems, self.matrix = w.HTML(layout=view("29rem")), w.HTML(layout=view("19rem"))
        self.caption = w.HTML()
        rows = [
            row(self.decay, self.step),
            row(self.attended, self.strength),
            row(self.input, self.impulse, gap="1em"),
            row(self.direction, self.skip, gap="1em"),
            row(self.stems, self.matrix, gap="1em"),
            self.caption,
        ]
        sliders = (self.decay, self.step, self.attended, self.strength, self.impulse, self.skip)
        views = {"stems": self.stems, "matrix": self.matrix, "caption": self.caption}
        super().__init__(rows, [*sliders, self.input, self.direction], views)

    def fit(self, changed: w.Widget | None) -> None:
        """Only an impulse has a place."""
        self.impulse.disabled = self.input.value == "ones"

    def render(self) -> Mapping[str, Any]:
        x = torch.ones(self._tokens)
        if self.input.value == "impulse":
            x = torch.eye(self._tokens)[self.impulse.value]
        dt = torch.full((self._tokens,), self.step.value)
        dt[self.attended.value] *= self.strength.value
        decay, skip, direction = self.decay.value, self.skip.value, self.direction.value
        trace = trace_scan(x, dt, decay=decay, skip=skip, direction=direction)
        own = float(dt[self.attended.value])
        words = (
            f"Token {self.attended.value} writes {own:.3f} times its x into the state and keeps"
            f" {math.exp(-decay * own):.0%} of what was there. With the dt of all others, a memory"
            f" halves in {math.log(2) / (decay * self.step.value):.1f} tokens."
        )
        matrix = matrix_html(trace.matrix.numpy())
        return {"stems": trace_svg(trace), "matrix": matrix, "caption": plain(words)}


def _slider(description: str, value: float, low: float, high: float) -> w.FloatSlider:
    return control(w.FloatSlider, description, value=value, min=low, max=high, step=0.05, **SIZES)


def trace_svg(trace: ScanTrace) -> str:
    """Draw input, step, states and output of every token as stems, a row for each."""
    length = len(trace.x)
    pitch, height = 92.0, 70.0  # from row to row, and of one row
    plot = Plot((460, 400), (44, 12, 18, 34), (-0.5, length - 0.5, 0, 1))
    for token in range(length):
        plot.text(plot.x(token), 380, str(token))
    for number, (name, stems) in enumerate(trace_rows(trace).items()):
        values = np.concatenate([series for _, series, _, _ in stems])
        low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
        top, span = 18 + number * pitch, (high - low) or 1.0
        zero = top + high / span * height
        plot.line((44, zero, 448, zero), INK, 1)
        plot.text(38, top + height / 2 + 4, name, "end", font_weight="bold")
        plot.text(38, top + 6, f"{high:.2f}", "end")
        for _, series, colour, shift in stems:
            for token, value in enumerate(series.tolist()):
                x, y = plot.x(token + shift), top + (high - value) / span * height
                plot.line((x, zero, x, y), colour, 3)
                plot.dot(x, y, 3, colour)
    plot.text(246, 395, "token")
    states = " and ".join(trace.states)
    return plot.svg(f"Input, step, {states} state and output of {length} tokens")
