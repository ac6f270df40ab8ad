"""Pooled UF1, UAR, accuracy (MEGC 2019) and weighted F1, and the calibration of probabilities.

The counts of all folds are summed first; nothing here averages over folds. The F1 that papers on
five classes report is often the weighted one, which favours frequent classes. Calibration (Guo et
al. 2017) sorts predictions into bins by the probability of the predicted class.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hmrm_lab.records import Ints, Predictions

Doubles = NDArray[np.float64]
BINS = 5
BIN_ROUNDING = 1e-9  # 0.6 belongs to the bin that begins there
FEW = 10  # predictions too few to judge by


def confusion(truth: Ints, prediction: Ints, classes: int) -> Ints:
    """Counts, one row per true class and one column per predicted class. (K, K)."""
    cells = np.bincount(truth * classes + prediction, minlength=classes**2)
    return cells.reshape(classes, classes)


def f1_per_class(counts: NDArray[Any]) -> Doubles:
    """`2 TP / (2 TP + FP + FN)`, 0 for an absent class. (..., K, K) to (..., K)."""
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    return _ratio(2 * hits, counts.sum(-1) + counts.sum(-2))


def uf1(counts: NDArray[Any]) -> Doubles:
    """Unweighted F1: the mean F1 over classes. (..., K, K) to (...)."""
    return np.asarray(f1_per_class(counts).mean(-1))


def uar(counts: NDArray[Any]) -> Doubles:
    """Unweighted average recall: the mean of `TP / n` over classes, 0 for one without clips."""
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    return np.asarray(_ratio(hits, counts.sum(-1)).mean(-1))


def accuracy(counts: NDArray[Any]) -> Doubles:
    return _ratio(np.trace(counts, axis1=-2, axis2=-1), counts.sum((-2, -1)))


def weighted_f1(counts: NDArray[Any]) -> Doubles:
    """The mean F1 over classes, weighted by their clips; it is not UF1. (..., K, K) to (...)."""
    sizes = counts.sum(-1)
    return _ratio((f1_per_class(counts) * sizes).sum(-1), sizes.sum(-1))


METRICS = {"uf1": uf1, "uar": uar, "acc": accuracy, "weighted_f1": weighted_f1}
TITLES = {"uf1": "UF1", "uar": "UAR", "acc": "ACC", "weighted_f1": "Weighted F1"}


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> Doubles:
    whole = np.asarray(whole, dtype=np.float64)
    return np.asarray(np.divide(part, whole, out=np.zeros_like(whole), where=whole > 0))


def confusion_of(predictions: Predictions) -> Ints:
    return np.asarray(confusion_by_subject(predictions)[2].sum((0, 1)))


def confusion_by_subject(predictions: Predictions) -> tuple[list[str], list[int], Ints]:
    """Counts of each subject under each seed: subjects (P), seeds (S), counts (P, S, K, K)."""
    table = predictions.table
    subjects, subject_rows = np.unique(predictions.subjects.to_numpy(str), return_inverse=True)
    seeds, seed_rows = np.unique(table["seed"].to_numpy(np.int64), return_inverse=True)
    k = len(predictions.classes)
    counts = np.zeros((len(subjects), len(seeds), k, k), dtype=np.int64)
    truth, prediction = table["truth"].to_numpy(int), table["prediction"].to_numpy(int)
    np.add.at(counts, (subject_rows, seed_rows, truth, prediction), 1)
    return subjects.tolist(), seeds.tolist(), counts


@dataclass(frozen=True)
class ReliabilityBin:
    """Predictions made with a probability from `low` up to, but not including, `high`."""

    low: float
    high: float
    count: int
    probability: float  # mean over the bin, NaN where `count` is 0
    accuracy: float  # likewise


def reliability(predictions: Predictions, bins: int = BINS) -> list[ReliabilityBin]:
    """Sort predictions that have probabilities into equally wide bins from 0 to 1, 1 included."""
    table = predictions.table.dropna(subset=predictions.probabilities)
    winning = table[predictions.probabilities].to_numpy(np.float64).max(axis=1)
    right = (table["truth"] == table["prediction"]).to_numpy(np.float64)
    numbers = _bin_numbers(winning, bins)
    found = []
    for number in range(bins):
        here = numbers == number
        means = [float(x[here].mean()) if here.any() else float("nan") for x in (winning, right)]
        found.append(ReliabilityBin(number / bins, (number + 1) / bins, int(here.sum()), *means))
    return found


def expected_calibration_error(bins: list[ReliabilityBin]) -> float:
    """Average the gap between probability and share that was right; NaN for no prediction."""
    total = sum(part.count for part in bins)
    gaps = [part.count * abs(part.probability - part.accuracy) for part in bins if part.count]
    return sum(gaps) / total if total else float("nan")


def calibration_words(predictions: Predictions, probability: float) -> str:
    """Describe how often a run's predictions with such a probability were right, in sentences."""
    bins = reliability(predictions)
    alike = bins[int(_bin_numbers(np.array([probability]), len(bins))[0])]
    span = f"{percent(alike.low)} to {percent(alike.high)}"
    seeds = len(predictions.seeds)
    what = "clips of unseen subjects" if seeds == 1 else f"answers ({seeds} seeds, unseen subjects)"
    if not any(part.count for part in bins):
        return "This run holds no probabilities, so that nothing is known of their worth."
    if not alike.count:
        words = f"In this run no prediction was made with {span}, so that its worth is not known."
    else:
        right = f"right in {percent(alike.accuracy)} of {alike.count} {what}"
        words = f"In this run, predictions made with {span} were {right}."
        words += " That is too few to lean on." if alike.count < FEW else ""
    error = expected_calibration_error(bins)
    return f"{words} Its expected calibration error is {percent(error)}."


def percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _bin_numbers(probabilities: Doubles, bins: int) -> NDArray[np.int64]:
    numbers = np.floor(probabilities * bins + BIN_ROUNDING).astype(np.int64)
    return np.clip(numbers, 0, bins - 1)
