"""The training loop: reproducible, pinned, and of the training clips alone."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from conftest import make_flowset, quick_config
from torch.nn.utils import parameters_to_vector

from hmrm_lab.config.sections import TrainingConfig
from hmrm_lab.errors import DivergedError
from hmrm_lab.training.learner import average_weights, rate_schedule, split_batches
from hmrm_lab.training.trainer import Fitted, classify, fit

TOY = make_flowset()
PINNED = [1.530083, 1.149015, 0.873544, 0.633681]


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    return fit(quick_config("hmrm", "training.epochs=4"), TOY, seed=0)


def test_losses_of_a_tiny_run_are_pinned(fitted: Fitted) -> None:
    """A change here means that training changed: say so under "Numbers changed"."""
    assert fitted.losses == pytest.approx(PINNED, rel=1e-3)


def test_same_seed_same_weights_and_the_callers_dice_are_untouched(fitted: Fitted) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    again, other = (fit(fitted.config, TOY, seed=seed) for seed in (0, 1))
    torch.testing.assert_close(torch.rand(3), expected)
    first, same, different = (
        parameters_to_vector(one.model.parameters()) for one in (fitted, again, other)
    )
    assert torch.equal(first, same) and not torch.equal(first, different)


def test_no_clip_is_left_alone() -> None:
    cases = ((9, 4, [4, 5]), (10, 4, [4, 4, 2]), (8, 4, [4, 4]), (1, 4, [1]), (3, 1, [1] * 3))
    for clips, size, lengths in cases:
        batches = split_batches(torch.arange(clips), size)
        assert [len(batch) for batch in batches] == lengths
        assert torch.cat(batches).tolist() == list(range(clips))


def test_each_clip_is_classified_by_itself_from_the_inputs_of_the_model(fitted: Fitted) -> None:
    together = fitted.classify(TOY)
    for row in (0, 7):
        assert fitted.classify(TOY.take([row]))[0] == pytest.approx(together[row], abs=1e-6)
    assert together.sum(1) == pytest.approx(1.0, abs=1e-5)
    answers = fitted.model(fitted.inputs(TOY)).softmax(-1)[:, 0].detach().numpy()
    np.testing.assert_allclose(answers, together, atol=1e-6)
    views = quick_config("hmrm", "evaluation.tta_flip=true", "evaluation.tta_shift_px=1")
    assert abs(classify(fitted.model, views, TOY) - together).max() > 1e-6


def test_divergence_is_an_error() -> None:
    with pytest.raises(DivergedError, match=r"lower training\.lr"):
        fit(quick_config("hmrm", "training.lr=1e30", "training.epochs=20"), TOY, seed=0)


def test_the_average_of_weights_follows_slowly() -> None:
    model = torch.nn.Linear(1, 1, bias=False)
    model.register_buffer("count", torch.tensor(4))
    torch.nn.init.zeros_(model.weight)
    average = average_weights(model, decay=0.5)
    torch.nn.init.ones_(model.weight)
    average.update_parameters(model)
    assert average.module.weight.item() == pytest.approx(1 - 2 / 11)  # warm-up: (1 + 1) / (10 + 1)
    assert average.module.count == 4
    for _ in range(50):
        average.update_parameters(model)
    assert average.module.weight.item() == pytest.approx(1.0, abs=1e-4)


def test_warm_up_and_cosine() -> None:
    factor = rate_schedule(TrainingConfig(epochs=10, schedule="cosine", warmup_epochs=2), steps=5)
    rates = [factor(step) for step in range(50)]
    assert rates[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert (rates[10], rates[30]) == pytest.approx((1.0, 0.5))
    assert all(later < earlier for earlier, later in pairwise(rates[10:]))
