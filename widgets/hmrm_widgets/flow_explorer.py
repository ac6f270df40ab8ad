"""Look at the motion of a clip: frame by frame, method by method, update by update."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import ipywidgets as w
import numpy as np

from hmrm_lab.flow.estimator import FlowEstimator
from hmrm_lab.flow.motion_maps import without_median
from hmrm_lab.records import Clip, Floats
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
from hmrm_lab.reporting.plots.optical_flow import point_words, vector_at
from hmrm_widgets.accessible import Picture
from hmrm_widgets.clip_flows import EXACT, ClipFlows
from hmrm_widgets.flow_canvas import FlowCanvas
from hmrm_widgets.legends import legend_bytes
from hmrm_widgets.parts import named_clips, plain, row, since_onset
from hmrm_widgets.viewer import Viewer

DISPLAYS = (("Colour wheel", "colour"), ("Arrows", "quiver"), ("Strain", "strain"))
ERROR = ("Error", "error")  # where the exact motion is known
ARROW_SHARPNESS = 2  # picture pixels per pixel of a frame
WIDE = {"description_width": "8em"}


class Views(NamedTuple):
    face: bytes
    motion: bytes
    size: tuple[int, int]  # columns and rows
    caption: str
    reading: "Reading"


class Reading(NamedTuple):
    """What is known of the chosen point, and where on the face it is by now."""

    words: str
    place: tuple[float, float] | None


NO_READING = Reading("", None)


class FlowExplorer(Viewer):
    """Controls for clip, frame, method, update and display above the moving face and its flow.

    The views are pictures on a canvas: a redraw sends small pictures and no figure state, works
    alike in JupyterLab and Voila, and leaves nothing of size in a saved notebook, where a plotly
    FigureWidget would leave five megabytes. A click on the flow, or the arrow keys, choose a point
    of the onset; its motion is told below, and a cross on the face shows where it has gone.

    Colours are scaled to the apex of the chosen clip and method, so that the frames of one clip
    and the updates of one method can be compared.

    Parameters
    ----------
    clips
        The clips to choose from, one at least; or clips by the names to show.
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
        names, listed = named_clips(clips)
        self._flows = ClipFlows(listed, methods)
        self.clip = w.Dropdown(
            options=[(name, number) for number, name in enumerate(names)],
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
        view = w.Layout(width="22rem", max_width="100%", align_self="flex-start")
        self.face = FlowCanvas(format="jpeg", layout=view)
        self.motion = FlowCanvas(pointing=True, layout=view)
        self.legend = Picture(
            "The colours of the motion", format="png", layout=w.Layout(object_fit="contain")
        )
        self.caption, self.reading = w.HTML(), w.HTML()
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
        super().__init__(rows, [*choices, self.frame, self.magnification, self.steady])
        self.motion.observe(self._on_point, "point")

    def fit(self, changed: w.Widget | None) -> None:
        """Offer what the chosen clip and method can do; keep what was chosen where it still is."""
        if changed is None or changed is self.clip:
            self._offer_clip()
        self._offer_updates()
        columns, rows = self._size()
        point = self.motion.point
        if point and not (point[0] < columns and point[1] < rows):
            self.motion.point = None

    def _offer_clip(self) -> None:
        """The frames of the clip, its apex first, and what needs the exact motion."""
        clip = self._chosen()
        with self.frame.hold_trait_notifications():
            self.frame.min, self.frame.max = clip.onset, clip.known_apex
            self.frame.value = clip.known_apex
        _set_options(self.method, self._flows.methods(self.clip.value))
        _set_options(self.display, [*DISPLAYS, *([ERROR] if self._known() else [])])

    def _offer_updates(self) -> None:
        """The updates of the method, the last one first; none where it has none."""
        names = self._flows.updates(self.method.value)
        options = [(name, number) for number, name in enumerate(names)]
        if list(self.update.options) != options:
            self.update.options = options
            self.update.value = len(names) - 1
        self.update.disabled = len(names) == 1

    def render(self) -> Views:
        frame, factor = self.frame.value, self.magnification.value
        onset = self._image(self._chosen().onset)
        flow = self._seen_flow(frame)
        face = magnified(onset, flow, factor) if factor > 1 else self._image(frame)
        motion, scale = self._motion_picture(onset)
        words = [*self._words(flow), scale]
        if factor > 1:
            words.append(f"The face is the onset moved {factor} times as far as measured.")
        return Views(
            face=jpeg_bytes(face),
            motion=jpeg_bytes(motion),  # a PNG is larger and slower by far
            size=self._size(),
            caption=" ".join(words),
            reading=self._read_point(),
        )

    def show(self, views: Views | None) -> None:
        shown = views or Views(b"", b"", (1, 1), "", NO_READING)
        display, method = self.display.label, self.method.value
        self.face.picture(shown.face, "jpeg", shown.size, f"Face, frame {self.frame.value}")
        self.motion.picture(shown.motion, "jpeg", shown.size, f"{display}: flow by {method}")
        self.caption.value = shown.caption
        legend = legend_bytes(self.display.value) if views else b""
        self.legend.value, self.legend.layout.display = legend, "" if legend else "none"
        self._show_reading(shown.reading)

    def _on_point(self, _: object) -> None:
        """The reading alone: the pictures stay as they are."""
        if self.motion.value and not self._adjusting:
            with self.trace:
                self._show_reading(self._read_point())

    def _show_reading(self, reading: Reading) -> None:
        self.reading.value, self.face.point = reading

    def _read_point(self) -> Reading:
        """The motion at the chosen point of the onset, and the exact one where it is known."""
        if self.motion.point is None:
            return NO_READING
        frame, method = self.frame.value, self.method.value
        column, row = (int(place) for place in self.motion.point)
        fields = {f"Flow by {method}": self._seen_flow(frame)}
        if method != EXACT and self._known():
            fields["Exact flow"] = self._seen(self._flows.exact(self.clip.value, frame))
        words = [f"Column {column}, row {row} of the onset.", *point_words(fields, (column, row))]
        factor = self.magnification.value
        flow = self._flow(frame) if factor == 1 else self._seen_flow(frame)
        u, v = vector_at(flow, (column, row))
        place = (column + factor * u, row + factor * v) if np.isfinite(u + v) else None
        words.append("The cross on the face shows where this point of the skin is now.")
        return Reading(f"<p role='status'>{'<br>'.join(map(plain, words))}</p>", place)

    def _motion_picture(self, onset: Image) -> tuple[Image, str]:
        """What `display` asks for, and the scale of its colours in words."""
        mode, frame, apex = self.display.value, self.frame.value, self._chosen().known_apex
        if mode == "error" and self.method.value == EXACT:
            return heat_picture(self._error(frame), 1.0), "The exact flow has no error."
        if mode == "error":
            top = percentile_99_9(self._error(apex, last=True))
            picture = heat_picture(self._error(frame), top)
            return picture, f"Yellow is an error of {top:.2f} px or more, dark blue is none."
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
            f" {since_onset(clip, frame)} after the onset.",
            f"Flow by {plain(method)}{updates}: longest vector {longest_px(flow):.2f} px.",
        ]
        if method != EXACT and self._known():
            whole = ", head motion included" if self.steady.value else ""
            words.append(f"Mean end-point error{whole}: {self._error(frame).mean():.3f} px.")
        return words

    def _chosen(self) -> Clip:
        return self._flows.clips[self.clip.value]

    def _known(self) -> bool:
        return self._flows.knows_motion(self.clip.value)

    def _image(self, frame: int) -> Image:
        return self._flows.image(self.clip.value, frame)

    def _seen_flow(self, frame: int, *, last: bool = False) -> Floats:
        """The flow to a frame after the chosen update or the last, without the head's motion if
        so chosen."""
        return self._seen(self._flow(frame, last=last))

    def _seen(self, flow: Floats) -> Floats:
        return without_median(flow) if self.steady.value else flow

    def _size(self) -> tuple[int, int]:
        """Columns and rows."""
        height, width = self._image(self._chosen().onset).shape[:2]
        return width, height

    def _error(self, frame: int, *, last: bool = False) -> Floats:
        return error_px(self._flow(frame, last=last), self._flows.exact(self.clip.value, frame))

    def _flow(self, frame: int, *, last: bool = False) -> Floats:
        fields = self._flows.fields(self.clip.value, frame, self.method.value)
        return fields[-1 if last else self.update.value]


def _set_options(control: w.Dropdown | w.ToggleButtons, options: list[Any]) -> None:
    """Offer these; what was chosen stays if it still is among them, or else it is the first."""
    if list(control.options) == options:
        return
    before = control.value
    control.options = options
    values = [option[1] if isinstance(option, tuple) else option for option in options]
    control.value = before if before in values else values[0]
