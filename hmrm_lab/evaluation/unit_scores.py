"""F1 of the action units that a run has learnt beside the class (decision 0023)."""

from typing import Any

import numpy as np

from hmrm_lab.evaluation.metrics import Doubles, confusion_by_subject, f1_per_class
from hmrm_lab.evaluation.significance import interval, resampled_counts
from hmrm_lab.records import CODED, Predictions, units_of

THRESHOLD = 0.5  # the probability from which on a unit is predicted
DIGITS = 6


def unit_scores(predictions: Predictions) -> dict[str, dict[str, Any]]:
    """Score the learnt action units that move in some clip, and their `mean`; empty without any.

    Only coded clips count. `clips` are those that a unit moves in (of the mean: all of them), `f1`
    is of the counts of all folds, and `always` the F1 of predicting the unit for every clip.
    """
    found: dict[str, dict[str, Any]] = {}
    drawn: list[Doubles] = []
    for unit in units_of(predictions.table):
        coded = predictions.table.dropna(subset=f"{unit}{CODED}")
        truth = coded[f"{unit}{CODED}"].astype(int)
        one = Predictions(coded.assign(truth=truth, prediction=coded[unit] >= THRESHOLD))
        counts = confusion_by_subject(one)[2][..., :2, :2]  # (P, S, 2, 2)
        clips, moving = counts[:, :1].sum(), counts[:, :1, 1].sum()
        if moving:
            drawn.append(f1_per_class(resampled_counts(counts))[..., 1].mean(1))
            f1, always = f1_per_class(counts.sum(0))[:, 1].mean(), 2 * moving / (moving + clips)
            found[unit] = _figures(moving, drawn[-1], f1=f1, always=always)
    if found:
        means = {name: np.mean([of[name] for of in found.values()]) for name in ("f1", "always")}
        found["mean"] = _figures(clips, np.mean(drawn, axis=0), **means)
    return found


def _figures(clips: int, drawn: Doubles, **figures: np.floating[Any]) -> dict[str, Any]:
    rounded = {name: round(float(value), DIGITS) for name, value in figures.items()}
    ends = [round(end, DIGITS) for end in interval(drawn)]
    return {"clips": int(clips), **rounded, "f1_interval": ends}
