from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from hmrm_lab.datasets.recordings.findings import megc2019
from hmrm_lab.errors import ConfigError
from hmrm_lab.evaluation.peeking import (
    blind_looks,
    p_value,
    peeking_null,
    permuted,
    permuted_uf1,
    uf1_by_looks,
)
from hmrm_lab.evaluation.significance import pooled
from hmrm_lab.evaluation.simulate import simulated_predictions
from hmrm_lab.records import Predictions


def test_labels_change_places_within_their_groups_only() -> None:
    labels = np.arange(7)
    groups = np.array([2, 0, 1, 0, 2, 2, 0])
    dealt = permuted(labels, groups, 50, np.random.default_rng(0))
    for group in range(3):
        members = np.flatnonzero(groups == group)
        assert (np.sort(dealt[:, members], axis=1) == members).all()
    assert len(np.unique(dealt, axis=0)) > 20


def test_a_permutation_of_everybody_is_uniform() -> None:
    dealt = permuted(np.arange(3), np.zeros(3, int), 6000, np.random.default_rng(0))
    _, counts = np.unique(dealt, axis=0, return_counts=True)
    assert len(counts) == 6
    assert counts.min() > 900


def test_constant_answers_score_the_same_however_truth_is_dealt() -> None:
    predictions = simulated_predictions(megc2019(), right=0.7)
    constant = Predictions(predictions.table.assign(prediction=0))
    null = permuted_uf1(constant, permutations=20)
    expected = 2 * 250 / (250 + 442) / 3
    assert null == pytest.approx(np.full(20, expected))


def test_skill_lies_beyond_its_null() -> None:
    predictions = simulated_predictions(megc2019(), right=0.7)
    null = permuted_uf1(predictions, permutations=300)
    assert pooled(predictions, "uf1") > null.max()
    assert p_value(null, pooled(predictions, "uf1")) == pytest.approx(1 / 301)


def test_within_persons_of_one_class_nothing_changes() -> None:
    clips = {key: 0 if key.subject < "sub14" else 2 for key in megc2019() if key.dataset != "samm"}
    predictions = simulated_predictions(clips, right=0.7)
    null = permuted_uf1(predictions, within="subject", permutations=10)
    assert null == pytest.approx(np.full(10, pooled(predictions, "uf1")))
    assert permuted_uf1(predictions, within="all", permutations=10).max() < null.min()


def test_seeds_are_permuted_alike() -> None:
    one = simulated_predictions(megc2019(), right=0.7)
    twice = Predictions(pd.concat([one.table, one.table.assign(seed=1)], ignore_index=True))
    assert permuted_uf1(one, permutations=10) == pytest.approx(permuted_uf1(twice, permutations=10))


def test_an_unknown_group_is_refused() -> None:
    with pytest.raises(ConfigError, match="did you mean 'subject'"):
        permuted_uf1(simulated_predictions(megc2019(), right=0.7), within="subjekt")


def test_the_null_of_peeking_fits_what_peeking_makes_of_nothing() -> None:
    clips = megc2019()
    labels, persons = np.array(list(clips.values())), np.array([key.person for key in clips])
    looks = blind_looks(labels, persons, 30, np.random.default_rng(1))
    null = peeking_null(looks, permutations=40)
    reached = float(uf1_by_looks(looks, [30])[0])
    assert null.min() > 0.5
    assert abs(reached - null.mean()) < 5 * null.std()
    one = peeking_null(replace(looks, guesses=looks.guesses[:1]), permutations=40)
    assert one.mean() == pytest.approx(1 / 3, abs=0.03)


def test_p_value_closed_form() -> None:
    null = np.array([0.1, 0.2, 0.3, 0.4])
    assert p_value(null, 0.35) == 2 / 5
    assert p_value(null, 0.4) == 2 / 5
    assert p_value(null, 0.0) == 1
