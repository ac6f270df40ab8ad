"""The measurement behind decision 0017, small."""

import pytest
from conftest import quick_config
from torch import nn, zeros

from hmrm_lab.studies.growth import growth_by, measure

SMALL = ("flow.name=dis", "data.clips=24", "data.subjects=4", "model.magnifier_width=8")
LEARNING = ("training.epochs=30", "training.batch=12", "training.lr=1e-2")


def test_what_moves_is_magnified_more_after_a_training_and_not_before() -> None:
    before, after = measure(quick_config("ammsm_temporal", *SMALL, *LEARNING), seed=0)
    assert before.ratio == pytest.approx(1, abs=0.1)
    assert after.ratio > 1.3 * before.ratio


def test_a_network_without_a_magnifier_is_refused() -> None:
    with pytest.raises(TypeError, match="Linear has no magnifier"):
        growth_by(nn.Linear(1, 1), zeros(1, 3, 28, 28), [])
