"""Scores fold by fold, and why their mean is another number than the pooled one."""

import numpy as np
import pandas as pd

from hmrm_lab.evaluation.metrics import confusion_by_person, f1_per_class
from hmrm_lab.evaluation.significance import pooled
from hmrm_lab.records import Predictions

POOLED = "pooled counts (MEGC 2019)"
PRESENT = "mean over folds, absent classes left out"
ZERO = "mean over folds, absent classes count 0"


def fold_scores(predictions: Predictions) -> pd.DataFrame:
    """One row per fold and seed: its clips, its true classes, and its UF1 read in two ways.

    `present` leaves out the classes that a fold neither holds nor names; `zero` counts them as
    0, so that a fold of one class cannot reach more than 1/3.
    """
    persons, seeds, counts = confusion_by_person(predictions)  # (P, S, K, K)
    f1 = f1_per_class(counts)
    known = (counts.sum(-1) + counts.sum(-2)) > 0
    columns = {
        "clips": counts.sum((-1, -2)),
        "classes": (counts.sum(-1) > 0).sum(-1),
        "present": f1.sum(-1) / known.sum(-1).clip(min=1),
        "zero": f1.mean(-1),
    }
    index = pd.MultiIndex.from_product([persons, seeds], names=["fold", "seed"])
    table = pd.DataFrame({name: of.ravel() for name, of in columns.items()}, index=index)
    return table[table["clips"] > 0].reset_index()


def three_averages(predictions: Predictions) -> dict[str, float]:
    """UF1 of the same predictions: from pooled counts, and two means over folds."""
    scores = fold_scores(predictions)
    return {
        POOLED: pooled(predictions, "uf1"),
        PRESENT: float(np.mean(scores["present"])),
        ZERO: float(np.mean(scores["zero"])),
    }
