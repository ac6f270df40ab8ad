from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from conftest import make_flowset, quick_config

from hmrm_lab.config.sections import TrainingConfig
from hmrm_lab.errors import ConfigError, DivergedError
from hmrm_lab.models.handcrafted.flow_histograms import main_directions, weighted_orientations
from hmrm_lab.records import PX, RELATIVE, FlowSet
from hmrm_lab.training.estimators import inputs_of
from hmrm_lab.training.learner import average_weights, rate_schedule, split_batches
from hmrm_lab.training.trainer import classify, fit


def weights_of(fitted) -> torch.Tensor:
    return torch.cat([p.flatten() for p in fitted.model.state_dict().values()])


def test_same_seed_same_weights_and_the_callers_dice_are_untouched(toy_flowset: FlowSet) -> None:
    config = quick_config()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = fit(config, toy_flowset, seed=1)
    torch.testing.assert_close(torch.rand(3), expected)
    torch.testing.assert_close(
        weights_of(first), weights_of(fit(config, toy_flowset, seed=1)), rtol=0, atol=0
    )
    assert not torch.equal(weights_of(first), weights_of(fit(config, toy_flowset, seed=2)))


def test_a_short_training_learns_what_is_plain_to_see() -> None:
    config = quick_config("hmrm", "training.epochs=25", "training.lr=3e-3", "augment.motionmix=0")
    train, test = make_flowset(seed=0), make_flowset(seed=1)
    fitted = fit(config, train, seed=0)
    assert fitted.losses[-1] < 0.5 * fitted.losses[0]
    assert (fitted.classify(test).argmax(1) == test.labels).mean() > 0.9


def test_the_scale_of_a_channel_is_nothing_to_systems_on_published_maps() -> None:
    maps = make_flowset()
    other = replace(maps, maps=maps.maps * np.array([4, 1, 0.5], np.float32)[:, None, None])
    features = {
        "bi_woof": partial(weighted_orientations, blocks=5, bins=8),
        "mdmo": partial(main_directions, grid=6, bins=8),
    }
    for system in ("svm", "bi_woof", "mdmo", "mlp", "hmrm", "resnet18"):
        config = quick_config(system, "input.normalise=median_rms")
        for unit in (RELATIVE, PX):
            one, two = (inputs_of(config, replace(m, unit=unit)) for m in (maps, other))
            describe = features.get(system, np.asarray)
            ours, theirs = (np.stack([describe(clip) for clip in clips]) for clips in (one, two))
            alike = np.abs(ours - theirs).max() < 1e-5 * np.abs(ours).max()
            assert alike == (unit == RELATIVE), (system, unit)
    turned = quick_config("hmrm", "augment.rotate_deg=5", "input.normalise=median_rms")
    with pytest.raises(ConfigError, match="would mix u and v"):
        fit(turned, replace(maps, unit=RELATIVE), seed=0)


def test_losses_of_a_tiny_run_are_pinned(toy_flowset: FlowSet) -> None:
    """A change here means that training changed: say so under "Numbers changed"."""
    losses = fit(quick_config("hmrm", "training.epochs=4"), toy_flowset, seed=0).losses
    assert losses == pytest.approx(PINNED, rel=1e-3)


PINNED = [2.026547, 1.418829, 1.153388, 0.868297]


@pytest.mark.parametrize(
    ("clips", "size", "lengths"),
    [(9, 4, [4, 5]), (10, 4, [4, 4, 2]), (8, 4, [4, 4]), (5, 8, [5]), (1, 4, [1]), (3, 1, [1] * 3)],
)
def test_no_clip_is_left_alone(clips: int, size: int, lengths: list[int]) -> None:
    batches = split_batches(torch.arange(clips), size)
    assert [len(batch) for batch in batches] == lengths
    assert torch.cat(batches).tolist() == list(range(clips))


def test_partners_come_from_the_training_clips(toy_flowset: FlowSet) -> None:
    fitted = fit(quick_config("hmrm", "augment.motionmix=1.0"), toy_flowset.take(range(12)), seed=0)
    assert set(fitted.partners) <= {"toy/s01", "toy/s02"}
    assert fitted.partners


def test_probabilities_of_a_clip_do_not_depend_on_its_company(toy_flowset: FlowSet) -> None:
    fitted = fit(quick_config("ststnet"), toy_flowset, seed=0)
    together = fitted.classify(toy_flowset)
    for row in (0, 7):
        alone = fitted.classify(toy_flowset.take([row]))[0]
        assert alone == pytest.approx(together[row], abs=1e-6)
    assert together.sum(1) == pytest.approx(1.0, abs=1e-5)


def test_inputs_are_what_the_model_answers_to(toy_flowset: FlowSet) -> None:
    fitted = fit(quick_config(), toy_flowset, seed=0, epochs=1)
    inputs = fitted.inputs(toy_flowset)
    assert inputs.shape == (len(toy_flowset), 3, 28, 28)
    with torch.no_grad():
        answers = fitted.model(inputs).softmax(-1)[:, 0].numpy()
    np.testing.assert_allclose(answers, fitted.classify(toy_flowset), atol=1e-6)


def test_views_are_averaged(toy_flowset: FlowSet) -> None:
    fitted = fit(quick_config(), toy_flowset, seed=0)
    once = classify(fitted.model, quick_config(), toy_flowset)
    views = quick_config("hmrm", "evaluation.tta_flip=true", "evaluation.tta_shift_px=1")
    assert abs(classify(fitted.model, views, toy_flowset) - once).max() > 1e-6


def test_divergence_is_an_error(toy_flowset: FlowSet) -> None:
    config = quick_config("hmrm", "training.lr=1e30", "training.epochs=20")
    with pytest.raises(DivergedError, match=r"lower training\.lr"):
        fit(config, toy_flowset, seed=0)


def test_the_average_of_weights_follows_slowly() -> None:
    model = torch.nn.Linear(1, 1, bias=False)
    model.weight.data.fill_(0.0)
    model.register_buffer("count", torch.tensor(3))
    average = average_weights(model, decay=0.5)
    model.weight.data.fill_(1.0)
    model.count += 1
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


def test_a_training_that_ends_early_is_the_whole_one_up_to_there(toy_flowset: FlowSet) -> None:
    config = quick_config("mlp", "training.epochs=6", "training.schedule=cosine")
    whole = fit(config, toy_flowset, seed=0).losses
    for epochs in (1, 4, 6):
        assert fit(config, toy_flowset, seed=0, epochs=epochs).losses == whole[:epochs]
