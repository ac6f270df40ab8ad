"""Look at the motion of a clip: frame by frame, method by method, update by update."""

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets as w
import numpy as np
import traitlets as t

from hmrm_lab.flow.estimator import FlowEstimator
from hmrm_lab.flow.gru_attention import FrozenFlow, flow_steps, update_names
from hmrm_lab.flow.motion_maps import without_median
from hmrm_lab.records import Clip, Floats, KnownMotion
from hmrm_lab.registry import flows
from hmrm_lab.reporting.drawing import (
    Image,
    error_px,
    flow_picture,
    heat_picture,
    jpeg_bytes,
    longest_px,
    magnified,
    percentile_99_9,
    strain_peak,
)
from hmrm_lab.reporting.plots.motion_fields import vector_at, vector_words
from hmrm_lab.reporting.svg import legend_html
from hmrm_widgets.parts import (
    DISPLAYS,
    buttons,
    choose_clip,
    control,
    head_motion,
    named_clips,
    offer,
    plain,
    row,
    since_onset,
    view,
)
from hmrm_widgets.viewer import Viewer

ERROR = ("Error", "error")  # where the exact motion is known
EXACT = "exact"
ARROW_SHARPNESS = 2  # picture pixels per pixel of a frame
KEPT = 64  # frames, and flows of 400 kB each at 224x224


class FlowCanvas(anywidget.AnyWidget):
    """A picture on a canvas, with a cross on the chosen point.

    It takes the place of `ipywidgets.Image`, which does not say where it was clicked, and has the
    same `value`: a JPEG. `size` are columns and rows of the grid that is pointed into; the picture
    may be sharper than that. `point` is column and row of the cross, counted from the upper left,
    or None; a click and the arrow keys change it where `pointing` is set. `label` says what the
    picture shows.
    """

    _esm = Path(__file__).with_name("flow_canvas.js")
    _css = Path(__file__).with_name("flow_canvas.css")

    value = t.Bytes(b"").tag(sync=True)
    size = t.Tuple(t.Int(min=1), t.Int(min=1), default_value=(1, 1)).tag(sync=True)
    point: Any = t.Tuple(t.Float(), t.Float(), default_value=None, allow_none=True).tag(sync=True)
    pointing = t.Bool(False).tag(sync=True)
    label = t.Unicode("").tag(sync=True)


class FlowExplorer(Viewer):
    """Controls for clip, frame, method, update and display above the moving face and its flow.

    It opens at the apex, with arrows and without the head's motion, so that an expression is seen.
    A click on the flow, or the arrow keys, choose a point of the onset; its motion is told below,
    and a cross on the face shows where it has gone. Colours are scaled to the apex of the chosen
    clip and method, so that the frames of one clip and the updates of one method can be compared.

    Parameters
    ----------
    clips
        The clips to choose from, one at least (`ValueError` otherwise); or clips by the names to
        show.
    methods
        Names of registered flow estimators, or estimators by the names to show. The exact flow is
        offered as well where a clip knows it.
    """

    def __init__(
        self,
        clips: Sequence[Clip] | Mapping[str, Clip],
        methods: Sequence[str] | Mapping[str, FlowEstimator] = ("dis", "farneback", "tvl1"),
    ) -> None:
        if not clips:
            raise ValueError("the explorer needs at least one clip")
        names, self._clips = named_clips(clips)
        if not isinstance(methods, Mapping):
            methods = {name: flows[name].build() for name in methods}
        self._estimators = dict(methods)
        self._image_of = lru_cache(KEPT)(lambda number, frame: self._clips[number].frames[frame])
        self._fields_of = lru_cache(KEPT)(self._compute_fields)
        self.clip = choose_clip(names)
        self.method = control(w.Dropdown, "Flow method")
        self.frame = control(w.IntSlider, "Frame")
        self.update = control(w.Dropdown, "Iteration")
        self.magnification = control(w.IntSlider, "Magnify motion", value=1, min=1, max=20)
        self.display = buttons("Show", DISPLAYS, "9em", value="quiver")
        self.steady = head_motion(taken_away=True)
        self.steady.layout.margin = "0 0 0 2em"
        layout = view("22rem", align_self="flex-start")
        self.face, self.motion = FlowCanvas(layout=layout), FlowCanvas(pointing=True, layout=layout)
        self.legend, self.reading, self.caption = w.HTML(), w.HTML(), w.HTML()
        rows = [
            row(self.clip, self.method),
            row(self.frame, self.update),
            row(self.display),
            row(self.magnification, self.steady),
            row(self.face, self.motion, self.legend),
            self.reading,
            self.caption,
        ]
        choices = (self.clip, self.method, self.update, self.display)
        controls = [*choices, self.frame, self.magnification, self.steady]
        views = {"face": self.face, "motion": self.motion, "legend": self.legend}
        views |= {"reading": self.reading, "caption": self.caption}
        super().__init__(rows, controls, views)
        self.motion.observe(self._on_point, "point")

    def fit(self, changed: w.Widget | None) -> None:
        """Offer what the chosen clip and method can do; keep what was chosen where it still is."""
        clip = self._chosen()
        if changed is None or changed is self.clip:
            with self.frame.hold_trait_notifications():
                self.frame.min, self.frame.max = clip.onset, clip.known_apex
                self.frame.value = clip.known_apex
            known = self._known()
            offer(self.method, [*self._estimators, *([EXACT] if known else [])])
            offer(self.display, [*DISPLAYS, *([ERROR] if known else [])])
        estimator = self._estimators.get(self.method.value)
        updates = update_names(estimator) if isinstance(estimator, FrozenFlow) else ["none"]
        options = [(name, number) for number, name in enumerate(updates)]
        if list(self.update.options) != options:
            self.update.options = options
            self.update.value = len(updates) - 1
        self.update.disabled = len(updates) == 1
        columns, rows = self._size()
        point = self.motion.point
        if point and not (point[0] < columns and point[1] < rows):
            self.motion.point = None

    def render(self) -> Mapping[str, Any]:
        frame, factor = self.frame.value, self.magnification.value
        onset = self._image(self._chosen().onset)
        flow = self._seen_flow(frame)
        face = magnified(onset, flow, factor) if factor > 1 else self._image(frame)
        motion, scale, most = self._motion_picture(onset)
        words = [*self._words(flow), scale]
        if factor > 1:
            words.append(f"The face is the onset moved {factor} times as far as measured.")
        reading, place = self._read_point()
        return {
            "face": jpeg_bytes(face),
            "motion": jpeg_bytes(motion),  # a PNG is larger and slower by far
            "legend": legend_html(self.display.value, most),
            "caption": " ".join(words),
            "reading": reading,
            "place": place,
        }

    def show(self, views: Mapping[str, Any] | None) -> None:
        shows = f"{self.display.label}: flow by {self.method.value}"
        with self.face.hold_sync(), self.motion.hold_sync():  # one message for each
            super().show(views)
            self.face.label, self.motion.label = f"Face, frame {self.frame.value}", shows
            self.face.size = self.motion.size = self._size() if views else (1, 1)
            self.face.point = views["place"] if views else None

    def _on_point(self, _: object) -> None:
        """The reading alone: the pictures stay as they are."""
        if self.motion.value and not self._adjusting:
            with self.trace:
                self.reading.value, self.face.point = self._read_point()

    def _read_point(self) -> tuple[str, tuple[float, float] | None]:
        """What is known of the chosen point of the onset, and where on the face it is by now."""
        if self.motion.point is None:
            return "", None
        frame, method = self.frame.value, self.method.value
        column, row = (int(place) for place in self.motion.point)
        fields = {f"Flow by {method}": self._seen_flow(frame)}
        if method != EXACT and self._known():
            fields["Exact flow"] = self._seen(self._exact(frame))
        words = [f"Column {column}, row {row} of the onset.", *point_words(fields, (column, row))]
        factor = self.magnification.value
        flow = self._flow(frame) if factor == 1 else self._seen_flow(frame)
        u, v = vector_at(flow, (column, row))
        place = (column + factor * u, row + factor * v) if np.isfinite(u + v) else None
        words.append("The cross on the face shows where this point of the skin is now.")
        return f"<p role='status'>{'<br>'.join(map(plain, words))}</p>", place

    def _motion_picture(self, onset: Image) -> tuple[Image, str, str]:
        """What `display` asks for, the scale of its colours in words, and the most of it."""
        mode, frame, apex = self.display.value, self.frame.value, self._chosen().known_apex
        if mode == "error" and self.method.value == EXACT:
            picture = heat_picture(self._error(frame), 1.0)
            return picture, "The exact flow has no error.", "1.00 px"
        if mode == "error":
            top = percentile_99_9(self._error(apex, last=True))
            picture = heat_picture(self._error(frame), top)
            scale = f"Yellow is an error of {top:.2f} px or more, dark blue is none."
            return picture, scale, f"{top:.2f} px"
        at_apex = self._seen_flow(apex, last=True)
        top = longest_px(at_apex)
        strain = strain_peak(at_apex) if mode == "strain" else 0.0
        picture = flow_picture(
            self._seen_flow(frame),
            mode,
            frame=onset,
            max_px=top or None,
            max_strain=strain or None,
            scale=ARROW_SHARPNESS if mode == "quiver" else 1,
        )
        words = {
            "colour": f"Full saturation is {top:.2f} px; longer vectors are darker.",
            "quiver": f"The longest arrow at the apex stands for {top:.2f} px.",
            "strain": f"Yellow is {100 * strain:.1f} % strain or more, dark blue is none.",
        }
        return picture, words[mode], f"{100 * strain:.1f} %" if strain else f"{top:.2f} px"

    def _words(self, flow: Floats) -> list[str]:
        clip, frame, method = self._chosen(), self.frame.value, self.method.value
        updates = f" after {self.update.label}" if not self.update.disabled else ""
        words = [
            f"Frame {frame} (onset {clip.onset}, apex {clip.known_apex}):"
            f" {since_onset(clip, frame)} after the onset.",
            f"Flow by {plain(method)}{updates}: longest vector {longest_px(flow):.2f} px.",
        ]
        if method != EXACT and self._known():
            whole = ", head motion included" if self.steady.value else ""
            words.append(f"Mean end-point error{whole}: {self._error(frame).mean():.3f} px.")
        return words

    def _chosen(self) -> Clip:
        return self._clips[self.clip.value]

    def _known(self) -> bool:
        return isinstance(self._chosen().frames, KnownMotion)

    def _image(self, frame: int) -> Image:
        return self._image_of(self.clip.value, frame)

    def _size(self) -> tuple[int, int]:
        """Columns and rows."""
        height, width = self._image(self._chosen().onset).shape[:2]
        return width, height

    def _seen_flow(self, frame: int, *, last: bool = False) -> Floats:
        return self._seen(self._flow(frame, last=last))

    def _seen(self, flow: Floats) -> Floats:
        """Without the head's motion if so chosen."""
        return without_median(flow) if self.steady.value else flow

    def _error(self, frame: int, *, last: bool = False) -> Floats:
        return error_px(self._flow(frame, last=last), self._exact(frame))

    def _exact(self, frame: int) -> Floats:
        fields: Floats = self._fields_of(self.clip.value, frame, EXACT)
        return fields[0]

    def _flow(self, frame: int, *, last: bool = False) -> Floats:
        """The flow to a frame after the chosen update, or the last: (2, H, W), pixels."""
        fields: Floats = self._fields_of(self.clip.value, frame, self.method.value)
        return fields[-1 if last else self.update.value]

    def _compute_fields(self, number: int, frame: int, method: str) -> Floats:
        """The flow from the onset after each update of the method: (T, 2, H, W), pixels."""
        clip = self._clips[number]
        if method == EXACT and isinstance(clip.frames, KnownMotion):
            return clip.frames.flow(clip.onset, frame)[None]
        estimator = self._estimators[method]
        first, second = self._image_of(number, clip.onset), self._image_of(number, frame)
        if isinstance(estimator, FrozenFlow):
            return flow_steps(estimator, first, second).flows_px
        return estimator(first[None], second[None])


def point_words(fields_px: Mapping[str, Floats], point: tuple[int, int]) -> list[str]:
    """The readings of `point_table` in sentences; of two fields also how far they are apart."""
    vectors = {name: vector_at(field, point) for name, field in fields_px.items()}
    words = [f"{name}: {vector_words(u, v)}." for name, (u, v) in vectors.items()]
    if len(vectors) == 2:
        words.append(f"The two are {math.dist(*vectors.values()):.2f} px apart.")
    return words
