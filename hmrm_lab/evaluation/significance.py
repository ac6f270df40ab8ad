"""Intervals, tests and rankings by subject: clips of one subject are not independent.

Rankings over several data sets follow Demsar, Statistical Comparisons of Classifiers over Multiple
Data Sets, JMLR 7, 2006.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy  # it loads `scipy.stats`, which takes a second, when that is used
from numpy.typing import ArrayLike, NDArray

from hmrm_lab.evaluation.metrics import METRICS, Doubles, confusion_by_subject, f1_per_class
from hmrm_lab.records import Ints, Predictions

RESAMPLES = 2000
LEVEL = 0.95
PERMUTATIONS = 10000
EXACT_SUBJECTS = 12  # 4,096 swaps
ROUNDING = 1e-12  # below which two differences are equal
LEAST_SETS = 3
LEAST_SYSTEMS = 3
RANK_ROUNDING = 1e-9
RANK_LEVEL = 0.05
POOLED = "pooled counts (MEGC 2019)"
PRESENT = "mean over folds, absent classes left out"
ZERO = "mean over folds, absent classes count 0"


def interval(samples: Doubles) -> tuple[float, float]:
    low, high = np.quantile(samples, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def bootstrap_interval(
    predictions: Predictions, metric: str, *, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    return interval(bootstrap_samples(predictions, metric, resamples=resamples, seed=seed))


def bootstrap_samples(
    predictions: Predictions, metric: str, *, resamples: int = RESAMPLES, seed: int = 0
) -> Doubles:
    """Resample a pooled metric by subject, with all clips under all seeds. (resamples,)."""
    counts = confusion_by_subject(predictions)[2]
    drawn = resampled_counts(counts, resamples=resamples, seed=seed)
    return np.asarray(METRICS[metric](drawn).mean(-1))


def resampled_counts(counts: Ints, *, resamples: int = RESAMPLES, seed: int = 0) -> Doubles:
    """Sum the counts of subjects drawn with replacement. (P, S, K, K) to (resamples, S, K, K)."""
    number = len(counts)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(number, np.full(number, 1 / number), size=resamples)
    return np.tensordot(drawn.astype(float), counts.astype(float), axes=1)  # exact, and fast


def pooled(predictions: Predictions, metric: str) -> float:
    """Compute a metric from the pooled counts of each seed, and average it over seeds."""
    _, _, counts = confusion_by_subject(predictions)
    return float(METRICS[metric](counts.sum(0)).mean())


def paired_difference(
    ours: Predictions, theirs: Predictions, metric: str, *, resamples: int = RESAMPLES
) -> tuple[float, float, float]:
    """Ours minus theirs, and its interval, both resampled with the same subjects."""
    if confusion_by_subject(ours)[0] != confusion_by_subject(theirs)[0]:
        raise ValueError("the two sets of predictions are of different subjects")
    samples = [bootstrap_samples(side, metric, resamples=resamples) for side in (ours, theirs)]
    difference = pooled(ours, metric) - pooled(theirs, metric)
    return (difference, *interval(samples[0] - samples[1]))


class PairedTest(NamedTuple):
    difference: float  # of a pooled metric
    p_value: float  # two-sided
    exact: bool  # whether all swaps were tried


def permutation_test(
    ours: Predictions,
    theirs: Predictions,
    metric: str = "uf1",
    *,
    draws: int = PERMUTATIONS,
    seed: int = 0,
) -> PairedTest:
    """Test whether two systems differ by more than chance, on the same subjects.

    The predictions of both are swapped subject by subject, with all clips and seeds, and the pooled
    metric of both sides is recomputed. The p-value is the share of swaps whose difference is at
    least as large as the observed one. All swaps are tried where the two differ on at most
    `EXACT_SUBJECTS` subjects; otherwise `draws` random ones and the observed one, so that the
    p-value is never 0 (Fisher's randomisation test; Phipson and Smyth 2010). `ValueError` if they
    are not of the same subjects, clips per class and seeds.
    """
    first, second = (confusion_by_subject(side) for side in (ours, theirs))
    if first[0] != second[0]:
        raise ValueError("the two sets of predictions are of different subjects")
    if first[1] != second[1] or (first[2].sum(-1) != second[2].sum(-1)).any():
        raise ValueError("the two sets of predictions are of different clips or seeds")
    gap = second[2] - first[2]  # (P, S, K, K)
    gap = gap[gap.any((1, 2, 3))]  # a swap of the others changes nothing
    subjects, exact = len(gap), len(gap) <= EXACT_SUBJECTS
    if exact:
        swaps = np.arange(2**subjects)[:, None] >> np.arange(subjects) & 1  # none first
    else:
        swaps = np.random.default_rng(seed).integers(0, 2, (draws, subjects))
    moved = np.tensordot(swaps, gap, axes=1)  # (swaps, S, K, K)
    measure = METRICS[metric]
    sides = measure(first[2].sum(0) + moved) - measure(second[2].sum(0) - moved)
    found = float(measure(first[2].sum(0)).mean()) - float(measure(second[2].sum(0)).mean())
    extreme = int((np.abs(sides.mean(-1)) >= abs(found) - ROUNDING).sum())
    p_value = extreme / len(swaps) if exact else (extreme + 1) / (len(swaps) + 1)
    return PairedTest(found, p_value, exact)


class Paired(NamedTuple):
    difference: float
    low: float
    high: float
    p_value: float


def paired_test(ours: Predictions, theirs: Predictions, metric: str = "uf1") -> Paired:
    """Combine `paired_difference` and the p-value of `permutation_test`."""
    found = paired_difference(ours, theirs, metric)
    return Paired(*found, permutation_test(ours, theirs, metric).p_value)


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct the p-values of several comparisons (Holm 1979)."""
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.maximum.accumulate(np.asarray(p_values, np.float64)[order] * factors)
    return [float(value) for value in adjusted.clip(max=1)]


def permuted(
    labels: Ints, groups: NDArray[np.int64], permutations: int, rng: np.random.Generator
) -> Ints:
    """Permute labels within their groups. (n,) to (permutations, n)."""
    home = np.argsort(groups, kind="stable")
    order = np.argsort(groups[home] + rng.random((permutations, len(labels))), axis=1)
    moved = np.empty_like(order)
    moved[:, home] = labels[home][order]
    return moved


def fold_scores(predictions: Predictions) -> pd.DataFrame:
    """Score each fold and seed: its clips, its true classes, and its UF1 in two ways.

    Classes neither true nor predicted are left out of `present`, and count 0 in `zero`.
    """
    subjects, seeds, counts = confusion_by_subject(predictions)  # (P, S, K, K)
    f1 = f1_per_class(counts)
    known = (counts.sum(-1) + counts.sum(-2)) > 0
    columns = {
        "clips": counts.sum((-1, -2)),
        "classes": (counts.sum(-1) > 0).sum(-1),
        "present": f1.sum(-1) / known.sum(-1).clip(min=1),
        "zero": f1.mean(-1),
    }
    index = pd.MultiIndex.from_product([subjects, seeds], names=["fold", "seed"])
    table = pd.DataFrame({name: of.ravel() for name, of in columns.items()}, index=index)
    return table[table["clips"] > 0].reset_index()


def three_averages(predictions: Predictions) -> dict[str, float]:
    """Compute UF1 in three ways: from pooled counts, and as two means over folds."""
    scores = fold_scores(predictions)
    return {
        POOLED: pooled(predictions, "uf1"),
        PRESENT: float(np.mean(scores["present"])),
        ZERO: float(np.mean(scores["zero"])),
    }


@dataclass(frozen=True)
class Ranking:
    """Systems by mean rank, best first."""

    names: tuple[str, ...]
    ranks: tuple[float, ...]
    sets: tuple[str, ...]
    p_value: float  # of Friedman's test
    critical_difference: float
    groups: tuple[tuple[int, int], ...]  # positions: the largest that differ by less than that


def enough(sets: int, systems: int) -> str:
    """Say why there is no ranking over data sets; empty if there is one."""
    if sets < LEAST_SETS:
        rest = f"The results rest on {sets} data set{'' if sets == 1 else 's'}"
        return f"{rest}; a ranking over data sets needs {LEAST_SETS} at least."
    if systems < LEAST_SYSTEMS:
        return f"{systems} complete systems; a ranking over data sets needs {LEAST_SYSTEMS}."
    return ""


def rank_systems(names: Sequence[str], sets: Sequence[str], scores: ArrayLike) -> Ranking:
    """Rank systems within each data set by `scores` (data sets, systems), and average the ranks.

    The p-value of Friedman's statistic is the share of `PERMUTATIONS` random rankings within the
    data sets that reach it. Chi squared, its usual approximation, needs many data sets.
    """
    values = np.asarray(scores, dtype=np.float64)
    if problem := enough(*values.shape):
        raise ValueError(problem)
    ranks = scipy.stats.rankdata(-values, axis=1)  # (N, k), mean rank for ties
    order = np.argsort(ranks.mean(0), kind="stable")
    means = ranks.mean(0)[order]
    gap = nemenyi(len(names), len(sets))
    groups: list[tuple[int, int]] = []
    for first, mean in enumerate(means):
        last = int(np.flatnonzero(means < mean + gap - RANK_ROUNDING)[-1])
        if last > first and not (groups and groups[-1][1] >= last):
            groups.append((first, last))
    ordered = tuple(names[index] for index in order)
    rng = np.random.default_rng(0)
    drawn = rng.permuted(np.broadcast_to(ranks, (PERMUTATIONS, *ranks.shape)), axis=2).mean(1)
    # Friedman's statistic, without a factor that permutations leave unchanged
    chance, found = (
        ((means - means.mean(-1, keepdims=True)) ** 2).sum(-1) for means in (drawn, ranks.mean(0))
    )
    p = float((1 + (chance >= found - RANK_ROUNDING).sum()) / (1 + PERMUTATIONS))
    return Ranking(ordered, tuple(means.tolist()), tuple(sets), p, gap, tuple(groups))


def nemenyi(systems: int, sets: int) -> float:
    """Compute Nemenyi's critical difference of mean ranks at 5 %."""
    q = scipy.stats.studentized_range.ppf(1 - RANK_LEVEL, systems, np.inf) / np.sqrt(2)
    return float(q * np.sqrt(systems * (systems + 1) / (6 * sets)))
