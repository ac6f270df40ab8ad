"""Intervals and tests by subject: clips of one person are not independent, persons are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from hmrm_lab.evaluation.metrics import METRICS, Doubles, confusion_by_person, f1_per_class
from hmrm_lab.records import Ints, Predictions

RESAMPLES = 2000
LEVEL = 0.95
PERMUTATIONS = 10000
EXACT_PERSONS = 12  # 4,096 swaps
ROUNDING = 1e-12  # below which two differences are equal


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


@dataclass(frozen=True)
class PairedTest:
    """A difference of a pooled metric and its two-sided p-value."""

    difference: float
    p_value: float
    assignments: int  # that the p-value was counted from
    exact: bool  # all there are, and not a random sample of them


def permutation_test(
    ours: Predictions,
    theirs: Predictions,
    metric: str = "uf1",
    *,
    draws: int = PERMUTATIONS,
    seed: int = 0,
) -> PairedTest:
    """Do two systems differ by more than chance would, on the same persons?

    If they are equally good, it is a toss of a coin which of the two gave which answers for a
    person. So the predictions of both are swapped, person by person with all clips and seeds, and
    the pooled metric of both sides is computed anew. The p-value is the share of swaps whose
    difference is at least as large as the one found.

    All swaps are tried where the two differ on no more than `EXACT_PERSONS` persons; else `draws`
    random ones, where the swap that was found counts as one of them. The p-value is then never 0.

    Parameters
    ----------
    ours, theirs
        Of the same persons, clips per class and number of seeds; else `ValueError`.

    Source: Fisher's randomisation test; Phipson and Smyth 2010 for the count of random draws.
    """
    first, second = (confusion_by_person(side) for side in (ours, theirs))
    if first[0] != second[0]:
        raise ValueError("the two sets of predictions are of different persons")
    if first[1] != second[1] or (first[2].sum(-1) != second[2].sum(-1)).any():
        raise ValueError("the two sets of predictions are of different clips or seeds")
    gap = second[2] - first[2]  # (P, S, K, K)
    gap = gap[gap.any((1, 2, 3))]  # of all others a swap changes nothing
    exact = len(gap) <= EXACT_PERSONS
    swaps = _all_swaps(len(gap)) if exact else _random_swaps(len(gap), draws, seed)
    moved = np.tensordot(swaps, gap, axes=1)  # (swaps, S, K, K)
    measure = METRICS[metric]
    sides = measure(first[2].sum(0) + moved) - measure(second[2].sum(0) - moved)
    differences = sides.mean(-1)
    found = pooled(ours, metric) - pooled(theirs, metric)
    extreme = int((np.abs(differences) >= abs(found) - ROUNDING).sum())
    p_value = extreme / len(swaps) if exact else (extreme + 1) / (len(swaps) + 1)
    return PairedTest(found, p_value, len(swaps), exact)


class Paired(NamedTuple):
    """Ours minus theirs on the same persons: the difference, its interval, and its p-value."""

    difference: float
    low: float
    high: float
    p_value: float


def paired_test(ours: Predictions, theirs: Predictions, metric: str = "uf1") -> Paired:
    """`paired_difference` with the p-value of `permutation_test`; `ValueError` where they raise."""
    found = paired_difference(ours, theirs, metric)
    return Paired(*found, permutation_test(ours, theirs, metric).p_value)


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values of several comparisons, raised so that all can be read together.

    The smallest of m is multiplied by m, the next by m - 1, and so on; none is below the one before
    it, and none above 1. Source: Holm 1979.
    """
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    raised = np.maximum.accumulate(np.asarray(p_values, dtype=np.float64)[order] * factors)
    adjusted = np.empty(len(p_values))
    adjusted[order] = raised.clip(max=1)
    return [float(value) for value in adjusted]


def _all_swaps(persons: int) -> Ints:
    """Every choice of persons to be swapped, none to begin with. (2 ** persons, persons)."""
    return np.arange(2**persons)[:, None] >> np.arange(persons) & 1


def _random_swaps(persons: int, draws: int, seed: int) -> Ints:
    return np.random.default_rng(seed).integers(0, 2, (draws, persons))


POOLED = "pooled counts (MEGC 2019)"
PRESENT = "mean over folds, absent classes left out"
ZERO = "mean over folds, absent classes count 0"


def fold_scores(predictions: Predictions) -> pd.DataFrame:
    """One row per fold and seed: its clips, its true classes, and its UF1 read in two ways.

    `present` leaves out the classes that a fold neither holds nor names; `zero` counts them as
    0, so that a fold of one class cannot reach more than 1/K.
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
