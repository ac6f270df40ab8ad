"""What chance gives: UF1 when truth and prediction have nothing to do with each other."""

from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hmrm_lab.errors import unknown_name
from hmrm_lab.evaluation.metrics import Doubles, uf1
from hmrm_lab.evaluation.peeking import Looks, uf1_by_looks
from hmrm_lab.records import CLASSES, Ints, Predictions

PERMUTATIONS = 2000
Within = Literal["all", "dataset", "subject"]


def permuted_uf1(
    predictions: Predictions,
    *,
    within: Within = "all",
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> Doubles:
    """UF1 after the truth has been dealt out anew over the clips; several seeds are averaged.

    Parameters
    ----------
    within
        Among which clips labels change places: all, those of a data set, or those of a subject.
        The last keeps what a system may know of a person's most frequent class.

    Shapes
    ------
    returns : (permutations,)
    """
    if within not in ("all", "dataset", "subject"):
        raise unknown_name("group", within, ("all", "dataset", "subject"))
    table = predictions.table.assign(person=predictions.persons, everyone="all")
    column = {"all": "everyone", "dataset": "dataset", "subject": "person"}[within]
    per_seed = []
    for _, rows in table.groupby("seed"):
        rng = np.random.default_rng(seed)  # the same places for every seed
        groups = np.unique(rows[column].to_numpy(str), return_inverse=True)[1]
        truth, guess = rows["truth"].to_numpy(np.int64), rows["prediction"].to_numpy(np.int64)
        per_seed.append(uf1(_counts(permuted(truth, groups, permutations, rng), guess)))
    return np.asarray(np.mean(per_seed, axis=0))


def permuted(
    labels: Ints, groups: NDArray[np.int64], permutations: int, rng: np.random.Generator
) -> Ints:
    """Labels that have changed places within their groups. (n,) to (permutations, n)."""
    home = np.argsort(groups, kind="stable")
    order = np.argsort(groups[home] + rng.random((permutations, len(labels))), axis=1)
    dealt = np.empty_like(order)
    dealt[:, home] = labels[home][order]
    return dealt


def peeking_null(looks: Looks, *, permutations: int = 200, seed: int = 0) -> Doubles:
    """UF1 of the best epoch of each person where the truth has been dealt out anew *before* the
    choice: what peeking makes of answers that have nothing to do with the labels.

    Shapes
    ------
    returns : (permutations,)
    """
    rng = np.random.default_rng(seed)
    together = np.zeros(len(looks.labels), dtype=np.int64)
    epochs = len(looks.guesses)
    dealt = permuted(looks.labels, together, permutations, rng)
    return np.concatenate([uf1_by_looks(replace(looks, labels=truth), [epochs]) for truth in dealt])


def p_value(null: Doubles, observed: float) -> float:
    """The share of a null distribution that reaches what was observed, itself counted as one."""
    return float((1 + (null >= observed).sum()) / (1 + len(null)))


def _counts(truths: Ints, guess: Ints) -> Ints:
    """Confusion of every row of truths with the same predictions. (T, n) to (T, K, K)."""
    k = len(CLASSES)
    cells = truths * k + guess + k * k * np.arange(len(truths))[:, None]
    return np.bincount(cells.ravel(), minlength=k * k * len(truths)).reshape(-1, k, k)
