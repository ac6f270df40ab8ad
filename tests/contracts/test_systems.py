"""What every registered system must do; a new one is tested by being registered."""

import tomllib

import numpy as np
import pytest
import torch
from conftest import make_flowset, quick_config, with_pictures

from hmrm_lab.config import ExperimentConfig, load_config
from hmrm_lab.errors import MixtureError
from hmrm_lab.registry import systems
from hmrm_lab.runtime.store import to_toml
from hmrm_lab.training.learner import build_model
from hmrm_lab.training.trainer import fit

NETWORKS = [name for name in systems if not systems[name].is_estimator]  # others: test_estimators
READERS = (
    *(("hmrm", "tokens=pixels"), ("hmrm", "tokens=windows")),
    *(("atm_gcn", ""), ("fmanet", ""), ("slstt", ""), ("tsfmicro", "")),
)
each_network = pytest.mark.parametrize("system", NETWORKS)


def maps_of(config: ExperimentConfig, clips: int = 5) -> torch.Tensor:
    torch.manual_seed(0)
    side = config.input.side(28)
    return torch.randn(clips, len(config.input.channels), side, side)


@each_network
def test_every_parameter_gets_a_gradient(system: str) -> None:
    for preset, classes in (("smoke", 3), ("default", 5)):
        config = load_config(preset, system=system)
        model = build_model(config, 28, classes).eval()
        logits = model(maps_of(config))
        assert logits.shape == (5, logits.shape[1], classes)
        assert logits.isfinite().all()
        (logits * torch.randn_like(logits)).sum().backward()
        dead = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().any()]
        assert not dead, preset


def test_a_sequence_is_read_in_order_by_some_and_refused_by_all_others() -> None:
    readers = {name for name in systems if (card := systems[name].card) and card.sequences}
    for system in set(NETWORKS) - readers | {"svm"}:
        with pytest.raises(MixtureError, match=f"'{system}' reads one map of a clip; set input.fr"):
            load_config(system=system, overrides=["input.frames=8"])
    for system, option in READERS:
        overrides = ["input.frames=8", *[f"model.{option}"] * bool(option)]
        config = load_config("smoke", system=system, overrides=overrides)
        model, readers = build_model(config, 28, 3).eval(), readers - {system}
        maps = maps_of(config, 5 * 8).unflatten(0, (5, 8)).cumsum(1)
        logits = model(maps)
        assert not torch.allclose(logits, model(maps.flip(1)), rtol=1e-4), "time has a direction"
        if system == "hmrm":
            assert torch.equal(model(maps[:, :1]), model(maps[:, 0])), "one map, as ever"
        (logits * torch.randn_like(logits)).sum().backward()
        assert all(p.grad.abs().any() for p in model.parameters()), system
    assert not readers


@pytest.mark.slow
@each_network
def test_overfits_eight_clips(system: str) -> None:
    plain = ["training.epochs=60", "training.lr=5e-3", "training.schedule=cosine"]
    still = ["model.dropout=0"] if "dropout" in systems[system].options.model_fields else []
    config = quick_config(system, "augment.motionmix=0", *plain, *still)
    eight = with_pictures(make_flowset(subjects=2, per_subject=4))
    assert (fit(config, eight, seed=0).classify(eight).argmax(1) == eight.labels).all()


@each_network
def test_same_seed_same_probabilities_though_a_single_clip_is_left_over(system: str) -> None:
    """Batch normalisation has nothing to compare one clip with once its map is 1x1."""
    small = ["model.side=32"] if "side" in systems[system].options.model_fields else []
    config = quick_config(system, "training.epochs=1", "training.batch=4", *small)
    five = with_pictures(make_flowset(subjects=1, per_subject=5))
    first, second = (fit(config, five, seed=7) for _ in range(2))
    assert np.isfinite(first.losses).all()
    assert (first.classify(five) == second.classify(five)).all()


def test_settings_come_back_and_the_card_says_whose_it_is() -> None:
    for system in systems:
        config = load_config("default", system=system)
        tables = tomllib.loads(to_toml(config.model_dump(mode="json")))
        assert ExperimentConfig.model_validate(tables) == config
        card = systems[system].card
        assert card is not None, system
        assert all((systems[system].source, card.citation, card.idea, *card.departures)), system
        assert card.departures or card.fidelity == "faithful", system


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@each_network
def test_cuda_gives_what_the_cpu_gives(system: str) -> None:
    config = quick_config(system)
    model, maps = build_model(config, 28, 3).eval(), maps_of(config)
    with torch.no_grad():
        there, here = model.cuda()(maps.cuda()).cpu(), model.cpu()(maps)
        torch.testing.assert_close(there, here, atol=1e-4, rtol=1e-3)
