"""Figures and pictures: data in, a plotly figure (or an image) out.

Those written here take the nouns (`MotionMaps`, `Result`, `Study`) or plain arrays and tables; the
others show one step of the method, and take what `lab.steps` and `lab.stats` give.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from plotly.graph_objects import Figure

from hmrm_lab.api.clips import MotionMaps
from hmrm_lab.api.result import NO_RUN, Result, Results, Study
from hmrm_lab.api.result import results_of as _results_of
from hmrm_lab.api.result import score as _score
from hmrm_lab.errors import InputError
from hmrm_lab.evaluation import simulate as _simulate
from hmrm_lab.evaluation.live_progress import SnapshotReader
from hmrm_lab.records import Clip, Floats
from hmrm_lab.reporting import svg as _svg
from hmrm_lab.reporting.drawing import (
    Mode,
    difference_picture,
    face_picture,
    flow_picture,
    heat_picture,
    longest_px,
)
from hmrm_lab.reporting.drawing import magnified as moved_picture
from hmrm_lab.reporting.plots import motion_fields as _fields
from hmrm_lab.reporting.plots import results as _results
from hmrm_lab.reporting.plots import searches as _searches
from hmrm_lab.reporting.plots import single_clips as _clips
from hmrm_lab.reporting.plots.faces import answers_figure as answers
from hmrm_lab.reporting.plots.faces import apex_curve_figure as apex_curve
from hmrm_lab.reporting.plots.faces import apex_errors_figure as apex_errors
from hmrm_lab.reporting.plots.faces import calibration_figure as calibration
from hmrm_lab.reporting.plots.faces import faces_figure as _faces_figure
from hmrm_lab.reporting.plots.faces import frame_lines_figure as frame_lines
from hmrm_lab.reporting.plots.faces import part_curves_figure as part_curves
from hmrm_lab.reporting.plots.faces import parts_figure as parts
from hmrm_lab.reporting.plots.input_pictures import (
    MagnifiedClip,
    gallery_pictures,
    kept_table,
    magnified_pictures,
)
from hmrm_lab.reporting.plots.input_pictures import attention_against_figure as attention_against
from hmrm_lab.reporting.plots.input_pictures import gallery_figure as gallery
from hmrm_lab.reporting.plots.input_pictures import magnified_figure as magnified
from hmrm_lab.reporting.plots.input_pictures import meganet_attention_figure as input_attention
from hmrm_lab.reporting.plots.input_pictures import survivors_figure as survivors
from hmrm_lab.reporting.plots.input_pictures import weights_figure as frame_weights
from hmrm_lab.reporting.plots.motion_fields import blend_figure as blends
from hmrm_lab.reporting.plots.motion_fields import distance_figure as distances
from hmrm_lab.reporting.plots.motion_fields import gallery_by_class_figure as maps_by_class
from hmrm_lab.reporting.plots.motion_fields import mask_picture
from hmrm_lab.reporting.plots.motion_fields import means_by_class_figure as means_by_class
from hmrm_lab.reporting.plots.motion_fields import mix_figure as mixture
from hmrm_lab.reporting.plots.region_tokens import (
    REGION_LABELS,
    received,
    region_picture,
    scan_path,
)
from hmrm_lab.reporting.plots.region_tokens import attention_face_figure as attention_face
from hmrm_lab.reporting.plots.region_tokens import attention_heads_figure as attention_heads
from hmrm_lab.reporting.plots.region_tokens import flow_attention_figure as flow_attention
from hmrm_lab.reporting.plots.region_tokens import impulse_figure as impulse
from hmrm_lab.reporting.plots.region_tokens import matrix_figure as matrix
from hmrm_lab.reporting.plots.region_tokens import scan_order_figure as scan_order
from hmrm_lab.reporting.plots.region_tokens import shade_figure as regions
from hmrm_lab.reporting.plots.region_tokens import trace_figure as trace
from hmrm_lab.reporting.plots.results import distributions_figure as distributions
from hmrm_lab.reporting.plots.results import folds_figure as folds
from hmrm_lab.reporting.plots.results import peeking_curve_figure as peeking_curve
from hmrm_lab.reporting.plots.searches import choices_figure as choices
from hmrm_lab.reporting.plots.searches import fittest
from hmrm_lab.reporting.plots.single_clips import feature_figure as features
from hmrm_lab.reporting.recording_pages import shaded_parts
from hmrm_lab.reporting.study_figures import forest_figure as _forest_figure
from hmrm_lab.reporting.study_figures import inputs_figure as _inputs_figure
from hmrm_lab.reporting.study_figures import power_figure as power
from hmrm_lab.runtime.store import RunFolder
from hmrm_lab.studies.evolve import Evolved


def confusion(found: Result | pd.DataFrame | NDArray[Any], part: str = "all") -> Figure:
    """Draw truth against prediction, pooled over folds and seeds, shaded by share of the class.

    `found` is a result, a table with the columns of `Result.predictions`, or counts (K, K); `part`
    is `all`, or one of several data sets.

    >>> lab.plot.confusion(lab.score(maps, maps.y)).layout.title.text
    'Confusion'
    """
    if isinstance(found, np.ndarray):
        names = dict.fromkeys(map(str, range(len(found))))
        counts = {"confusion": found.tolist(), "subjects": 0, "f1": names}
        metrics = {"all": counts, "datasets": {}, "seeds": [0], **NO_RUN}
    else:
        metrics = (found if isinstance(found, Result) else _score(found)).metrics
    return _clips.confusion_figure(metrics, part)


def subjects(result: Result, caption: str | None = None) -> Figure:
    """Draw each subject as a column of answers, right and wrong, the best understood on the left.

    >>> figure = lab.plot.subjects(lab.score(maps, maps.y))
    """
    return _clips.subject_strip_figure(result.answers, caption=caption or result.caption)


def curves(result: Result) -> Figure:
    """Draw the training loss: a thin line per fold and seed, and their median.

    >>> lab.plot.curves(result).layout.yaxis.title.text
    'Training loss'
    """
    return _results.training_curves_figure(result.history, caption=result.caption)


def intervals(results: Results) -> Figure:
    """Draw UF1 and UAR of every result as points with their 95 % intervals.

    >>> figure = lab.plot.intervals([result])
    """
    return _results.metrics_interval_figure(_table(results))


def peeking(results: Mapping[str, Result], claims: Mapping[str, float] | None = None) -> Figure:
    """Draw UF1 by the number of test evaluations, of results under `oracle_test`, by name.

    One evaluation is the rule `last`. A band is from the lowest to the highest seed, and `claims`
    are lines across. `InputError` for a result under another rule, or several numbers of classes.

    >>> looked = lab.evaluate("mlp", maps, epoch_rule="oracle_test", seeds=1)
    >>> figure = lab.plot.peeking({"MLP": looked}, claims={"claimed": 0.8788})
    """
    drawn, classes, told = dict[str, Any](), set[int](), dict[str, None]()
    for name, one in results.items():
        seeds = one.config.evaluation.seeds
        seen = [_simulate.collect_epoch_predictions(RunFolder(one.folder), seed) for seed in seeds]
        counts = _simulate.evaluation_counts(len(seen[0].guesses))
        scores = [_simulate.uf1_by_evaluations(each, counts) for each in seen]
        drawn[name] = counts, np.stack(scores)
        classes.add(seen[0].classes)
        told[one.caption] = None
    if len(classes) != 1:
        problem = f"results of {' and '.join(map(str, sorted(classes)))} classes"
        raise InputError(problem, hint="give results of the same classes")
    title, words = "UF1 by the number of epochs looked at", "\n".join(told)
    return peeking_curve(drawn, title, classes=classes.pop(), claims=claims, caption=words)


def cost(results: Results, caption: str = "") -> Figure:
    """Draw UF1 against the number of parameters, beside published counts.

    >>> figure = lab.plot.cost(result)
    """
    return _results.cost_figure(_table(results), caption=caption)


def hard_cases(result: Result, maps: MotionMaps, count: int = 8) -> Figure:
    """Draw the motion of the clips whose true class got the least probability.

    >>> figure = lab.plot.hard_cases(result, maps, count=2)
    """
    return _clips.hard_cases_figure(result.answers, maps, count=count, caption=result.caption)


def pictures(images: Mapping[str, NDArray[Any]], title: str = "", caption: str = "") -> Figure:
    """Draw pictures side by side, each with its name: (H, W, 3) uint8, RGB.

    >>> figure = lab.plot.pictures({"onset": clips[0].frames[clips[0].onset]})
    """
    return _faces_figure(images, title, caption=caption)


def flow(
    field: Floats,
    clip: Clip | None = None,
    *,
    mode: Mode = "colour",
    max_px: float | None = None,
    caption: str = "",
) -> Figure:
    """Draw one flow field (2, H, W) in pixels, as `colour`, `quiver` or `strain`, beside its scale.

    The onset of `clip` lies below arrows; `max_px` is the length with full colour, that of the
    longest vector if not given.

    >>> figure = lab.plot.flow(lab.flow(clips[0], "dis"), clips[0])
    """
    frame = None if clip is None else clip.frames[clip.onset]
    return _fields.flow_figure(frame, field, mode=mode, max_px=max_px, caption=caption)


def flows(
    fields: Mapping[str, Floats],
    clip: Clip | None = None,
    *,
    mode: Mode = "colour",
    exact: Floats | None = None,
    caption: str = "",
) -> Figure:
    """Draw several flow fields on one scale; with `exact`, the error of each against it.

    >>> fields = {name: lab.flow(clips[0], name) for name in ("exact", "dis")}
    >>> figure = lab.plot.flows(fields)
    """
    if exact is not None:
        return _fields.error_figure(fields, exact, caption=caption)
    frame = None if clip is None else clip.frames[clip.onset]
    return _fields.flow_gallery_figure(fields, mode=mode, frame=frame, caption=caption)


def forest(study: Study, full: str | None = None) -> Figure:
    """Draw an ablation: the difference of each variant to the full model, with its interval.

    >>> study = lab.ablate(mlp, maps, {"no dropout": {"dropout": 0.0}}, seeds=1)
    >>> figure = lab.plot.forest(study)
    """
    return _forest_figure(study.table, full=full or next(iter(study)), caption=study.caption)


def heatmap(study: Study, rows: str, columns: str) -> Figure:
    """Draw UF1 of a sweep over two of its settings.

    >>> study = lab.sweep(mlp, maps, {"hidden": [4, 8], "width": [8]}, seeds=1)
    >>> figure = lab.plot.heatmap(study, "hidden", "width")
    """
    axes = [(name, sorted(study.table[name].unique().tolist())) for name in (rows, columns)]
    return _searches.heatmap_figure(study.table, *axes, caption=study.caption)


def search(study: Study | Evolved) -> Figure:
    """Draw UF1 of every trial of a search, and the best so far; `table` is all that is read.

    >>> study = lab.search(mlp, maps, {"dropout": "0..0.5"}, trials=2, seeds=1)
    >>> figure = lab.plot.search(study)
    """
    caption = study.caption if isinstance(study, Study) else ""
    return _searches.search_history_figure(study.table, caption=caption)


def inputs(study: Study) -> Figure:
    """Draw `lab.inputs`: UF1 of every input on every network, with intervals.

    >>> study = lab.inputs(["ststnet"], clips, inputs=["flow", "apex"], seeds=1)
    >>> figure = lab.plot.inputs(study)
    """
    return _inputs_figure(study.table, caption=study.caption)


def live(result: Result) -> dict[str, Any]:
    """Show what there is of a run that is going, each as an `IPython.display.HTML` by name.

    >>> list(lab.plot.live(result))
    ['subjects', 'curves', 'confusion']
    """
    from IPython.display import HTML

    snapshot = SnapshotReader(RunFolder(result.folder)).read()
    counts = snapshot.counts.sum(0)
    return {
        "subjects": HTML(_svg.subject_cells(snapshot.folds)),
        "curves": HTML(_svg.loss_curves(snapshot)),
        "confusion": HTML(_svg.confusion_cells(counts, snapshot.classes, snapshot.score)),
    }


def _table(results: Results) -> pd.DataFrame:
    """One row per result and data set."""
    return pd.concat([one.table for one in _results_of(results)], ignore_index=True)
