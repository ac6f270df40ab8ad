"""What it is worth to look at the test subject: scores by the number of epochs looked at.

A person's best epoch is chosen by that person's own answers, as the rule `oracle_test` does. Out of
one epoch there is nothing to choose. Out of many, even answers drawn at random hold good ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hmrm_lab.errors import InputError
from hmrm_lab.evaluation.metrics import Doubles, confusion, uf1
from hmrm_lab.records import CLASSES, Ints
from hmrm_lab.store import RunFolder


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
    return np.array([float(uf1(confusion(looks.labels, guess))) for guess in answers])


def blind_looks(
    labels: Ints, persons: NDArray[np.str_], epochs: int, rng: np.random.Generator
) -> Looks:
    """A model that knows nothing: in every epoch, classes drawn anew by how frequent they are."""
    shares = np.bincount(labels, minlength=len(CLASSES)) / len(labels)
    drawn = rng.random((epochs, len(labels)))
    return Looks(np.searchsorted(shares.cumsum()[:-1], drawn, side="right"), labels, persons)


def blind_uf1(
    labels: Ints,
    persons: NDArray[np.str_],
    counts: Sequence[int],
    *,
    draws: int = 20,
    seed: int = 0,
) -> Doubles:
    """UF1 of models that know nothing, by the number of looks. (draws, len(counts)).

    With one look it is near 1/3 for three classes: precision and recall of a class are both its
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
