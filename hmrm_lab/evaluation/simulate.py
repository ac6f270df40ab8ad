"""Simulated predictions and null distributions: what statistics, peeking and chance alone give.

Peeking: the best epoch of a subject is chosen by that subject's own answers, as the rule
`oracle_test` does. Among many epochs, even answers drawn at random hold good ones.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hmrm_lab.datasets.classes import MEGC3
from hmrm_lab.errors import InputError, unknown_name
from hmrm_lab.evaluation.metrics import Doubles, confusion, confusion_of, uf1
from hmrm_lab.evaluation.significance import (
    LEVEL,
    RESAMPLES,
    bootstrap_interval,
    permutation_test,
    permuted,
)
from hmrm_lab.records import ClipKey, Ints, Predictions, classes_of, prediction_columns
from hmrm_lab.runtime.store import RunFolder

POWER_LEVEL = 0.05
STUDIES = 200
DRAWS = 500  # swaps of one test
PERMUTATIONS = 2000
COLUMNS = ("True difference", "Mean UF1 difference", "Found", "Studies")
Within = Literal["all", "dataset", "subject"]


def simulated_predictions(
    clips: Mapping[ClipKey, int],
    *,
    right: float,
    spread: float = 0.0,
    seed: int = 0,
    classes: Sequence[str] = MEGC3.classes,
) -> Predictions:
    """Simulate predictions that are right with a probability of each subject's own.

    Parameters
    ----------
    clips
        The label of every clip, such as `megc2019()` has them.
    right
        The mean probability over subjects. A wrong answer is any other class alike.
    spread
        Standard deviation of that probability over subjects (a beta distribution); with 0 all
        subjects are alike and clips are independent.

    Raises
    ------
    InputError
        If no beta distribution has this mean and spread.
    """
    if not 0 < right < 1 or not 0 <= spread < (right * (1 - right)) ** 0.5:
        raise InputError(
            f"no chances with mean {right} and spread {spread}",
            hint="take 0 < right < 1 and a spread below the root of right * (1 - right)",
        )
    rng = np.random.default_rng(seed)
    subjects = sorted({key.subject_key for key in clips})
    chance = dict.fromkeys(subjects, right)
    if spread:
        size = right * (1 - right) / spread**2 - 1  # of the beta distribution: a + b
        drawn = rng.beta(right * size, (1 - right) * size, len(subjects))
        chance = dict(zip(subjects, drawn.tolist(), strict=True))
    rows = []
    count = len(classes)
    for (key, truth), luck in zip(clips.items(), rng.random(len(clips)), strict=True):
        away = 0 if luck < chance[key.subject_key] else int(rng.integers(1, count))
        guess = (truth + away) % count
        rows.append((*key, key.subject_key, 0, 0, truth, guess, *[np.nan] * count))
    return Predictions(pd.DataFrame(rows, columns=prediction_columns(classes)))


def true_uf1(
    clips: Mapping[ClipKey, int], right: float, *, classes: Sequence[str] = MEGC3.classes
) -> float:
    """Compute UF1 of the expected counts of `simulated_predictions`, whatever the spread."""
    sizes = np.bincount(list(clips.values()), minlength=len(classes))
    rates = np.full((len(classes), len(classes)), (1 - right) / (len(classes) - 1))
    np.fill_diagonal(rates, right)
    return float(uf1(sizes[:, None] * rates))


def as_independent(predictions: Predictions) -> Predictions:
    """Make every clip a subject of its own: a bootstrap then resamples clips."""
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
    """Measure how often a 95 % interval holds the true UF1, resampling `subjects` or `clips`."""
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
    """Compute the 95 % interval of UF1 over clips, of one seed.

    The same distribution as that of `as_independent`, at a tenth of the work: a clip is one of the
    cells of the confusion, so that drawing clips is drawing cells.
    """
    counts = confusion_of(predictions)
    total = counts.sum()
    drawn = np.random.default_rng(seed).multinomial(total, counts.ravel() / total, size=resamples)
    values = uf1(drawn.reshape(-1, *counts.shape))
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def power_table(
    clips: Mapping[ClipKey, int],
    rate: float,
    gaps: Sequence[float],
    *,
    studies: int = STUDIES,
    seed: int = 0,
    classes: Sequence[str] = MEGC3.classes,
) -> pd.DataFrame:
    """Measure how often the paired test finds a true difference.

    Two simulated systems predict every clip: one is right with probability `rate`, the other with
    `rate - gap`, independently, and wrong answers fall on the other classes alike. `Found` is the
    share of simulated studies with p below 0.05; for a gap of 0 it is the share of false alarms.

    In truth, answers of one system to one subject are alike, which makes the real test weaker than
    this; two systems that err on the same clips make it stronger.

    Parameters
    ----------
    clips
        The label of every clip, such as `megc2019()` has them.
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
    """Simulate predictions that are right for each clip with this probability."""
    truth = np.array(list(clips.values()), dtype=np.int64)
    wrong = (truth + rng.integers(1, len(classes), len(truth))) % len(classes)
    answers: Ints = np.where(rng.random(len(truth)) < rate, truth, wrong)
    table = pd.DataFrame([key._asdict() for key in clips])
    folds = table["dataset"] + "/" + table["subject"]
    table = table.assign(fold=folds, seed=0, epoch=0, truth=truth, prediction=answers)
    return Predictions(table.reindex(columns=prediction_columns(classes)))


@dataclass(frozen=True, eq=False)
class EpochPredictions:
    """The predicted class of every held-out clip after every epoch.

    Shapes
    ------
    guesses : (E, n)
    labels : (n,)
    subjects : (n,), `dataset/subject`
    """

    guesses: Ints
    labels: Ints
    subjects: NDArray[np.str_]
    classes: int


def collect_epoch_predictions(run: RunFolder, seed: int) -> EpochPredictions:
    """Read the predictions of all epochs that a run under `oracle_test` has kept, for one seed.

    Raises
    ------
    InputError
        If the run had another epoch rule.
    """
    folds = [
        fold for fold in run.records() if fold["seed"] == seed and fold.get("epoch_predictions")
    ]
    if not folds:
        raise InputError(
            f"no predictions of all epochs are kept for seed {seed}",
            where=run.path,
            hint="run it with evaluation.epoch_rule=oracle_test",
        )
    rows = [row for fold in folds for row in fold["predictions"]]
    return EpochPredictions(
        np.concatenate(
            [np.array(fold["epoch_predictions"], dtype=np.int64) for fold in folds], axis=1
        ),
        np.array([row["truth"] for row in rows], dtype=np.int64),
        np.array([row["fold"] for row in rows]),
        len(classes_of(rows[0])),
    )


def best_epoch_predictions(predictions: EpochPredictions, counts: Sequence[int]) -> Ints:
    """Predict with each subject's best epoch among the last `count` epochs, the first of equals.

    A count of 1 is the rule `last`; as many as there are epochs is `oracle_test`.

    Shapes
    ------
    returns : (len(counts), n)

    Raises
    ------
    InputError
        If a count is not between one and the number of epochs.
    """
    epochs, clips = predictions.guesses.shape
    wrong = [count for count in counts if not 1 <= count <= epochs]
    if wrong:
        problem = f"{wrong[0]} test-set evaluations in {epochs} epochs"
        raise InputError(problem, hint=f"take 1 to {epochs}")
    names, subject = np.unique(predictions.subjects, return_inverse=True)
    member = np.eye(len(names), dtype=np.float32)[subject]  # (n, P)
    hits = (predictions.guesses == predictions.labels).astype(np.float32) @ member  # (E, P)
    best = np.stack([epochs - count + hits[epochs - count :].argmax(0) for count in counts])
    return np.asarray(predictions.guesses[best[:, subject], np.arange(clips)])


def uf1_by_evaluations(predictions: EpochPredictions, counts: Sequence[int]) -> Doubles:
    """Compute pooled UF1 for each number of test-set evaluations. (len(counts),)."""
    answers = best_epoch_predictions(predictions, counts)
    return np.array(
        [float(uf1(confusion(predictions.labels, guess, predictions.classes))) for guess in answers]
    )


def chance_predictions(
    labels: Ints, subjects: NDArray[np.str_], epochs: int, rng: np.random.Generator
) -> EpochPredictions:
    """Simulate a model without knowledge: in every epoch, classes drawn by their frequency."""
    shares = np.bincount(labels) / len(labels)
    drawn = rng.random((epochs, len(labels)))
    guesses = np.searchsorted(shares.cumsum()[:-1], drawn, side="right")
    return EpochPredictions(guesses, labels, subjects, len(shares))


def chance_uf1(
    labels: Ints,
    subjects: NDArray[np.str_],
    counts: Sequence[int],
    *,
    draws: int = 20,
    seed: int = 0,
) -> Doubles:
    """Compute UF1 of models without knowledge, by test-set evaluations. (draws, len(counts)).

    With one evaluation it is near 1/K for K classes: precision and recall of a class are both its
    share, and the shares add up to one.
    """
    rng, epochs = np.random.default_rng(seed), max(counts)
    drawn = (chance_predictions(labels, subjects, epochs, rng) for _ in range(draws))
    return np.stack([uf1_by_evaluations(one, counts) for one in drawn])


def evaluation_counts(epochs: int) -> list[int]:
    """List 1, 2, 5, 10, 20, 50 and so on up to the number of epochs, which is the last."""
    steps = [step * 10**power for power in range(len(str(epochs))) for step in (1, 2, 5)]
    return [*(step for step in steps if step < epochs), epochs]


def permuted_uf1(
    predictions: Predictions,
    *,
    within: Within = "all",
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> Doubles:
    """Compute UF1 after the truth has been permuted over the clips; several seeds are averaged.

    Parameters
    ----------
    within
        Permute labels among all clips, those of a data set, or those of a subject. The last keeps
        what a system may know of a subject's most frequent class.

    Shapes
    ------
    returns : (permutations,)
    """
    if within not in ("all", "dataset", "subject"):
        raise unknown_name("group", within, ("all", "dataset", "subject"))
    table = predictions.table.assign(owner=predictions.subjects, everyone="all")
    column = {"all": "everyone", "dataset": "dataset", "subject": "owner"}[within]
    k = len(predictions.classes)
    offsets = k * k * np.arange(permutations)[:, None]  # of the cells of each permutation
    per_seed = []
    for _, rows in table.groupby("seed"):
        rng = np.random.default_rng(seed)  # the same permutations for every seed
        groups = np.unique(rows[column].to_numpy(str), return_inverse=True)[1]
        truth, guess = rows["truth"].to_numpy(np.int64), rows["prediction"].to_numpy(np.int64)
        cells = permuted(truth, groups, permutations, rng) * k + guess + offsets
        counts = np.bincount(cells.ravel(), minlength=k * k * permutations)
        per_seed.append(uf1(counts.reshape(-1, k, k)))
    return np.asarray(np.mean(per_seed, axis=0))


def peeking_null(
    predictions: EpochPredictions, *, permutations: int = 200, seed: int = 0
) -> Doubles:
    """Compute UF1 of each subject's best epoch where the truth was permuted *before* the choice.

    That is what peeking makes of answers that have nothing to do with the labels.

    Shapes
    ------
    returns : (permutations,)
    """
    rng = np.random.default_rng(seed)
    together = np.zeros(len(predictions.labels), dtype=np.int64)
    truths = permuted(predictions.labels, together, permutations, rng)
    drawn = (replace(predictions, labels=truth) for truth in truths)
    return np.concatenate([uf1_by_evaluations(one, [len(predictions.guesses)]) for one in drawn])


def p_value(null: Doubles, observed: float) -> float:
    """Compute the share of a null distribution that reaches the observed value, itself included."""
    return float((1 + (null >= observed).sum()) / (1 + len(null)))
