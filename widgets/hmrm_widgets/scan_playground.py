"""Play with one channel of the selective scan: what it writes, keeps and passes by."""

import math
from typing import NamedTuple

import ipywidgets as w
import torch

from hmrm_lab.models.scan.inside import DIRECTIONS, trace_scan
from hmrm_lab.reporting.svg import matrix_svg, trace_svg
from hmrm_widgets.parts import plain, row
from hmrm_widgets.viewer import Viewer

INPUTS = (("One impulse", "impulse"), ("Every token", "ones"))
WIDE = {"description_width": "9em"}
SLIDER = {"width": "26em", "max_width": "100%"}


class Views(NamedTuple):
    stems: str
    matrix: str
    caption: str


class ScanPlayground(Viewer):
    """Controls for decay, steps, direction and input above x, dt, h, y and the matrix.

    One channel, one number of state, B = C = 1, so that h is what the scan remembers.

    Parameters
    ----------
    tokens
        The length of the sequence, two at least.

    Raises
    ------
    ValueError
        If there are fewer.
    """

    def __init__(self, tokens: int = 12) -> None:
        if tokens < 2:
            raise ValueError("the playground needs two tokens")
        self._tokens = tokens
        self.decay = _slider("Decay (-A)", 0.5, 0.05, 3.0)
        self.step = _slider("dt of all tokens", 0.3, 0.05, 1.0)
        self.attended = self._place("Attend to token", tokens // 2)
        self.strength = w.FloatLogSlider(
            value=1.0,
            min=-2,
            max=1.3,
            step=0.1,
            description="its dt, times",
            readout_format=".2f",
            style=WIDE,
            layout=w.Layout(**SLIDER),
        )
        self.input = w.ToggleButtons(
            options=INPUTS, description="Input x", style={**WIDE, "button_width": "8em"}
        )
        self.impulse = self._place("Impulse at token", tokens // 4)
        self.direction = w.ToggleButtons(
            options=[(name.capitalize(), name) for name in DIRECTIONS],
            description="Direction",
            style={**WIDE, "button_width": "8em"},
        )
        self.skip = _slider("Skip (D)", 0.0, 0.0, 1.0)
        self.input.layout = self.direction.layout = w.Layout(width="max-content", max_width="100%")
        self.stems = w.HTML(layout=w.Layout(width="29rem", max_width="100%"))
        self.matrix = w.HTML(layout=w.Layout(width="19rem", max_width="100%"))
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
        super().__init__(rows, [*sliders, self.input, self.direction])

    def fit(self, changed: w.Widget | None) -> None:
        """Only an impulse has a place."""
        self.impulse.disabled = self.input.value == "ones"

    def render(self) -> Views:
        x = torch.ones(self._tokens)
        if self.input.value == "impulse":
            x = torch.eye(self._tokens)[self.impulse.value]
        dt = torch.full((self._tokens,), self.step.value)
        dt[self.attended.value] *= self.strength.value
        trace = trace_scan(
            x,
            dt,
            decay=self.decay.value,
            skip=self.skip.value,
            direction=self.direction.value,
        )
        return Views(trace_svg(trace), matrix_svg(trace.matrix.numpy()), plain(self._words(dt)))

    def show(self, views: Views | None) -> None:
        self.stems.value, self.matrix.value, self.caption.value = views or Views("", "", "")

    def _words(self, dt: torch.Tensor) -> str:
        own = float(dt[self.attended.value])
        kept = math.exp(-self.decay.value * own)
        half = math.log(2) / (self.decay.value * self.step.value)
        return (
            f"Token {self.attended.value} writes {own:.3f} times its x into the state and keeps"
            f" {kept:.0%} of what was there. With the dt of all others, a memory halves in"
            f" {half:.1f} tokens."
        )

    def _place(self, description: str, value: int) -> w.IntSlider:
        return w.IntSlider(
            value=value,
            min=0,
            max=self._tokens - 1,
            description=description,
            style=WIDE,
            layout=w.Layout(**SLIDER),
        )


def _slider(description: str, value: float, low: float, high: float) -> w.FloatSlider:
    return w.FloatSlider(
        value=value,
        min=low,
        max=high,
        step=0.05,
        description=description,
        style=WIDE,
        layout=w.Layout(**SLIDER),
    )
