"""UF1, UAR and accuracy from pooled counts (MEGC 2019): the counts of all folds are summed first.

Everything here is computed from `Predictions`; nothing averages over folds but the function
that says so in its name.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hmrm_lab.records import Ints, Predictions

Doubles = NDArray[np.float64]


def confusion(truth: Ints, prediction: Ints, classes: int) -> Ints:
    """Counts, one row per true class and one column per predicted class. (K, K)."""
    cells = np.bincount(truth * classes + prediction, minlength=classes**2)
    return cells.reshape(classes, classes)


def f1_per_class(counts: NDArray[Any]) -> Doubles:
    """`2 TP / (2 TP + FP + FN)`; 0 for a class that is neither true nor predicted.

    Shapes
    ------
    counts : (..., K, K)
    returns : (..., K)
    """
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    both = counts.sum(-1) + counts.sum(-2)  # 2 TP + FP + FN
    return _ratio(2 * hits, both)


def recall_per_class(counts: NDArray[Any]) -> Doubles:
    """`TP / n`; 0 for a class without clips. (..., K, K) to (..., K)."""
    return _ratio(np.diagonal(counts, axis1=-2, axis2=-1), counts.sum(-1))


def uf1(counts: NDArray[Any]) -> Doubles:
    """Unweighted F1: the mean of the class-wise F1 of pooled counts."""
    return np.asarray(f1_per_class(counts).mean(-1))


def uar(counts: NDArray[Any]) -> Doubles:
    """Unweighted average recall: the mean of the class-wise recall of pooled counts."""
    return np.asarray(recall_per_class(counts).mean(-1))


def accuracy(counts: NDArray[Any]) -> Doubles:
    hits = np.trace(counts, axis1=-2, axis2=-1)
    return _ratio(hits, counts.sum((-2, -1)))


METRICS = {"uf1": uf1, "uar": uar, "acc": accuracy}


def confusion_of(predictions: Predictions) -> Ints:
    """Counts over all clips and seeds. (K, K)."""
    table = predictions.table
    truth, prediction = (table[name].to_numpy(np.int64) for name in ("truth", "prediction"))
    return confusion(truth, prediction, len(predictions.classes))


def confusion_by_person(predictions: Predictions) -> tuple[list[str], list[int], Ints]:
    """Counts of each person under each seed.

    Shapes
    ------
    returns : persons (P), seeds (S), counts (P, S, K, K)
    """
    table = predictions.table
    persons, person_index = np.unique(predictions.persons.to_numpy(str), return_inverse=True)
    seeds, seed_index = np.unique(table["seed"].to_numpy(np.int64), return_inverse=True)
    k = len(predictions.classes)
    counts = np.zeros((len(persons), len(seeds), k, k), dtype=np.int64)
    truth, prediction = table["truth"].to_numpy(int), table["prediction"].to_numpy(int)
    np.add.at(counts, (person_index, seed_index, truth, prediction), 1)
    return persons.tolist(), seeds.tolist(), counts


def uf1_mean_over_folds(predictions: Predictions) -> float:
    """The mean of per-fold UF1, a different number from the pooled one; shown for comparison.

    As is usual where it is reported, classes that are absent from a fold are left out of its mean.
    """
    _, _, counts = confusion_by_person(predictions)
    per_class = f1_per_class(counts)  # (P, S, K)
    present = counts.sum(-1) + counts.sum(-2) > 0
    per_fold = (per_class * present).sum(-1) / present.sum(-1).clip(min=1)
    return float(per_fold.mean())


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> Doubles:
    whole = np.asarray(whole, dtype=np.float64)
    ratio = np.zeros_like(whole)
    np.divide(part, whole, out=ratio, where=whole > 0)
    return ratio
