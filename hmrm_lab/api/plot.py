"""Figures: data in, a plotly figure out; nothing is computed that is not shown.

Each takes the nouns (`Clips`, `MotionMaps`, `Result`, `Study`) or plain arrays and tables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray
    from plotly.graph_objects import Figure

    from hmrm_lab.api.maps import MotionMaps
    from hmrm_lab.api.result import Result, Study
    from hmrm_lab.records import Clip, Floats
    from hmrm_lab.reporting.pictures import Mode

__all__ = [
    "confusion",
    "cost",
    "curves",
    "flow",
    "flows",
    "forest",
    "hard_cases",
    "heatmap",
    "intervals",
    "pictures",
    "search",
    "subjects",
]


def confusion(found: Result | pd.DataFrame | NDArray[Any], part: str = "all") -> Figure:
    """Draw truth against prediction, pooled over folds and seeds, shaded by share of the class.

    Parameters
    ----------
    found
        A result, a table with the columns of `Result.predictions`, or counts (K, K).
    part
        `all`, or one of several data sets.

    Examples
    --------
    >>> maps = lab.load("synthetic", preset="smoke").maps()
    >>> lab.plot.confusion(lab.score(maps, maps.y)).layout.title.text
    'Confusion'
    """
    import numpy as np

    from hmrm_lab.api.result import Result, score
    from hmrm_lab.reporting.figures import confusion_figure

    if isinstance(found, np.ndarray):
        counts = {"confusion": found.tolist(), "subjects": 0}
        known = {"epoch_rule": "none", "control": "none", "peeking": False, "complete": True}
        return confusion_figure({"all": counts, "datasets": {}, "seeds": [0], **known}, part)
    result = found if isinstance(found, Result) else score(found)
    return confusion_figure(result.metrics, part)


def subjects(result: Result, caption: str | None = None) -> Figure:
    """Draw each subject as a column of answers, right and wrong, the best understood on the left.

    Examples
    --------
    >>> maps = lab.load("synthetic", preset="smoke").maps()
    >>> len(lab.plot.subjects(lab.score(maps, maps.y)).data) > 0
    True
    """
    from hmrm_lab.reporting.subject_strip import subject_strip_figure

    return subject_strip_figure(result.answers, caption=caption or result.caption)


def curves(result: Result) -> Figure:
    """Draw the training loss: a thin line per fold and seed, and their median.

    Examples
    --------
    >>> maps = lab.load("synthetic", preset="smoke").maps()
    >>> result = lab.evaluate(lab.system("hmrm", preset="smoke"), maps, seeds=1)
    >>> lab.plot.curves(result).layout.yaxis.title.text
    'Training loss'
    """
    from hmrm_lab.reporting.figures import training_curves_figure

    return training_curves_figure(result.history, caption=result.caption)


def intervals(results: Result | Study | Sequence[Result]) -> Figure:
    """Draw UF1 and UAR of every result as points with their 95 % intervals.

    Examples
    --------
    >>> maps = lab.load("synthetic", preset="smoke").maps()
    >>> result = lab.evaluate(lab.system("hmrm", preset="smoke"), maps, seeds=1)
    >>> len(lab.plot.intervals([result]).data) > 0
    True
    """
    from hmrm_lab.reporting.figures import metrics_interval_figure

    return metrics_interval_figure(_table(results))


def cost(results: Result | Study | Sequence[Result], caption: str = "") -> Figure:
    """Draw UF1 against the number of parameters, beside published counts.

    Examples
    --------
    >>> maps = lab.load("synthetic", preset="smoke").maps()
    >>> result = lab.evaluate(lab.system("hmrm", preset="smoke"), maps, seeds=1)
    >>> len(lab.plot.cost(result).data) > 0
    True
    """
    from hmrm_lab.reporting.cost_figures import cost_figure

    return cost_figure(_table(results), caption=caption)


def hard_cases(result: Result, maps: MotionMaps, count: int = 8) -> Figure:
    """Draw the motion of the clips whose true class got the least probability.

    Examples
    --------
    >>> maps = lab.load("synthetic", preset="smoke").maps()
    >>> result = lab.evaluate(lab.system("hmrm", preset="smoke"), maps, seeds=1)
    >>> len(lab.plot.hard_cases(result, maps, count=2).data) > 0
    True
    """
    from hmrm_lab.reporting.figures import hard_cases_figure

    return hard_cases_figure(result.answers, maps, count=count, caption=result.caption)


def pictures(images: Mapping[str, NDArray[Any]], title: str = "", caption: str = "") -> Figure:
    """Draw pictures side by side, each with its name: (H, W, 3) uint8, RGB.

    Examples
    --------
    >>> clip = lab.load("synthetic", preset="smoke")[0]
    >>> figure = lab.plot.pictures({"onset": clip.frames[clip.onset]}, "The face at rest")
    >>> figure.layout.title.text
    'The face at rest'
    """
    from hmrm_lab.reporting.face_figures import faces_figure

    return faces_figure(images, title, caption=caption)


def flow(
    field: Floats,
    clip: Clip | None = None,
    *,
    mode: Mode = "colour",
    max_px: float | None = None,
    caption: str = "",
) -> Figure:
    """Draw one flow field (2, H, W) in pixels, as colours, arrows or strain, beside its scale.

    Parameters
    ----------
    clip
        Whose onset lies below arrows.
    mode
        `colour`, `quiver` or `strain`.
    max_px
        The length with full colour; the longest vector if not given.

    Examples
    --------
    >>> clip = lab.load("synthetic", preset="smoke")[0]
    >>> len(lab.plot.flow(lab.flow(clip, "dis"), clip).data) > 0
    True
    """
    from hmrm_lab.reporting.flow_figures import flow_figure

    frame = None if clip is None else clip.frames[clip.onset]
    return flow_figure(frame, field, mode=mode, max_px=max_px, caption=caption)


def flows(
    fields: Mapping[str, Floats],
    clip: Clip | None = None,
    *,
    mode: Mode = "colour",
    exact: Floats | None = None,
    caption: str = "",
) -> Figure:
    """Draw several flow fields on one scale; with `exact`, the error of each against it.

    Examples
    --------
    >>> clip = lab.load("synthetic", preset="smoke")[0]
    >>> fields = {name: lab.flow(clip, name) for name in ("exact", "dis")}
    >>> len(lab.plot.flows(fields).data) > 1
    True
    """
    from hmrm_lab.reporting.flow_comparison import error_figure, flow_gallery_figure

    if exact is not None:
        return error_figure(fields, exact, caption=caption)
    frame = None if clip is None else clip.frames[clip.onset]
    return flow_gallery_figure(fields, mode=mode, frame=frame, caption=caption)


def forest(study: Study, full: str | None = None) -> Figure:
    """Draw an ablation: the difference of each variant to the full model, with its interval.

    Examples
    --------
    >>> maps = lab.load("synthetic", preset="smoke").maps()
    >>> mlp = lab.system("mlp", preset="smoke")
    >>> study = lab.ablate(mlp, maps, {"no dropout": {"dropout": 0.0}}, seeds=1)
    >>> len(lab.plot.forest(study).data) > 0
    True
    """
    from hmrm_lab.reporting.ablation_figures import forest_figure

    return forest_figure(study.table, full=full or next(iter(study)), caption=study.caption)


def heatmap(study: Study, rows: str, columns: str) -> Figure:
    """Draw UF1 of a sweep over two of its settings.

    Examples
    --------
    >>> maps = lab.load("synthetic", preset="smoke").maps()
    >>> mlp = lab.system("mlp", preset="smoke", epochs=1)
    >>> study = lab.sweep(mlp, maps, {"hidden": [4, 8], "width": [8]}, seeds=1)
    >>> len(lab.plot.heatmap(study, "hidden", "width").data)
    1
    """
    from hmrm_lab.reporting.sweep_figures import heatmap_figure

    table = study.table
    axes = [(name, sorted(table[name].unique().tolist())) for name in (rows, columns)]
    return heatmap_figure(table, *axes, caption=study.caption)


def search(study: Study) -> Figure:
    """Draw UF1 of every trial of a search, and the best so far.

    Examples
    --------
    >>> maps = lab.load("synthetic", preset="smoke").maps()
    >>> mlp = lab.system("mlp", preset="smoke", epochs=1)
    >>> study = lab.search(mlp, maps, {"dropout": "0..0.5"}, trials=2, seeds=1)
    >>> len(lab.plot.search(study).data) > 0
    True
    """
    from hmrm_lab.reporting.sweep_figures import search_history_figure

    return search_history_figure(study.table, caption=study.caption)


def _table(results: Result | Study | Sequence[Result]) -> pd.DataFrame:
    """One row per result and data set."""
    import pandas as pd

    from hmrm_lab.api.result import results_of

    return pd.concat([one.table for one in results_of(results)], ignore_index=True)
