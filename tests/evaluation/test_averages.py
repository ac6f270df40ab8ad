import numpy as np
import pandas as pd
import pytest

from hmrm_lab.datasets.classes import MEGC3
from hmrm_lab.datasets.recordings.findings import megc2019
from hmrm_lab.evaluation.metrics import uf1_mean_over_folds
from hmrm_lab.evaluation.significance import POOLED, PRESENT, ZERO, fold_scores, three_averages
from hmrm_lab.evaluation.simulate import simulated_predictions
from hmrm_lab.records import Predictions, prediction_columns


def made(rows: list[tuple[str, int, int]]) -> Predictions:
    """From (subject, truth, prediction)."""
    records = [
        ("t", subject, f"c{n}", f"t/{subject}", 0, 1, truth, guess, *[np.nan] * 3)
        for n, (subject, truth, guess) in enumerate(rows)
    ]
    return Predictions(pd.DataFrame(records, columns=prediction_columns(MEGC3.classes)))


def test_closed_form() -> None:
    predictions = made([("a", 0, 0), ("a", 0, 0), ("b", 1, 1), ("b", 2, 1)])
    scores = fold_scores(predictions).set_index("fold")
    assert scores["clips"].tolist() == [2, 2]
    assert scores["classes"].tolist() == [1, 2]
    assert scores["present"].tolist() == pytest.approx([1, 1 / 3])
    assert scores["zero"].tolist() == pytest.approx([1 / 3, 2 / 9])
    averages = three_averages(predictions)
    assert averages[POOLED] == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert averages[PRESENT] == pytest.approx(2 / 3)
    assert averages[ZERO] == pytest.approx(5 / 18)


def test_right_answers_everywhere_are_one_for_two_averages_only() -> None:
    clips = megc2019()
    table = simulated_predictions(clips, right=0.5).table
    perfect = three_averages(Predictions(table.assign(prediction=table["truth"])))
    assert perfect[POOLED] == perfect[PRESENT] == 1
    assert perfect[ZERO] < 0.7


def test_the_composite_has_folds_of_one_class_and_of_one_clip() -> None:
    scores = fold_scores(simulated_predictions(megc2019(), right=0.7))
    assert len(scores) == 68
    assert (scores["classes"] == 1).sum() == 23
    assert (scores["clips"] == 1).sum() == 8


def test_the_mean_is_that_of_the_metrics() -> None:
    predictions = simulated_predictions(megc2019(), right=0.7, spread=0.2)
    assert three_averages(predictions)[PRESENT] == pytest.approx(uf1_mean_over_folds(predictions))
