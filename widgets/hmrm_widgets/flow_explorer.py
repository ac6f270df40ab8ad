"""Look at the motion of a clip: frame by frame, method by method, update by update."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import ipywidgets as w
import numpy as np

import hmrm_lab.flow  # noqa: F401  registers the estimators
from hmrm_lab.flow.estimator import FlowEstimator
from hmrm_lab.flow.gru_attention.builder import FrozenFlow
from hmrm_lab.flow.gru_attention.steps import flow_steps, update_names
from hmrm_lab.records import Clip, Floats, KnownMotion
from hmrm_lab.registry import flows
from hmrm_lab.reporting.flow_colour import Image
from hmrm_lab.reporting.pictures import (
    error_px,
    flow_picture,
    heat_picture,
    jpeg_bytes,
    longest_px,
    magnified,
    outermost,
    png_bytes,
    strain_peak,
)
from hmrm_widgets.legends import legend_bytes
from hmrm_widgets.parts import plain, row, title
from hmrm_widgets.viewer import Viewer

EXACT = "exact"
DISPLAYS = (("Colour wheel", "colour"), ("Arrows", "quiver"), ("Strain", "strain"))
ERROR = ("Error", "error")  # where the exact motion is known
NO_UPDATES = "none"  # of a method that answers at once

KEPT_FLOWS = 64  # estimates in memory; 400 kB for each field at 224x224
KEPT_FRAMES = 64
ARROW_SHARPNESS = 2  # picture pixels per pixel of a frame
WIDE = {"description_width": "8em"}


class Views(NamedTuple):
    face: bytes
    motion: bytes
    caption: str


class FlowExplorer(Viewer):
    """Controls for clip, frame, method, update and display above the moving face and its flow.

    The views are pictures in `ipywidgets.Image`: a redraw sends small pictures and no figure
    state, works alike in JupyterLab and Voila, and leaves nothing of size in a saved notebook,
    where a plotly FigureWidget would leave five megabytes.

    Colours are scaled to the apex of the chosen clip and method, so that the frames of one clip
    and the updates of one method can be compared.

    Parameters
    ----------
    clips
        The clips to choose from, one at least.
    methods
        Names of registered flow estimators, or estimators by the names to show. The exact flow is
        offered as well where a clip knows it.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        methods: Sequence[str] | Mapping[str, FlowEstimator] = ("dis", "farneback", "tvl1"),
    ) -> None:
        if not clips:
            raise ValueError("the explorer needs at least one clip")
        self._clips = list(clips)
        self._estimators: dict[str, FlowEstimator] = (
            dict(methods)
            if isinstance(methods, Mapping)
            else {name: flows[name].build() for name in methods}
        )
        self._flows = lru_cache(KEPT_FLOWS)(self._compute_flows)
        self._image = lru_cache(KEPT_FRAMES)(self._read_image)
        self.clip = w.Dropdown(
            options=[(title(clip), number) for number, clip in enumerate(self._clips)],
            description="Clip",
            style=WIDE,
            layout=w.Layout(width="26em"),
        )
        self.method = w.Dropdown(description="Flow method", style=WIDE)
        self.frame = w.IntSlider(description="Frame", style=WIDE)
        self.update = w.Dropdown(description="Iteration", style=WIDE)
        self.magnification = w.IntSlider(
            value=1, min=1, max=20, description="Magnify motion", style=WIDE
        )
        self.display = w.ToggleButtons(
            options=DISPLAYS, description="Show", style={**WIDE, "button_width": "9em"}
        )
        self.display.layout = w.Layout(width="max-content", max_width="100%")
        self.steady = w.Checkbox(
            value=False, description="Take head motion (the median) away", indent=False
        )
        self.steady.layout = w.Layout(width="auto", margin="0 0 0 2em")
        view = w.Layout(width="22rem", max_width="100%", object_fit="contain")
        self.face = w.Image(format="jpeg", layout=view)
        self.motion = w.Image(format="png", layout=view)
        self.legend = w.Image(format="png", layout=w.Layout(object_fit="contain"))
        self.caption = w.HTML()
        rows = [
            row(self.clip, self.method),
            row(self.frame, self.update),
            row(self.display),
            row(self.magnification, self.steady),
            row(self.face, self.motion, self.legend),
            self.caption,
        ]
        choices = (self.clip, self.method, self.update, self.display)
        super().__init__(rows, [*choices, self.frame, self.magnification, self.steady])

    def fit(self, changed: w.Widget | None) -> None:
        """Offer what the chosen clip and method can do; keep what was chosen where it still is."""
        if changed is None or changed is self.clip:
            self._offer_clip()
        self._offer_updates()

    def _offer_clip(self) -> None:
        """The frames of the clip, its apex first, and what needs the exact motion."""
        clip = self._clips[self.clip.value]
        with self.frame.hold_trait_notifications():
            self.frame.min, self.frame.max = clip.onset, clip.known_apex
            self.frame.value = clip.known_apex
        known = isinstance(clip.frames, KnownMotion)
        _set_options(self.method, [*self._estimators, *([EXACT] if known else [])])
        _set_options(self.display, [*DISPLAYS, *([ERROR] if known else [])])

    def _offer_updates(self) -> None:
        """The updates of the method, the last one first; none where it has none."""
        estimator = self._estimators.get(self.method.value)
        names = update_names(estimator) if isinstance(estimator, FrozenFlow) else (NO_UPDATES,)
        options = [(name, number) for number, name in enumerate(names)]
        if list(self.update.options) != options:
            self.update.options = options
            self.update.value = len(names) - 1
        self.update.disabled = len(names) == 1

    def render(self) -> Views:
        frame, factor = self.frame.value, self.magnification.value
        onset = self._image(self.clip.value, self._chosen().onset)
        flow = self._seen_flow(frame)
        face = magnified(onset, flow, factor) if factor > 1 else self._image(self.clip.value, frame)
        motion, scale = self._motion_picture(onset)
        words = [*self._words(flow), scale]
        if factor > 1:
            words.append(f"The face is the onset moved {factor} times as far as measured.")
        return Views(jpeg_bytes(face), png_bytes(motion), " ".join(words))

    def show(self, views: Views | None) -> None:
        self.face.value, self.motion.value, self.caption.value = views or Views(b"", b"", "")
        legend = legend_bytes(self.display.value) if views else b""
        self.legend.value, self.legend.layout.display = legend, "" if legend else "none"

    def _motion_picture(self, onset: Image) -> tuple[Image, str]:
        """What `display` asks for, and the scale of its colours in words."""
        mode, frame, apex = self.display.value, self.frame.value, self._chosen().known_apex
        if mode == "error" and self.method.value == EXACT:
            return heat_picture(self._error(frame), 1.0), "The exact flow has no error."
        if mode == "error":
            top = outermost(self._error(apex, last=True))
            picture = heat_picture(self._error(frame), top)
            return picture, f"Yellow is an error of {top:.2f} px or more, dark blue is none."
        at_apex = self._seen_flow(apex, last=True)
        top, strain = longest_px(at_apex), strain_peak(at_apex)
        picture = flow_picture(
            self._seen_flow(frame),
            mode,
            frame=onset,
            max_px=top or None,
            max_strain=strain or None,
            scale=ARROW_SHARPNESS if mode == "quiver" else 1,
        )
        words = {
            "colour": f"Full saturation is {top:.2f} px.",
            "quiver": f"The longest arrow at the apex stands for {top:.2f} px.",
            "strain": f"Yellow is {100 * strain:.1f} % strain or more, dark blue is none.",
        }
        return picture, words[mode]

    def _words(self, flow: Floats) -> list[str]:
        clip, frame, method = self._chosen(), self.frame.value, self.method.value
        updates = f" after {self.update.label}" if not self.update.disabled else ""
        words = [
            f"Frame {frame} (onset {clip.onset}, apex {clip.known_apex}):"
            f" {1000 * (frame - clip.onset) / clip.fps:.0f} ms after the onset.",
            f"Flow by {plain(method)}{updates}: longest vector {longest_px(flow):.2f} px.",
        ]
        if method != EXACT and isinstance(clip.frames, KnownMotion):
            whole = ", head motion included" if self.steady.value else ""
            words.append(f"Mean end-point error{whole}: {self._error(frame).mean():.3f} px.")
        return words

    def _chosen(self) -> Clip:
        return self._clips[self.clip.value]

    def _seen_flow(self, frame: int, *, last: bool = False) -> Floats:
        """The flow to a frame after the chosen update or the last, without the head's motion if
        so chosen."""
        flow = self._flow(frame, last=last)
        if self.steady.value:
            return flow - np.median(flow, axis=(1, 2), keepdims=True)
        return flow

    def _error(self, frame: int, *, last: bool = False) -> Floats:
        truth = self._flows(self.clip.value, frame, EXACT)[0]
        return error_px(self._flow(frame, last=last), truth)

    def _flow(self, frame: int, *, last: bool) -> Floats:
        fields = self._flows(self.clip.value, frame, self.method.value)
        return fields[-1 if last else self.update.value]

    def _compute_flows(self, number: int, frame: int, method: str) -> Floats:
        """The flow after each update: (T, 2, H, W), T = 1 for a method without."""
        clip = self._clips[number]
        if method == EXACT and isinstance(clip.frames, KnownMotion):
            return clip.frames.flow(clip.onset, frame)[None]
        estimator = self._estimators[method]
        first, second = self._image(number, clip.onset), self._image(number, frame)
        if isinstance(estimator, FrozenFlow):
            return flow_steps(estimator, first, second).flows_px
        return estimator(first[None], second[None])

    def _read_image(self, number: int, frame: int) -> Image:
        return self._clips[number].frames[frame]


def _set_options(control: w.Dropdown | w.ToggleButtons, options: list[Any]) -> None:
    """Offer these; what was chosen stays if it still is among them, or else it is the first."""
    if list(control.options) == options:
        return
    before = control.value
    control.options = options
    values = [option[1] if isinstance(option, tuple) else option for option in options]
    control.value = before if before in values else values[0]
