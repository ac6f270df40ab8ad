"""Look at the motion of a clip, frame by frame and method by method."""

import html
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Protocol, runtime_checkable

import ipywidgets as w
import numpy as np

import hmrm_lab.flow  # noqa: F401  registers the estimators
from hmrm_lab.errors import HmrmError
from hmrm_lab.records import CLASSES, Clip, Floats
from hmrm_lab.registry import flows
from hmrm_lab.reporting.flow_colour import Image, colour_wheel
from hmrm_lab.reporting.pictures import (
    flow_picture,
    jpeg_bytes,
    longest_px,
    magnified,
    png_bytes,
    strain_peak,
)

EXACT = "exact"
DISPLAYS = (("Colour wheel", "colour"), ("Arrows", "quiver"), ("Strain", "strain"))
KEPT_FLOWS = 128  # fields in memory; 400 kB each at 224x224
KEPT_FRAMES = 64
ARROW_SHARPNESS = 2  # picture pixels per pixel of a frame
WHEEL_PX = 96
WIDE = {"description_width": "8em"}


@runtime_checkable
class KnownMotion(Protocol):
    """Frames whose exact flow is known: (2, H, W) float32, pixels."""

    def flow(self, source: int, target: int) -> Floats: ...


class FlowExplorer(w.VBox):
    """Controls for clip, frame, method and display above the moving face and its flow.

    The views are pictures in `ipywidgets.Image`: a redraw sends two small pictures and no figure
    state, works alike in JupyterLab and Voila, and leaves nothing of size in a saved notebook,
    where a plotly FigureWidget would leave five megabytes.

    Colours are scaled to the apex of the chosen clip and method, so that the frames of one clip
    can be compared. A wrong input is told below the views, an error in the program shows its
    traceback there; the views are emptied in both cases, as they would be of another state.

    Parameters
    ----------
    clips
        The clips to choose from, one at least.
    methods
        Names of registered flow estimators. The exact flow is offered as well where a clip
        knows it.
    """

    def __init__(
        self, clips: Sequence[Clip], methods: Sequence[str] = ("dis", "farneback", "tvl1")
    ) -> None:
        if not clips:
            raise ValueError("the explorer needs at least one clip")
        self._clips = list(clips)
        self._estimators = {name: flows[name].build() for name in methods}
        self._flow = lru_cache(KEPT_FLOWS)(self._compute_flow)
        self._image = lru_cache(KEPT_FRAMES)(self._read_image)
        self.clip = w.Dropdown(
            options=[(_title(clip), number) for number, clip in enumerate(self._clips)],
            description="Clip",
            style=WIDE,
            layout=w.Layout(width="26em"),
        )
        self.method = w.Dropdown(description="Flow method", style=WIDE)
        self.frame = w.IntSlider(description="Frame", style=WIDE)
        self.magnification = w.IntSlider(
            value=1, min=1, max=20, description="Magnify motion", style=WIDE
        )
        self.display = w.ToggleButtons(options=DISPLAYS, description="Show", style=WIDE)
        self.steady = w.Checkbox(
            value=False, description="Take head motion (the median) away", indent=False
        )
        self.steady.layout = w.Layout(width="auto", margin="0 0 0 2em")
        view = w.Layout(width="22rem", max_width="100%", object_fit="contain")
        self.face = w.Image(format="jpeg", layout=view)
        self.motion = w.Image(format="png", layout=view)
        self.wheel = w.Image(format="png", value=png_bytes(colour_wheel(WHEEL_PX)))
        self.wheel.layout = w.Layout(width=f"{WHEEL_PX}px", object_fit="contain")
        self.caption, self.problem, self.trace = w.HTML(), w.HTML(), w.Output()
        self._changing_clip = False
        super().__init__(
            [
                _row(self.clip, self.method),
                _row(self.frame, self.magnification),
                _row(self.display, self.steady),
                _row(self.face, self.motion, self.wheel),
                self.caption,
                self.problem,
                self.trace,
            ]
        )
        self._offer_clip()
        self._show(*self._render())
        self.clip.observe(self._on_clip, "value")
        for control in (self.method, self.frame, self.magnification, self.display, self.steady):
            control.observe(self._on_change, "value")

    def _on_clip(self, change: dict[str, Any]) -> None:
        self._changing_clip = True
        try:
            self._offer_clip()
        finally:
            self._changing_clip = False
        self._on_change(change)

    def _on_change(self, _: dict[str, Any]) -> None:
        """Redraw, or say why not."""
        if self._changing_clip:
            return
        if not self.caption.value:  # the last one failed
            self.trace.clear_output()
        self.problem.value = ""
        views: tuple[bytes, bytes, str] = (b"", b"", "")
        with self.trace:  # a callback's traceback is lost otherwise
            try:
                views = self._render()
            except HmrmError as error:
                self.problem.value = f"<p role='alert'><b>Cannot show this:</b> {_plain(error)}</p>"
            finally:
                self._show(*views)

    def _offer_clip(self) -> None:
        """Fit frame and method to the chosen clip: its apex, and the method as before if it can."""
        clip = self._clips[self.clip.value]
        with self.frame.hold_trait_notifications():
            self.frame.min, self.frame.max = clip.onset, clip.known_apex
            self.frame.value = clip.known_apex
        exact = [EXACT] if isinstance(clip.frames, KnownMotion) else []
        names = [*self._estimators, *exact]
        before = self.method.value
        self.method.options = names
        self.method.value = before if before in names else names[0]

    def _render(self) -> tuple[bytes, bytes, str]:
        """Face, motion and caption for the state of the controls."""
        number, frame, method = self.clip.value, self.frame.value, self.method.value
        clip = self._clips[number]
        flow, at_apex = (self._seen_flow(number, at, method) for at in (frame, clip.known_apex))
        onset = self._image(number, clip.onset)
        factor = self.magnification.value
        face = magnified(onset, flow, factor) if factor > 1 else self._image(number, frame)
        top, strain = longest_px(at_apex), strain_peak(at_apex)
        mode = self.display.value
        motion = flow_picture(
            flow,
            mode,
            frame=onset,
            max_px=top or None,
            max_strain=strain or None,
            scale=ARROW_SHARPNESS if mode == "quiver" else 1,
        )
        words = [
            f"Frame {frame} (onset {clip.onset}, apex {clip.known_apex}):"
            f" {1000 * (frame - clip.onset) / clip.fps:.0f} ms after the onset.",
            f"Flow by {_plain(method)}: longest vector {longest_px(flow):.2f} px.",
            f"Scale: {100 * strain:.1f} % strain." if mode == "strain" else f"Scale: {top:.2f} px.",
        ]
        if method != EXACT and isinstance(clip.frames, KnownMotion):
            error = np.hypot(
                *(self._flow(number, frame, method) - self._flow(number, frame, EXACT))
            )
            words.append(f"Mean end-point error {error.mean():.3f} px.")
        if factor > 1:
            words.append(f"The face is the onset moved {factor} times as far as measured.")
        return jpeg_bytes(face), png_bytes(motion), " ".join(words)

    def _show(self, face: bytes, motion: bytes, caption: str) -> None:
        self.face.value, self.motion.value, self.caption.value = face, motion, caption
        self.wheel.layout.display = "" if self.display.value == "colour" else "none"

    def _seen_flow(self, number: int, frame: int, method: str) -> Floats:
        flow = self._flow(number, frame, method)
        if self.steady.value:
            return flow - np.median(flow, axis=(1, 2), keepdims=True)
        return flow

    def _compute_flow(self, number: int, frame: int, method: str) -> Floats:
        clip = self._clips[number]
        if method == EXACT and isinstance(clip.frames, KnownMotion):
            return clip.frames.flow(clip.onset, frame)
        first, second = self._image(number, clip.onset), self._image(number, frame)
        return self._estimators[method](first[None], second[None])[0]

    def _read_image(self, number: int, frame: int) -> Image:
        return self._clips[number].frames[frame]


def _row(*children: w.Widget) -> w.HBox:
    return w.HBox(children, layout=w.Layout(flex_flow="row wrap", align_items="center"))


def _title(clip: Clip) -> str:
    return f"{clip.key.subject} · {clip.key.clip} ({CLASSES[clip.label]})"


def _plain(text: object) -> str:
    return html.escape(str(text))
