"""Reliability against numbers made by hand."""

import numpy as np
import pandas as pd
import pytest

from hmrm_lab.datasets.classes import MEGC3
from hmrm_lab.evaluation.calibration import (
    bin_of,
    calibration_words,
    expected_calibration_error,
    reliability,
)
from hmrm_lab.records import Predictions, prediction_columns


def made(rows: list[tuple[float, bool]], seeds: int = 1) -> Predictions:
    """From (probability of the predicted class, whether it was right)."""
    records = [
        ("toy", f"s{n}", f"c{n}", f"toy/s{n}", n % seeds, 1, 0 if right else 1, 0)
        + (sure, *[(1 - sure) / 2] * 2)
        for n, (sure, right) in enumerate(rows)
    ]
    return Predictions(pd.DataFrame(records, columns=prediction_columns(MEGC3.classes)))


ROWS = [(0.5, True), (0.5, False), (0.7, True), (0.65, False), (0.75, True), (0.9, True)]


def test_bins_by_hand() -> None:
    bins = reliability(made(ROWS))
    assert [part.count for part in bins] == [0, 0, 2, 3, 1]
    assert [part.accuracy for part in bins[2:]] == pytest.approx([0.5, 2 / 3, 1])
    assert [part.probability for part in bins[2:]] == pytest.approx([0.5, 0.7, 0.9])
    assert np.isnan(bins[0].accuracy)
    by_hand = (2 * 0 + 3 * (0.7 - 2 / 3) + 1 * 0.1) / 6
    assert expected_calibration_error(bins) == pytest.approx(by_hand)


def test_a_bin_begins_at_its_lower_edge_and_the_last_holds_1() -> None:
    bins = reliability(made([(0.6, True), (1.0, True), (0.4, False)]))
    assert [part.count for part in bins] == [0, 0, 1, 1, 1]
    assert bin_of(bins, 0.6) is bins[3]
    assert bin_of(bins, 0.5999) is bins[2]
    assert bin_of(bins, 1.0) is bins[4]


def test_a_run_that_is_as_right_as_it_is_sure_has_no_error() -> None:
    rows = [(0.75, number % 4 > 0) for number in range(40)]
    assert expected_calibration_error(reliability(made(rows))) == pytest.approx(0)


def test_the_sentence_says_what_such_predictions_were_worth() -> None:
    rows = [(0.7, number < 22) for number in range(40)]
    assert calibration_words(made(rows), 0.65) == (
        "In this run, predictions made with 60 % to 80 % were right in 55 % of 40 clips of unseen "
        "subjects. Its expected calibration error is 15 %."
    )
    assert "right in 55 % of 40 answers (2 seeds, unseen subjects)" in calibration_words(
        made(rows, seeds=2), 0.65
    )
    assert "of 3 clips of unseen subjects. That is too few" in calibration_words(made(ROWS), 0.7)
    assert "no prediction was made with 20 % to 40 %" in calibration_words(made(ROWS), 0.35)


def test_a_log_without_probabilities_says_so() -> None:
    assert "holds no probabilities" in calibration_words(made([(np.nan, True)]), 0.7)
