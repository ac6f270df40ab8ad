"""Look through the answers of runs: filter, sort, and see the clip behind each."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import ipywidgets as w
import numpy as np
import pandas as pd

from hmrm_lab.api.result import Results, results_of
from hmrm_lab.errors import InputError
from hmrm_lab.evaluation.summary import collect_predictions, stamp
from hmrm_lab.flow.motion_maps import without_median
from hmrm_lab.records import (
    Clip,
    ClipKey,
    Floats,
    FlowSet,
    LandmarkedFrames,
    Predictions,
)
from hmrm_lab.reporting.drawing import (
    Mode,
    enlarged_flow,
    flow_picture,
    jpeg_bytes,
    longest_px,
    png_bytes,
    strain_peak,
    unit_words,
)
from hmrm_lab.reporting.svg import probability_svg
from hmrm_lab.reporting.tables import ANY, ORDERS, OUTCOMES, answers_table
from hmrm_lab.runtime.store import RunFolder
from hmrm_widgets.accessible import Picture
from hmrm_widgets.legends import legend_bytes
from hmrm_widgets.parts import plain, row
from hmrm_widgets.viewer import Viewer

DISPLAYS = (("Colour wheel", "colour"), ("Arrows", "quiver"), ("Strain", "strain"))
KEPT_FRAMES = 32
MAP_PX = 224
WIDE = {"description_width": "8em"}


class Views(NamedTuple):
    motion: bytes
    faces: bytes
    bars: str
    caption: str


class PredictionBrowser(Viewer):
    """Filters and a list of answers above the clip that is chosen there.

    Of the chosen answer: the motion map that the system was given, the probabilities, fold and
    epoch rule, and onset and apex of the face where the data set has them. Arrows are drawn on the
    onset of faces that came cut out, as the built-in ones do. A filter that nothing passes says so.

    Parameters
    ----------
    results
        A `Result`, several, or a `Study`; one at least.
    maps
        The maps behind all of them.
    clips
        Clips with frames, where there are any.

    Raises
    ------
    ValueError
        If there is no run.
    InputError
        If a clip of a run has no map.
    """

    def __init__(
        self,
        results: Results,
        maps: FlowSet,
        clips: Sequence[Clip] | None = None,
    ) -> None:
        runs = [RunFolder(result.folder) for result in results_of(results)]
        if not runs:
            raise ValueError("the browser needs a run")
        self._runs, self._flowset = runs, maps
        self._places = {key: place for place, key in enumerate(maps.keys)}
        self._clips = {clip.key: clip for clip in clips or ()}
        self._predictions = [self._read(run) for run in self._runs]
        self._stamps = [stamp(run.metrics()) for run in self._runs]
        self._shown = pd.DataFrame()
        self._faces = lru_cache(KEPT_FRAMES)(self._draw_faces)
        self.run = _dropdown("Run", [(run.path.name, n) for n, run in enumerate(self._runs)])
        self.outcome = _dropdown("Answers", OUTCOMES)
        self.truth = _dropdown("True class", [ANY])
        self.prediction = _dropdown("Predicted class", [ANY])
        self.dataset, self.person = _dropdown("Data set", [ANY]), _dropdown("Subject", [ANY])
        self.order = _dropdown("Order", ORDERS)
        self.answer = w.Select(description="Answer", rows=8, style=WIDE)
        self.answer.layout = w.Layout(width="44em", max_width="100%")
        self.display = w.ToggleButtons(
            options=DISPLAYS, description="Motion", style={**WIDE, "button_width": "9em"}
        )
        self.display.layout = w.Layout(width="max-content", max_width="100%")
        self.count = w.HTML()
        view = w.Layout(width="18rem", max_width="100%", object_fit="contain")
        self.motion = Picture("The motion that was given", format="png", layout=view)
        self.legend = Picture(
            "The colours of the motion", format="png", layout=w.Layout(object_fit="contain")
        )
        self.faces = Picture("The face at onset and apex", format="jpeg")
        self.faces.layout = w.Layout(width="32rem", max_width="100%", object_fit="contain")
        self.bars = w.HTML(layout=w.Layout(width="27rem", max_width="100%", margin="0 0 0 1rem"))
        self.caption = w.HTML()
        filters = [
            self.run,
            self.outcome,
            self.truth,
            self.prediction,
            self.dataset,
            self.person,
            self.order,
        ]
        rows = [
            row(*filters),
            self.count,
            self.answer,
            row(self.display),
            row(self.motion, self.legend, self.bars),
            self.faces,
            self.caption,
        ]
        super().__init__(rows, [*filters, self.answer, self.display])

    @property
    def _chosen(self) -> Predictions:
        return self._predictions[self.run.value]

    def fit(self, changed: w.Widget | None) -> None:
        """List what passes the filters; the answer that was chosen stays if it still does."""
        if changed is self.answer or changed is self.display:
            return
        table, classes = self._chosen.table, self._chosen.classes
        _offer(self.truth, [ANY, *classes])
        _offer(self.prediction, [ANY, *classes])
        _offer(self.dataset, [ANY, *sorted(table["dataset"].unique())])
        of_set = table["dataset"].isin({self.dataset.value} - {ANY} or set(table["dataset"]))
        subjects = self._chosen.subjects[of_set]
        _offer(self.person, [ANY, *sorted(subjects.unique())])
        chosen = self._key()
        self._shown = answers_table(
            self._chosen,
            outcome=self.outcome.value,
            truth=self.truth.value,
            prediction=self.prediction.value,
            dataset=self.dataset.value,
            person=self.person.value,
            order=self.order.value,
        )
        several = len(self._chosen.seeds) > 1
        rows = self._shown.to_dict("records")
        self.answer.options = [(_title(of, classes, several), n) for n, of in enumerate(rows)]
        kept = [n for n, of in enumerate(rows) if _identity(of) == chosen]
        self.answer.value = kept[0] if kept else (0 if rows else None)
        self.count.value = self._count_words(len(table))

    def render(self) -> Views | None:
        if self.answer.value is None:
            return None
        answer = self._shown.iloc[self.answer.value]
        key = ClipKey(answer["dataset"], answer["subject"], answer["clip"])
        motion = self._motion(key)
        probabilities = [float(answer[name]) for name in self._chosen.probabilities]
        return Views(
            png_bytes(self._picture(key, motion)),
            self._faces(key),
            probability_svg(probabilities, self._chosen.classes, int(answer["truth"])),
            " ".join(self._words(key, motion, answer)),
        )

    def show(self, views: Views | None) -> None:
        shown = views or Views(b"", b"", "", "")
        self.motion.value, self.faces.value, self.bars.value, self.caption.value = shown
        self.legend.value = legend_bytes(self.display.value) if views else b""
        for picture in (self.motion, self.legend, self.faces):
            picture.layout.display = "" if picture.value else "none"

    def _read(self, run: RunFolder) -> Predictions:
        predictions = collect_predictions(run)
        keys = predictions.table[list(ClipKey._fields)].itertuples(index=False, name=None)
        for key in map(ClipKey._make, keys):
            if key not in self._places:
                raise InputError(
                    f"no map for the clip {'/'.join(key)}",
                    where=run.path,
                    hint="give the maps that the run rests on",
                )
        return predictions

    def _key(self) -> tuple[Any, ...] | None:
        """Clip and seed of the chosen answer."""
        return None if self.answer.value is None else _identity(self._shown.iloc[self.answer.value])

    def _motion(self, key: ClipKey) -> Floats:
        """The map without the motion of the head, at the size at which it is shown."""
        flow = self._flowset.maps[self._places[key], :2]
        return enlarged_flow(without_median(flow), MAP_PX)

    def _picture(self, key: ClipKey, motion: Floats) -> np.ndarray[Any, np.dtype[np.uint8]]:
        mode: Mode = self.display.value
        clip = self._clips.get(key)
        ground = None
        if mode == "quiver" and clip and isinstance(clip.frames, LandmarkedFrames):
            frame = clip.frames[clip.onset]
            ground = frame if frame.shape[:2] == motion.shape[1:] else None
        return flow_picture(motion, mode, frame=ground, scale=2 if mode == "quiver" else 1)

    def _draw_faces(self, key: ClipKey) -> bytes:
        clip = self._clips.get(key)
        if clip is None or clip.apex is None:
            return b""
        return jpeg_bytes(np.hstack([clip.frames[clip.onset], clip.frames[clip.apex]]))

    def _words(self, key: ClipKey, motion: Floats, answer: "pd.Series[Any]") -> list[str]:
        unit = unit_words(self._flowset.unit)
        scale = {
            "colour": f"Full saturation is {longest_px(motion):.2f} {unit}.",
            "quiver": f"The longest arrow stands for {longest_px(motion):.2f} {unit}.",
            "strain": f"Yellow is a strain of {strain_peak(motion):.3g}"
            f"{'' if unit == 'px' else f' {unit}'}, dark blue is none.",
        }
        words = [
            f"<b>{plain('/'.join(key))}</b>: held-out fold {plain(answer['fold'])},",
            f"seed {answer['seed']}, model of epoch {answer['epoch']};",
            f"{plain(self._stamps[self.run.value])}.<br>",
            "Motion from onset to apex, the median taken away.",
            scale[self.display.value],
        ]
        faces = "Below the motion: onset (left) and apex."
        return [*words, faces if self._faces(key) else "The data set has no frames to show."]

    def _count_words(self, total: int) -> str:
        count = len(self._shown)
        if not count:
            return (
                "<p role='status'>No answer passes these filters. Set one back to <i>any</i>.</p>"
            )
        right = int(self._shown["right"].sum())
        words = f"{count} of {total} answers: {right} right, {count - right} wrong."
        return f"<p role='status'>{words}</p>"


def _dropdown(description: str, options: Sequence[Any]) -> w.Dropdown:
    return w.Dropdown(options=options, description=description, style=WIDE)


def _offer(control: w.Dropdown, options: list[str]) -> None:
    """Offer these; what was chosen stays if it still is among them."""
    before = control.value
    if list(control.options) != options:
        control.options = options
        control.value = before if before in options else options[0]


def _identity(answer: Any) -> tuple[Any, ...]:
    return tuple(answer[name] for name in (*ClipKey._fields, "seed"))


def _title(answer: Any, classes: Sequence[str], several: bool) -> str:
    seed = f", seed {answer['seed']}" if several else ""
    sign = "✓" if answer["right"] else "✗"
    words = f"{classes[answer['truth']]} → {classes[answer['prediction']]}"
    where = f"{answer['dataset']} {answer['subject']} {answer['clip']}{seed}"
    return f"{sign} {answer['probability']:.0%}  {words}  ·  {where}"
