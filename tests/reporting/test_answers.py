import numpy as np
import pandas as pd
import pytest

from hmrm_lab.datasets.classes import MEGC3
from hmrm_lab.errors import ConfigError
from hmrm_lab.records import Predictions, prediction_columns
from hmrm_lab.reporting.answers import answers_table, hard_answers_table


def made(rows: list[tuple[str, str, int, int, float]], seed: int = 0) -> Predictions:
    """From (subject, clip, truth, prediction, its probability)."""
    records = []
    for subject, clip, truth, guess, sure in rows:
        probabilities = np.full(3, (1 - sure) / 2)
        probabilities[guess] = sure
        fold = f"toy/{subject}"
        records.append(("toy", subject, clip, fold, seed, 2, truth, guess, *probabilities))
    return Predictions(pd.DataFrame(records, columns=prediction_columns(MEGC3.classes)))


ROWS = [
    ("s1", "a", 0, 0, 0.9),
    ("s1", "b", 1, 0, 0.6),
    ("s2", "c", 2, 1, 0.8),
    ("s2", "d", 2, 2, 0.5),
]


@pytest.mark.parametrize(
    ("filters", "clips"),
    [
        ({}, "acbd"),
        ({"order": "least confident first"}, "dbca"),
        ({"order": "by clip"}, "abcd"),
        ({"outcome": "wrong"}, "cb"),
        ({"outcome": "right"}, "ad"),
        ({"truth": "surprise"}, "cd"),
        ({"prediction": "negative"}, "ab"),
        ({"person": "toy/s2"}, "cd"),
        ({"dataset": "toy", "truth": "positive", "outcome": "right"}, ""),
    ],
)
def test_filters_and_orders(filters: dict[str, str], clips: str) -> None:
    assert "".join(answers_table(made(ROWS), **filters)["clip"]) == clips


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"outcome": "rong"}, "did you mean 'wrong'"),
        ({"truth": "suprise"}, "did you mean 'surprise'"),
        ({"order": "most confident"}, "did you mean 'most confident first'"),
        ({"person": "toy/s3"}, "unknown person"),
        ({"dataset": "toi"}, "did you mean 'toy'"),
    ],
)
def test_an_unknown_filter_is_refused(filters: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        answers_table(made(ROWS), **filters)


def test_hard_answers_count_seeds_and_systems() -> None:
    two_seeds = Predictions(pd.concat([made(ROWS).table, made(ROWS, seed=1).table]))
    other = made([("s1", "a", 0, 2, 0.7), ("s1", "b", 1, 2, 0.4), *ROWS[2:]])
    table = hard_answers_table({"one": two_seeds, "two": other})
    assert table["clip"].tolist() == ["c", "b", "a"]
    assert table["answers wrong"].tolist() == ["3 of 3", "3 of 3", "1 of 3"]
    assert table["systems wrong"].tolist() == ["2 of 2", "2 of 2", "1 of 2"]
    assert table["taken for"].tolist() == ["positive", "negative", "surprise"]
    assert table["probability"].tolist() == [0.8, 0.6, 0.7]
    assert len(hard_answers_table({"one": two_seeds}, count=1)) == 1


def test_no_clip_wrong_is_an_empty_table() -> None:
    assert hard_answers_table({"one": made([ROWS[0]])}).empty
    with pytest.raises(ValueError, match="no system"):
        hard_answers_table({})
