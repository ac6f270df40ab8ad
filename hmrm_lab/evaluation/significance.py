"""Intervals by resampling subjects: clips of one person are not independent, persons are."""

import numpy as np

from hmrm_lab.evaluation.metrics import METRICS, Doubles, confusion_by_person
from hmrm_lab.records import Predictions

RESAMPLES = 2000
LEVEL = 0.95


def bootstrap_interval(
    predictions: Predictions, metric: str, *, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    """Percentile interval of a pooled metric, averaged over seeds.

    Each resample draws as many persons as there are, with replacement, and takes all of their
    clips under all seeds.
    """
    low, high = np.quantile(
        bootstrap_samples(predictions, metric, resamples=resamples, seed=seed),
        [(1 - LEVEL) / 2, (1 + LEVEL) / 2],
    )
    return float(low), float(high)


def bootstrap_samples(
    predictions: Predictions, metric: str, *, resamples: int = RESAMPLES, seed: int = 0
) -> Doubles:
    """The resampled values themselves. (resamples,)."""
    persons, _, counts = confusion_by_person(predictions)  # (P, S, K, K)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(persons), np.full(len(persons), 1 / len(persons)), size=resamples)
    counts_drawn = np.tensordot(drawn, counts, axes=1)  # (resamples, S, K, K)
    values: Doubles = METRICS[metric](counts_drawn).mean(-1)
    return values


def paired_difference(
    ours: Predictions, theirs: Predictions, metric: str, *, resamples: int = RESAMPLES
) -> tuple[float, float, float]:
    """Ours minus theirs on the same persons: the difference, and its bootstrap interval.

    Both sides are resampled with the same persons. `ValueError` if their persons differ.
    """
    if confusion_by_person(ours)[0] != confusion_by_person(theirs)[0]:
        raise ValueError("the two sets of predictions are of different persons")
    samples = [bootstrap_samples(side, metric, resamples=resamples) for side in (ours, theirs)]
    low, high = np.quantile(samples[0] - samples[1], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return pooled(ours, metric) - pooled(theirs, metric), float(low), float(high)


def pooled(predictions: Predictions, metric: str) -> float:
    """The metric of the pooled counts of each seed, averaged over seeds."""
    _, _, counts = confusion_by_person(predictions)
    return float(METRICS[metric](counts.sum(0)).mean())
