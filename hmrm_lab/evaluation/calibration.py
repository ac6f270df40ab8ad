"""How far a run's probabilities can be believed: right answers among predictions as sure as this.

Guo et al. 2017: predictions are sorted into bins by the probability of the predicted class; the
expected calibration error is the mean gap between that probability and the share that was right.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hmrm_lab.records import Predictions

BINS = 5
ROUNDING = 1e-9  # 0.6 belongs to the bin that begins there
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
            _mean(sure[place == number]),
            _mean(right[place == number]),
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
    places = np.floor(probabilities * bins + ROUNDING).astype(np.int64)
    return np.clip(places, 0, bins - 1)


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else float("nan")
