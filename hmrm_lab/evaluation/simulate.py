"""Predictions of people made up by a known rule, to try statistics where the truth is known."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from hmrm_lab.datasets.classes import MEGC3
from hmrm_lab.errors import InputError
from hmrm_lab.evaluation.metrics import confusion_of, uf1
from hmrm_lab.evaluation.significance import LEVEL, RESAMPLES, bootstrap_interval, permutation_test
from hmrm_lab.records import ClipKey, Ints, Predictions, prediction_columns


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
