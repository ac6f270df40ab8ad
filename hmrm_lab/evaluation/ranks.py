"""Do systems differ over several data sets? Friedman's test and Nemenyi's critical difference.

Source: Demsar, Statistical Comparisons of Classifiers over Multiple Data Sets, JMLR 7, 2006.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata, studentized_range

from hmrm_lab.evaluation.metrics import Doubles

LEAST_SETS = 3
LEAST_SYSTEMS = 3
LEVEL = 0.05
PERMUTATIONS = 10000
ROUNDING = 1e-9


@dataclass(frozen=True)
class Ranking:
    """Systems by mean rank, best first.

    `groups` are pairs of places (first, last), each a largest group of neighbours whose mean ranks
    differ by less than the critical difference. `p_value` is that of Friedman's test.
    """

    names: tuple[str, ...]
    ranks: tuple[float, ...]
    sets: tuple[str, ...]
    p_value: float
    critical_difference: float
    groups: tuple[tuple[int, int], ...]


def enough(sets: int, systems: int) -> str:
    """Why there is no ranking over data sets; empty if there is one."""
    if sets < LEAST_SETS:
        return (
            f"The results rest on {sets} data set{'' if sets == 1 else 's'}; a ranking over data "
            f"sets needs {LEAST_SETS} at least."
        )
    if systems < LEAST_SYSTEMS:
        return f"{systems} complete systems; a ranking over data sets needs {LEAST_SYSTEMS}."
    return ""


def rank_systems(names: Sequence[str], sets: Sequence[str], scores: ArrayLike) -> Ranking:
    """Rank systems within each data set, the highest score first, and average the ranks.

    The p-value of Friedman's statistic is estimated: the share of `PERMUTATIONS` random rankings
    within the data sets that reach it. Chi squared, its usual approximation, needs many data sets.

    Shapes
    ------
    scores : (data sets, systems)

    Raises
    ------
    ValueError
        If there are too few of either; `enough` says so in words.
    """
    values = np.asarray(scores, dtype=np.float64)
    if told := enough(*values.shape):
        raise ValueError(told)
    ranks = rankdata(-values, axis=1)  # (N, k), mean rank for ties
    order = np.argsort(ranks.mean(0), kind="stable")
    means = ranks.mean(0)[order]
    gap = nemenyi(len(names), len(sets))
    return Ranking(
        tuple(names[place] for place in order),
        tuple(float(mean) for mean in means),
        tuple(sets),
        _friedman_p(ranks),
        gap,
        _groups(means, gap),
    )


def nemenyi(systems: int, sets: int) -> float:
    """The difference of mean ranks from which on two of so many systems differ, at 5 %."""
    q = studentized_range.ppf(1 - LEVEL, systems, np.inf) / np.sqrt(2)
    return float(q * np.sqrt(systems * (systems + 1) / (6 * sets)))


def _friedman_p(ranks: Doubles) -> float:
    found = _spread(ranks.mean(0))
    rng = np.random.default_rng(0)
    tried = np.broadcast_to(ranks, (PERMUTATIONS, *ranks.shape))
    drawn = _spread(rng.permuted(tried, axis=2).mean(1))
    return float((1 + (drawn >= found - ROUNDING).sum()) / (1 + PERMUTATIONS))


def _spread(means: Doubles) -> Doubles:
    """Friedman's statistic but for a factor that no permutation changes."""
    return np.asarray(((means - means.mean(-1, keepdims=True)) ** 2).sum(-1))


def _groups(means: Doubles, gap: float) -> tuple[tuple[int, int], ...]:
    found: list[tuple[int, int]] = []
    for first, mean in enumerate(means):
        last = int(np.flatnonzero(means < mean + gap - ROUNDING)[-1])
        if last > first and not (found and found[-1][1] >= last):
            found.append((first, last))
    return tuple(found)
