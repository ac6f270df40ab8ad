import numpy as np
import pytest

from hmrm_lab.datasets.recordings.findings import megc2019
from hmrm_lab.errors import InputError
from hmrm_lab.evaluation.significance import bootstrap_interval, bootstrap_samples, pooled
from hmrm_lab.evaluation.simulate import (
    as_independent,
    clip_interval,
    coverage,
    simulated_predictions,
    true_uf1,
)
from hmrm_lab.records import ClipKey


def many(persons: int, each: int) -> dict[ClipKey, int]:
    return {
        ClipKey("made", f"p{person:04d}", f"c{clip}"): (person + clip) % 3
        for person in range(persons)
        for clip in range(each)
    }


def shares_right(spread: float) -> np.ndarray:
    table = simulated_predictions(many(400, 50), right=0.7, spread=spread).table
    return (table["truth"] == table["prediction"]).groupby(table["subject"]).mean().to_numpy()


def test_as_many_are_right_as_asked_and_persons_differ_as_asked() -> None:
    alike, differing = shares_right(0.0), shares_right(0.2)
    assert alike.mean() == pytest.approx(0.7, abs=0.02)
    assert differing.mean() == pytest.approx(0.7, abs=0.03)
    chance = 0.7 * 0.3 / 50  # of a mean over 50 clips
    assert alike.std() == pytest.approx(chance**0.5, rel=0.1)
    assert differing.std() == pytest.approx((0.2**2 * 49 / 50 + chance) ** 0.5, rel=0.1)


def test_the_truth_is_what_many_people_give() -> None:
    clips = many(3000, 6)
    found = pooled(simulated_predictions(clips, right=0.75, spread=0.2), "uf1")
    assert found == pytest.approx(true_uf1(clips, 0.75), abs=0.015)
    assert true_uf1(clips, 0.75) == pytest.approx(0.75), "for classes of equal size"


@pytest.mark.parametrize(("right", "spread"), [(1.0, 0.0), (0.5, 0.5), (0.5, -0.1)])
def test_impossible_people_are_refused(right: float, spread: float) -> None:
    with pytest.raises(InputError, match=f"no chances with mean {right}"):
        simulated_predictions(many(2, 2), right=right, spread=spread)


def test_every_clip_becomes_a_person_and_no_number_changes() -> None:
    predictions = simulated_predictions(megc2019(), right=0.7)
    alone = as_independent(predictions)
    assert alone.persons.nunique() == 442
    assert pooled(alone, "uf1") == pooled(predictions, "uf1")


def test_people_who_differ_widen_the_interval_over_subjects() -> None:
    answers = simulated_predictions(many(30, 15), right=0.7, spread=0.25)
    by_person, by_clip = (
        bootstrap_samples(of, "uf1", resamples=400).std()
        for of in (answers, as_independent(answers))
    )
    assert by_person > 1.4 * by_clip


def test_drawing_cells_is_drawing_clips() -> None:
    answers = simulated_predictions(megc2019(), right=0.7, spread=0.2)
    cells = clip_interval(answers, resamples=2000)
    clips = bootstrap_interval(as_independent(answers), "uf1", resamples=1000, seed=1)
    assert cells == pytest.approx(clips, abs=0.008)


def test_an_interval_over_clips_promises_too_much() -> None:
    held = coverage(many(30, 15), right=0.7, spread=0.25, repeats=40, resamples=150)
    assert held["subjects"] >= 0.8
    assert held["clips"] <= held["subjects"] - 0.15
