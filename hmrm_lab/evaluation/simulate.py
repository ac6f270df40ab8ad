"""Predictions of people made up by a known rule, to try statistics where the truth is known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hmrm_lab.datasets.classes import MEGC3
from hmrm_lab.errors import InputError, unknown_name
from hmrm_lab.evaluation.metrics import Doubles, confusion, confusion_of, uf1
from hmrm_lab.evaluation.significance import LEVEL, RESAMPLES, bootstrap_interval, permutation_test
from hmrm_lab.records import ClipKey, Ints, Predictions, classes_of, prediction_columns
from hmrm_lab.runtime.store import RunFolder


def simulated_predictions(
    clips: Mapping[ClipKey, int],
    *,
    right: float,
    spread: float = 0.0,
    seed: int = 0,
    classes: Sequence[str] = MEGC3.classes,
) -> Predictions:
    """Answers to these clips that are right with a chance of each person's own.

    Parameters
    ----------
    clips
        The label of every clip, such as `megc2019()` has them.
    right
        The mean chance over persons. A wrong answer is any other class alike.
    spread
        Standard deviation of that chance from person to person (a beta distribution); with 0 all
        persons are alike and clips are independent.

    Raises
    ------
    InputError
        If no beta distribution has this mean and spread.
    """
    if not 0 < right < 1 or not 0 <= spread < (right * (1 - right)) ** 0.5:
        raise InputError(
            f"no chances with mean {right} and spread {spread}",
            mend="take 0 < right < 1 and a spread below the root of right * (1 - right)",
        )
    rng = np.random.default_rng(seed)
    persons = sorted({key.person for key in clips})
    chance = dict(zip(persons, _chances(len(persons), right, spread, rng), strict=True))
    rows = []
    count = len(classes)
    for (key, truth), luck in zip(clips.items(), rng.random(len(clips)), strict=True):
        away = 0 if luck < chance[key.person] else int(rng.integers(1, count))
        guess = (truth + away) % count
        rows.append((*key, key.person, 0, 0, truth, guess, *[np.nan] * count))
    return Predictions(pd.DataFrame(rows, columns=prediction_columns(classes)))


def true_uf1(
    clips: Mapping[ClipKey, int], right: float, *, classes: Sequence[str] = MEGC3.classes
) -> float:
    """UF1 of the counts to be expected from `simulated_predictions`, whatever the spread."""
    sizes = np.bincount(list(clips.values()), minlength=len(classes))
    rates = np.full((len(classes), len(classes)), (1 - right) / (len(classes) - 1))
    np.fill_diagonal(rates, right)
    return float(uf1(sizes[:, None] * rates))


def as_independent(predictions: Predictions) -> Predictions:
    """The same answers with every clip a person of its own: a bootstrap then resamples clips."""
    table = predictions.table
    return Predictions(table.assign(subject=table["subject"] + "/" + table["clip"]))


def coverage(
    clips: Mapping[ClipKey, int],
    *,
    right: float,
    spread: float,
    repeats: int = 200,
    resamples: int = 300,
) -> dict[str, float]:
    """How often a 95 % interval holds the true UF1, resampling `subjects` or `clips`."""
    truth = true_uf1(clips, right)
    held = {"subjects": 0, "clips": 0}
    for repeat in range(repeats):
        answers = simulated_predictions(clips, right=right, spread=spread, seed=repeat)
        intervals = {
            "subjects": bootstrap_interval(answers, "uf1", resamples=resamples, seed=repeat),
            "clips": clip_interval(answers, resamples=resamples, seed=repeat),
        }
        for name, (low, high) in intervals.items():
            held[name] += low <= truth <= high
    return {name: count / repeats for name, count in held.items()}


def clip_interval(
    predictions: Predictions, *, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    """The 95 % interval of UF1 over clips, of one seed.

    The same distribution as that of `as_independent`, at a tenth of the work: a clip is one of the
    cells of the confusion, so that drawing clips is drawing cells.
    """
    counts = confusion_of(predictions)
    total = counts.sum()
    drawn = np.random.default_rng(seed).multinomial(total, counts.ravel() / total, size=resamples)
    values = uf1(drawn.reshape(-1, *counts.shape))
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _chances(count: int, mean: float, spread: float, rng: np.random.Generator) -> list[float]:
    if spread == 0:
        return [mean] * count
    size = mean * (1 - mean) / spread**2 - 1  # of the beta distribution: a + b
    drawn: list[float] = rng.beta(mean * size, (1 - mean) * size, count).tolist()
    return drawn


POWER_LEVEL = 0.05
STUDIES = 200
DRAWS = 500  # swaps of one test
COLUMNS = ("True difference", "Mean UF1 difference", "Found", "Studies")


def power_table(
    clips: Mapping[ClipKey, int],
    rate: float,
    gaps: Sequence[float],
    *,
    studies: int = STUDIES,
    seed: int = 0,
    classes: Sequence[str] = MEGC3.classes,
) -> pd.DataFrame:
    """How often the paired test finds a difference that is truly there.

    Two made-up systems answer every clip: one is right with probability `rate`, the other with
    `rate - gap`, each answer independent of all others, and wrong answers fall on the other classes
    alike. `Found` is the share of simulated studies with p below 0.05. For a gap of 0 it is the
    share of false alarms.

    Parameters
    ----------
    clips
        The label of every clip, such as `megc2019()` has them.

    Answers of one person to one system are alike in truth, which makes the real test weaker than
    this; two systems that err on the same clips make it stronger.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for gap in gaps:
        tests = [
            permutation_test(
                simulate(clips, rate, rng, classes),
                simulate(clips, rate - gap, rng, classes),
                draws=DRAWS,
                seed=n,
            )
            for n in range(studies)
        ]
        found = float(np.mean([test.p_value < POWER_LEVEL for test in tests]))
        mean = float(np.mean([test.difference for test in tests]))
        rows.append((gap, mean, found, studies))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def simulate(
    clips: Mapping[ClipKey, int],
    rate: float,
    rng: np.random.Generator,
    classes: Sequence[str] = MEGC3.classes,
) -> Predictions:
    """Predictions of a system that is right about each clip with this probability."""
    truth = np.array(list(clips.values()), dtype=np.int64)
    wrong = (truth + rng.integers(1, len(classes), len(truth))) % len(classes)
    answers: Ints = np.where(rng.random(len(truth)) < rate, truth, wrong)
    table = pd.DataFrame([key._asdict() for key in clips])
    table = table.assign(
        fold=table["dataset"] + "/" + table["subject"], seed=0, epoch=0, truth=truth
    ).assign(prediction=answers)
    return Predictions(table.reindex(columns=prediction_columns(classes)))


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
