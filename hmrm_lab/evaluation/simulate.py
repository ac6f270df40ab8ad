"""Simulated predictions and null distributions: what statistics, peeking and chance alone give.

Peeking: the best epoch of a subject is chosen by that subject's own answers, as the rule
`oracle_test` does. Among many epochs, even answers drawn at random hold good ones.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from hmrm_lab.datasets.classes import MEGC3
from hmrm_lab.errors import InputError, check_known
from hmrm_lab.evaluation.metrics import Doubles, confusion, confusion_of, uf1
from hmrm_lab.evaluation.significance import (
    RESAMPLES,
    bootstrap_interval,
    interval,
    permutation_test,
    permuted,
)
from hmrm_lab.records import ClipKey, Ints, Predictions, classes_of, prediction_columns
from hmrm_lab.runtime.store import RunFolder

K = len(MEGC3.classes)  # of simulated predictions
POWER_LEVEL = 0.05
Within = Literal["all", "dataset", "subject"]
Clips = Mapping[ClipKey, int]  # the label of every clip, such as `megc2019()` has them


def simulated_predictions(
    clips: Clips, *, right: float, spread: float = 0.0, seed: int = 0
) -> Predictions:
    """Simulate predictions that are right with a probability of each subject's own.

    `clips` has the label of every clip, as `megc2019()` does. `right` is the mean probability over
    subjects; a wrong answer is any other class alike. `spread` is the standard deviation of that
    probability (a beta distribution, or an `InputError` if none has it); with 0 all subjects are
    alike and clips are independent.
    """
    if not 0 < right < 1 or not 0 <= spread < (right * (1 - right)) ** 0.5:
        hint = "take 0 < right < 1 and a spread below the root of right * (1 - right)"
        raise InputError(f"no chances with mean {right} and spread {spread}", hint=hint)
    rng = np.random.default_rng(seed)
    subjects = sorted({key.subject_key for key in clips})
    chance = dict.fromkeys(subjects, right)
    if spread:
        size = right * (1 - right) / spread**2 - 1  # of the beta distribution: a + b
        drawn = rng.beta(right * size, (1 - right) * size, len(subjects))
        chance = dict(zip(subjects, drawn.tolist(), strict=True))
    guesses = []
    for (key, truth), luck in zip(clips.items(), rng.random(len(clips)), strict=True):
        away = 0 if luck < chance[key.subject_key] else int(rng.integers(1, K))
        guesses.append((truth + away) % K)
    return _predictions(clips, guesses)


def simulate(clips: Clips, rate: float, rng: np.random.Generator) -> Predictions:
    """Simulate predictions that are right for each clip with this probability."""
    truth = np.array(list(clips.values()), dtype=np.int64)
    wrong = (truth + rng.integers(1, K, len(truth))) % K
    return _predictions(clips, np.where(rng.random(len(truth)) < rate, truth, wrong))


def _predictions(clips: Clips, guesses: ArrayLike) -> Predictions:
    table = pd.DataFrame(list(clips), columns=list(ClipKey._fields))
    table = table.assign(fold=table["dataset"] + "/" + table["subject"], seed=0, epoch=0)
    table = table.assign(truth=list(clips.values()), prediction=np.asarray(guesses))
    return Predictions(table.reindex(columns=prediction_columns(MEGC3.classes)))


def true_uf1(clips: Clips, right: float) -> float:
    """Compute UF1 of the expected counts of `simulated_predictions`, whatever the spread."""
    sizes = np.bincount(list(clips.values()), minlength=K)
    rates = np.full((K, K), (1 - right) / (K - 1))
    np.fill_diagonal(rates, right)
    return float(uf1(sizes[:, None] * rates))


def as_independent(predictions: Predictions) -> Predictions:
    """Make every clip a subject of its own: a bootstrap then resamples clips."""
    table = predictions.table
    return Predictions(table.assign(subject=table["subject"] + "/" + table["clip"]))


def coverage(
    clips: Clips, *, right: float, spread: float, repeats: int = 200, resamples: int = 300
) -> dict[str, float]:
    """Measure how often a 95 % interval holds the true UF1, resampling `subjects` or `clips`."""
    truth = true_uf1(clips, right)
    held = {"subjects": 0, "clips": 0}
    for repeat in range(repeats):
        answers = simulated_predictions(clips, right=right, spread=spread, seed=repeat)
        low, high = bootstrap_interval(answers, "uf1", resamples=resamples, seed=repeat)
        held["subjects"] += low <= truth <= high
        low, high = clip_interval(answers, resamples=resamples, seed=repeat)
        held["clips"] += low <= truth <= high
    return {name: count / repeats for name, count in held.items()}


def clip_interval(
    predictions: Predictions, *, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    """Compute the 95 % interval of UF1 over clips, as by `as_independent`, from the confusion."""
    counts = confusion_of(predictions)
    total = counts.sum()
    drawn = np.random.default_rng(seed).multinomial(total, counts.ravel() / total, size=resamples)
    return interval(uf1(drawn.reshape(-1, *counts.shape)))


def power_table(
    clips: Clips, rate: float, gaps: Sequence[float], *, studies: int = 200, seed: int = 0
) -> pd.DataFrame:
    """Measure how often the paired test finds a true difference.

    Two simulated systems predict every clip: one is right with probability `rate`, the other with
    `rate - gap`, independently, and wrong answers fall on the other classes alike. `Found` is the
    share of simulated studies with p below 0.05; for a gap of 0 it is the share of false alarms.

    In truth, answers of one system to one subject are alike, which makes the real test weaker than
    this; two systems that err on the same clips make it stronger.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for gap in gaps:
        tests = []
        for number in range(studies):
            ours, theirs = (simulate(clips, r, rng) for r in (rate, rate - gap))
            tests.append(permutation_test(ours, theirs, draws=500, seed=number))
        differences, p_values, _ = zip(*tests, strict=True)
        found = float(np.mean(np.array(p_values) < POWER_LEVEL))
        rows.append((gap, float(np.mean(differences)), found, studies))
    columns = ["True difference", "Mean UF1 difference", "Found", "Studies"]
    return pd.DataFrame(rows, columns=columns)


@dataclass(frozen=True, eq=False)
class EpochPredictions:
    """The predicted class of every held-out clip after every epoch."""

    guesses: Ints  # (E, n)
    labels: Ints  # (n,)
    subjects: NDArray[np.str_]  # (n,), `dataset/subject`
    classes: int


def collect_epoch_predictions(run: RunFolder, seed: int) -> EpochPredictions:
    """Read the predictions of all epochs that a run under `oracle_test` has kept, for one seed."""
    records = (fold for fold in run.records() if fold["seed"] == seed)
    folds = [fold for fold in records if fold.get("epoch_predictions")]
    if not folds:
        problem = f"no predictions of all epochs are kept for seed {seed}"
        hint = "run it with evaluation.epoch_rule=oracle_test"
        raise InputError(problem, where=run.path, hint=hint)
    guesses = np.concatenate([fold["epoch_predictions"] for fold in folds], axis=1, dtype=np.int64)
    rows = [row for fold in folds for row in fold["predictions"]]
    labels = np.array([row["truth"] for row in rows], dtype=np.int64)
    subjects = np.array([row["fold"] for row in rows])
    return EpochPredictions(guesses, labels, subjects, len(classes_of(rows[0])))


def best_epoch_predictions(predictions: EpochPredictions, counts: Sequence[int]) -> Ints:
    """Predict with each subject's best of the last `count` epochs: (len(counts), n).

    A count of 1 is the rule `last`; as many as there are epochs is `oracle_test`.
    """
    epochs, clips = predictions.guesses.shape
    for count in counts:
        if not 1 <= count <= epochs:
            problem = f"{count} test-set evaluations in {epochs} epochs"
            raise InputError(problem, hint=f"take 1 to {epochs}")
    names, subject = np.unique(predictions.subjects, return_inverse=True)
    member = np.eye(len(names), dtype=np.float32)[subject]  # (n, P)
    hits = (predictions.guesses == predictions.labels).astype(np.float32) @ member  # (E, P)
    best = np.stack([epochs - count + hits[epochs - count :].argmax(0) for count in counts])
    return np.asarray(predictions.guesses[best[:, subject], np.arange(clips)])


def uf1_by_evaluations(predictions: EpochPredictions, counts: Sequence[int]) -> Doubles:
    """Compute pooled UF1 for each number of test-set evaluations. (len(counts),)."""
    answers = best_epoch_predictions(predictions, counts)
    labels, classes = predictions.labels, predictions.classes
    return np.array([float(uf1(confusion(labels, guess, classes))) for guess in answers])


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
    predictions: Predictions, *, within: Within = "all", permutations: int = 2000, seed: int = 0
) -> Doubles:
    """Compute UF1 after the truth has been permuted over the clips: (permutations,).

    Several seeds are averaged. Labels are permuted `within` all clips, those of a data set, or
    those of a subject, which keeps what a system may know of a subject's most frequent class.
    """
    check_known("group", within, ("all", "dataset", "subject"))
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
    """Compute UF1 of best epochs for truths permuted *before* the choice. (permutations,)."""
    rng = np.random.default_rng(seed)
    together = np.zeros(len(predictions.labels), dtype=np.int64)
    truths = permuted(predictions.labels, together, permutations, rng)
    drawn = (replace(predictions, labels=truth) for truth in truths)
    return np.concatenate([uf1_by_evaluations(one, [len(predictions.guesses)]) for one in drawn])


def p_value(null: Doubles, observed: float) -> float:
    """Compute the share of a null distribution that reaches the observed value, itself included."""
    return float((1 + (null >= observed).sum()) / (1 + len(null)))
