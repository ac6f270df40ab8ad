"""UF1, UAR and accuracy from pooled counts (MEGC 2019): the counts of all folds are summed first.

Everything here is computed from `Predictions`; nothing averages over folds but the function
that says so in its name.
"""

from dataclasses import dataclass
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


BINS = 5
BIN_ROUNDING = 1e-9  # 0.6 belongs to the bin that begins there
FEW = 10  # predictions that say little


@dataclass(frozen=True)
class ReliabilityBin:
    """Predictions made with a probability from `low` up to, but not including, `high`.

    `accuracy` and `probability` are means over the bin, NaN where `count` is 0.
    """

    low: float
    high: float
    count: int
    probability: float
    accuracy: float


def reliability(predictions: Predictions, bins: int = BINS) -> list[ReliabilityBin]:
    """Equally wide bins from 0 to 1; the last one holds 1 as well. Rows without probabilities are
    left out.
    """
    table = predictions.table.dropna(subset=predictions.probabilities)
    sure = table[predictions.probabilities].to_numpy(np.float64).max(axis=1)
    right = (table["truth"] == table["prediction"]).to_numpy(np.float64)
    place = _place(sure, bins)
    return [
        ReliabilityBin(
            number / bins,
            (number + 1) / bins,
            int((place == number).sum()),
            _mean_or_nan(sure[place == number]),
            _mean_or_nan(right[place == number]),
        )
        for number in range(bins)
    ]


def bin_of(bins: list[ReliabilityBin], probability: float) -> ReliabilityBin:
    """The bin that a prediction of this probability falls into."""
    return bins[int(_place(np.array([probability]), len(bins))[0])]


def expected_calibration_error(bins: list[ReliabilityBin]) -> float:
    """The mean over predictions of their bin's |probability - share right|; NaN for none."""
    filled = [part for part in bins if part.count]
    total = sum(part.count for part in filled)
    gaps = [part.count * abs(part.probability - part.accuracy) for part in filled]
    return sum(gaps) / total if total else float("nan")


def calibration_words(predictions: Predictions, probability: float) -> str:
    """One or two sentences on what such a probability was worth among a run's unseen subjects."""
    bins = reliability(predictions)
    alike = bin_of(bins, probability)
    span = f"{_percent(alike.low)} to {_percent(alike.high)}"
    seeds = len(predictions.seeds)
    what = "clips of unseen subjects" if seeds == 1 else f"answers ({seeds} seeds, unseen subjects)"
    if not any(part.count for part in bins):
        return "This run holds no probabilities, so that nothing is known of their worth."
    if not alike.count:
        words = f"In this run no prediction was made with {span}, so that its worth is not known."
    else:
        right = f"right in {_percent(alike.accuracy)} of {alike.count} {what}"
        words = f"In this run, predictions made with {span} were {right}."
        words += " That is too few to lean on." if alike.count < FEW else ""
    error = expected_calibration_error(bins)
    return f"{words} Its expected calibration error is {_percent(error)}."


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _place(probabilities: NDArray[np.float64], bins: int) -> NDArray[np.int64]:
    places = np.floor(probabilities * bins + BIN_ROUNDING).astype(np.int64)
    return np.clip(places, 0, bins - 1)


def _mean_or_nan(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else float("nan")
