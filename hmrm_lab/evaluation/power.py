"""How large a difference a data set of this size can show, by simulation."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from hmrm_lab.evaluation.significance import permutation_test
from hmrm_lab.records import CLASSES, PREDICTION_COLUMNS, ClipKey, Ints, Predictions

LEVEL = 0.05
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
                simulate(clips, rate, rng), simulate(clips, rate - gap, rng), draws=DRAWS, seed=n
            )
            for n in range(studies)
        ]
        found = float(np.mean([test.p_value < LEVEL for test in tests]))
        mean = float(np.mean([test.difference for test in tests]))
        rows.append((gap, mean, found, studies))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def simulate(clips: Mapping[ClipKey, int], rate: float, rng: np.random.Generator) -> Predictions:
    """Predictions of a system that is right about each clip with this probability."""
    truth = np.array(list(clips.values()), dtype=np.int64)
    wrong = (truth + rng.integers(1, len(CLASSES), len(truth))) % len(CLASSES)
    answers: Ints = np.where(rng.random(len(truth)) < rate, truth, wrong)
    table = pd.DataFrame([key._asdict() for key in clips])
    table = table.assign(
        fold=table["dataset"] + "/" + table["subject"], seed=0, epoch=0, truth=truth
    ).assign(prediction=answers)
    return Predictions(table.reindex(columns=list(PREDICTION_COLUMNS)))
