"""What it is worth to look at the test subject: scores by the number of epochs looked at.

A person's best epoch is chosen by that person's own answers, as the rule `oracle_test` does. Out of
one epoch there is nothing to choose. Out of many, even answers drawn at random hold good ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hmrm_lab.errors import InputError, unknown_name
from hmrm_lab.evaluation.metrics import Doubles, confusion, uf1
from hmrm_lab.records import Ints, Predictions, classes_of
from hmrm_lab.runtime.store import RunFolder


@dataclass(frozen=True, eq=False)
class Looks:
    """The class named for every clip after every epoch, by the model that held its person out.

    Shapes
    ------
    guesses : (E, n)
    labels : (n,)
    persons : (n,), `dataset/subject`
    """

    guesses: Ints
    labels: Ints
    persons: NDArray[np.str_]
    classes: int


def collect_looks(run: RunFolder, seed: int) -> Looks:
    """What a run under `oracle_test` saw on its way, one seed of it.

    Raises
    ------
    InputError
        If the run did not peek, or was made before looks were kept.
    """
    units = [unit for unit in run.units() if unit["seed"] == seed and unit.get("looks")]
    if not units:
        raise InputError(
            f"no looks at epochs are kept for seed {seed}",
            where=run.path,
            mend="run it anew with evaluation.epoch_rule=oracle_test",
        )
    rows = [row for unit in units for row in unit["predictions"]]
    return Looks(
        np.concatenate([np.array(unit["looks"], dtype=np.int64) for unit in units], axis=1),
        np.array([row["truth"] for row in rows], dtype=np.int64),
        np.array([row["fold"] for row in rows]),
        len(classes_of(rows[0])),
    )


def peeked(looks: Looks, counts: Sequence[int]) -> Ints:
    """Answers of each person's best epoch among the last `count` epochs, the first of equals.

    One look is the last epoch, the rule `last`; as many as there are epochs is `oracle_test`.

    Shapes
    ------
    returns : (len(counts), n)

    Raises
    ------
    InputError
        If a count is not between one and the number of epochs.
    """
    epochs, clips = looks.guesses.shape
    wrong = [count for count in counts if not 1 <= count <= epochs]
    if wrong:
        raise InputError(f"{wrong[0]} looks at {epochs} epochs", mend=f"take 1 to {epochs}")
    names, person = np.unique(looks.persons, return_inverse=True)
    member = np.eye(len(names), dtype=np.float32)[person]  # (n, P)
    hits = (looks.guesses == looks.labels).astype(np.float32) @ member  # (E, P)
    best = np.stack([epochs - count + hits[epochs - count :].argmax(0) for count in counts])
    return np.asarray(looks.guesses[best[:, person], np.arange(clips)])


def uf1_by_looks(looks: Looks, counts: Sequence[int]) -> Doubles:
    """Pooled UF1 for each number of looks. (len(counts),)."""
    answers = peeked(looks, counts)
    return np.array(
        [float(uf1(confusion(looks.labels, guess, looks.classes))) for guess in answers]
    )


def blind_looks(
    labels: Ints,
    persons: NDArray[np.str_],
    epochs: int,
    rng: np.random.Generator,
) -> Looks:
    """A model that knows nothing: in every epoch, classes drawn anew by how frequent they are."""
    shares = np.bincount(labels) / len(labels)
    drawn = rng.random((epochs, len(labels)))
    guesses = np.searchsorted(shares.cumsum()[:-1], drawn, side="right")
    return Looks(guesses, labels, persons, len(shares))


def blind_uf1(
    labels: Ints,
    persons: NDArray[np.str_],
    counts: Sequence[int],
    *,
    draws: int = 20,
    seed: int = 0,
) -> Doubles:
    """UF1 of models that know nothing, by the number of looks. (draws, len(counts)).

    With one look it is near 1/K for K classes: precision and recall of a class are both its
    share, and the shares add up to one.
    """
    rng = np.random.default_rng(seed)
    return np.stack(
        [uf1_by_looks(blind_looks(labels, persons, max(counts), rng), counts) for _ in range(draws)]
    )


def look_counts(epochs: int) -> list[int]:
    """1, 2, 5, 10, 20, 50 and so on up to the number of epochs, which is the last."""
    steps = [step * 10**power for power in range(len(str(epochs))) for step in (1, 2, 5)]
    return [*(step for step in steps if step < epochs), epochs]


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
    classes = len(predictions.classes)
    per_seed = []
    for _, rows in table.groupby("seed"):
        rng = np.random.default_rng(seed)  # the same places for every seed
        groups = np.unique(rows[column].to_numpy(str), return_inverse=True)[1]
        truth, guess = rows["truth"].to_numpy(np.int64), rows["prediction"].to_numpy(np.int64)
        per_seed.append(uf1(_counts(permuted(truth, groups, permutations, rng), guess, classes)))
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


def _counts(truths: Ints, guess: Ints, classes: int) -> Ints:
    """Confusion of every row of truths with the same predictions. (T, n) to (T, K, K)."""
    k = classes
    cells = truths * k + guess + k * k * np.arange(len(truths))[:, None]
    return np.bincount(cells.ravel(), minlength=k * k * len(truths)).reshape(-1, k, k)
