"""Look through the answers of runs: filter, sort, and see the clip behind each."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import ipywidgets as w
import numpy as np
import pandas as pd

from hmrm_lab.api.result import Results, results_of
from hmrm_lab.errors import InputError
from hmrm_lab.evaluation.summary import collect_predictions, stamp
from hmrm_lab.flow.motion_maps import without_median
from hmrm_lab.records import (
    RELATIVE,
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
from hmrm_lab.reporting.svg import legend_html, probability_bars
from hmrm_lab.reporting.tables import ANY, ORDERS, OUTCOMES, answers_table
from hmrm_lab.runtime.store import RunFolder
from hmrm_widgets.parts import (
    DISPLAYS,
    KEPT_FRAMES,
    Picture,
    buttons,
    control,
    offer,
    plain,
    row,
    view,
)
from hmrm_widgets.viewer import Viewer

MAP_PX = 224


class PredictionBrowser(Viewer):
    """Filters and a list of answers above the clip that is chosen there.

    Of the chosen answer: the motion map that the system was given, the probabilities, fold and
    epoch rule, and onset and apex of the face where the data set has them. Arrows are drawn on the
    onset of faces that came cut out, as the built-in ones do. A filter that nothing passes says so.

    Parameters
    ----------
    results
        A `Result`, several, or a `Study`; one at least (`ValueError` otherwise).
    maps
        The maps behind all of them (`InputError` if a clip has none).
    clips
        Clips with frames, where there are any.
    """

    def __init__(
        self, results: Results, maps: FlowSet, clips: Sequence[Clip] | None = None
    ) -> None:
        runs = [RunFolder(result.folder) for result in results_of(results)]
        if not runs:
            raise ValueError("the browser needs a run")
        self._flowset = maps
        self._places = {key: place for place, key in enumerate(maps.keys)}
        self._clips = {clip.key: clip for clip in clips or ()}
        self._predictions = [self._read(run) for run in runs]
        self._stamps = [stamp(run.metrics()) for run in runs]
        self._shown = pd.DataFrame()
        self._faces = lru_cache(KEPT_FRAMES)(self._draw_faces)
        filters = {
            "Run": [(run.path.name, number) for number, run in enumerate(runs)],
            "Answers": OUTCOMES,
            "True class": [ANY],
            "Predicted class": [ANY],
            "Data set": [ANY],
            "Subject": [ANY],
            "Order": ORDERS,
        }
        self._filters = [control(w.Dropdown, name, options=of) for name, of in filters.items()]
        self.run, self.outcome, self.truth, self.prediction = self._filters[:4]
        self.dataset, self.subject, self.order = self._filters[4:]
        self.answer = control(w.Select, "Answer", rows=8, width="44em")
        self.display = buttons("Motion", DISPLAYS, "9em")
        self.motion = Picture("The motion that was given", "18rem", format="png")
        self.faces = Picture("The face at onset and apex", "32rem", format="jpeg")
        self.bars = w.HTML(layout=view("27rem", margin="0 0 0 1rem"))
        self.legend, self.count, self.caption = w.HTML(), w.HTML(), w.HTML()
        rows = [
            row(*self._filters),
            self.count,
            self.answer,
            row(self.display),
            row(self.motion, self.legend, self.bars),
            self.faces,
            self.caption,
        ]
        views = {"motion": self.motion, "legend": self.legend, "faces": self.faces}
        views |= {"bars": self.bars, "caption": self.caption}
        super().__init__(rows, [*self._filters, self.answer, self.display], views)

    @property
    def _chosen(self) -> Predictions:
        return self._predictions[self.run.value]

    def fit(self, changed: w.Widget | None) -> None:
        """List what passes the filters; the answer that was chosen stays if it still does."""
        if changed is self.answer or changed is self.display:
            return
        table, classes = self._chosen.table, self._chosen.classes
        offer(self.truth, [ANY, *classes])
        offer(self.prediction, [ANY, *classes])
        offer(self.dataset, [ANY, *sorted(table["dataset"].unique())])
        of_set = table["dataset"].isin({self.dataset.value} - {ANY} or set(table["dataset"]))
        subjects = self._chosen.subjects[of_set]
        offer(self.subject, [ANY, *sorted(subjects.unique())])
        nothing = self.answer.value is None
        chosen = None if nothing else _identity(self._shown.iloc[self.answer.value])
        self._shown = answers_table(
            self._chosen,
            outcome=self.outcome.value,
            truth=self.truth.value,
            prediction=self.prediction.value,
            dataset=self.dataset.value,
            subject=self.subject.value,
            order=self.order.value,
        )
        several = len(self._chosen.seeds) > 1
        rows = self._shown.to_dict("records")
        self.answer.options = [(_title(of, classes, several), n) for n, of in enumerate(rows)]
        kept = [n for n, of in enumerate(rows) if _identity(of) == chosen]
        self.answer.value = kept[0] if kept else (0 if rows else None)
        right = int(self._shown["right"].sum())
        words = f"{len(rows)} of {len(table)} answers: {right} right, {len(rows) - right} wrong."
        none = "No answer passes these filters. Set one back to <i>any</i>."
        self.count.value = f"<p role='status'>{words if rows else none}</p>"

    def render(self) -> Mapping[str, Any] | None:
        if self.answer.value is None:
            return None
        answer = self._shown.iloc[self.answer.value]
        key = ClipKey(answer["dataset"], answer["subject"], answer["clip"])
        flow = self._flowset.maps[self._places[key], :2]
        motion = enlarged_flow(without_median(flow), MAP_PX)  # without the motion of the head
        probabilities = [float(answer[name]) for name in self._chosen.probabilities]
        return {
            "motion": png_bytes(self._picture(key, motion)),
            "legend": legend_html(self.display.value, self._most(motion)),
            "faces": self._faces(key),
            "bars": probability_bars(probabilities, self._chosen.classes, int(answer["truth"])),
            "caption": " ".join(self._words(key, motion, answer)),
        }

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

    def _picture(self, key: ClipKey, motion: Floats) -> np.ndarray[Any, np.dtype[np.uint8]]:
        mode: Mode = self.display.value
        clip = self._clips.get(key)
        ground = None
        if mode == "quiver" and clip and isinstance(clip.frames, LandmarkedFrames):
            frame = clip.frames[clip.onset]
            ground = frame if frame.shape[:2] == motion.shape[1:] else None
        return flow_picture(motion, mode, frame=ground, scale=2 if mode == "quiver" else 1)

    def _most(self, motion: Floats) -> str:
        """What full colour stands for, or yellow."""
        if self.display.value == "strain":
            return f"{strain_peak(motion):.3g}"
        return f"{longest_px(motion):.2f}{'' if self._flowset.unit == RELATIVE else ' px'}"

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


def _identity(answer: Any) -> tuple[Any, ...]:
    """Clip and seed."""
    return tuple(answer[name] for name in (*ClipKey._fields, "seed"))


def _title(answer: Any, classes: Sequence[str], several: bool) -> str:
    seed = f", seed {answer['seed']}" if several else ""
    sign = "✓" if answer["right"] else "✗"
    words = f"{classes[answer['truth']]} → {classes[answer['prediction']]}"
    where = f"{answer['dataset']} {answer['subject']} {answer['clip']}{seed}"
    return f"{sign} {answer['probability']:.0%}  {words}  ·  {where}"
