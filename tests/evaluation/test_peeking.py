from pathlib import Path

import numpy as np
import pytest
from conftest import make_flowset, quick_config

from hmrm_lab.datasets.recordings.findings import megc2019
from hmrm_lab.errors import InputError
from hmrm_lab.evaluation.metrics import confusion, uf1
from hmrm_lab.evaluation.peeking import (
    Looks,
    blind_looks,
    blind_uf1,
    collect_looks,
    look_counts,
    peeked,
    uf1_by_looks,
)
from hmrm_lab.evaluation.summary import collect_predictions
from hmrm_lab.studies.experiment import run_experiment

EPOCHS = 5


def small_looks() -> Looks:
    """Two persons with two clips each, three epochs."""
    guesses = np.array([[0, 1, 2, 2], [0, 2, 0, 0], [1, 2, 0, 1]])
    return Looks(guesses, np.array([0, 1, 0, 1]), np.array(["t/a", "t/a", "t/b", "t/b"]), 3)


def composite() -> tuple[np.ndarray, np.ndarray]:
    clips = megc2019()
    return np.array(list(clips.values())), np.array([key.person for key in clips])


def test_each_person_gets_the_best_epoch_of_its_own() -> None:
    answers = peeked(small_looks(), [1, 2, 3])
    assert answers.tolist() == [[1, 2, 0, 1], [0, 2, 0, 1], [0, 1, 0, 1]]


def test_the_first_of_equal_epochs_is_taken() -> None:
    looks = Looks(np.array([[0, 2], [2, 1]]), np.array([0, 1]), np.array(["t/a", "t/a"]), 3)
    assert peeked(looks, [2]).tolist() == [[0, 2]]


@pytest.mark.parametrize("count", [0, 4])
def test_more_looks_than_epochs_are_refused(count: int) -> None:
    with pytest.raises(InputError, match=f"{count} looks at 3 epochs"):
        peeked(small_looks(), [1, count])


def test_one_look_of_a_run_is_the_rule_last_and_all_are_oracle_test(tmp_path: Path) -> None:
    flowset = make_flowset(subjects=3, per_subject=4)
    settings = f"training.epochs={EPOCHS}"
    honest, peeking = (
        run_experiment(
            quick_config("ststnet", settings, f"evaluation.epoch_rule={rule}"),
            out=tmp_path,
            flowset=flowset,
            final_model=False,
        )
        for rule in ("last", "oracle_test")
    )
    looks = collect_looks(peeking, 0)
    assert looks.guesses.shape == (EPOCHS, len(flowset))
    for run, count in ((honest, 1), (peeking, EPOCHS)):
        table = collect_predictions(run).table
        expected = float(
            uf1(confusion(table["truth"].to_numpy(), table["prediction"].to_numpy(), 3))
        )
        assert uf1_by_looks(looks, [count]) == pytest.approx([expected])
    with pytest.raises(InputError, match="no looks at epochs are kept for seed 0"):
        collect_looks(honest, 0)
    with pytest.raises(InputError, match="seed 7"):
        collect_looks(peeking, 7)


def test_more_looks_never_make_fewer_answers_right() -> None:
    labels, persons = composite()
    looks = blind_looks(labels, persons, 60, np.random.default_rng(0))
    right = (peeked(looks, range(1, 61)) == labels).sum(1)
    assert (np.diff(right) >= 0).all()
    assert right[-1] > right[0]


def test_one_look_is_chance_and_many_are_not() -> None:
    scores = blind_uf1(*composite(), [1, 10, 100], draws=20, seed=3).mean(0)
    assert scores[0] == pytest.approx(1 / 3, abs=0.02)
    assert scores[0] + 0.15 < scores[1] < scores[2] - 0.1
    again = blind_uf1(*composite(), [1, 10, 100], draws=20, seed=3).mean(0)
    np.testing.assert_array_equal(scores, again)


def test_blind_answers_have_the_shares_of_the_classes() -> None:
    labels, persons = composite()
    guesses = blind_looks(labels, persons, 200, np.random.default_rng(0)).guesses
    shares = np.bincount(guesses.ravel(), minlength=3) / guesses.size
    np.testing.assert_allclose(shares, np.bincount(labels) / len(labels), atol=0.01)


@pytest.mark.parametrize(
    ("epochs", "counts"), [(1, [1]), (2, [1, 2]), (12, [1, 2, 5, 10, 12]), (100, None)]
)
def test_counts_of_looks_end_with_all(epochs: int, counts: list[int] | None) -> None:
    assert look_counts(epochs) == (counts or [1, 2, 5, 10, 20, 50, 100])
