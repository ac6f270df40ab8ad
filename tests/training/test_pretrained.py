"""Weights learnt on drawn faces before the data: the same for every fold, kept, and no more."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import make_flowset, quick_config

from hmrm_lab.config import ExperimentConfig, load_config, override
from hmrm_lab.errors import ConfigError
from hmrm_lab.flow.estimator import estimator
from hmrm_lab.flow.gru_attention import load_weights, save_weights
from hmrm_lab.records import PX, RELATIVE
from hmrm_lab.runtime.store import cache_folder
from hmrm_lab.studies.experiment import run_experiment
from hmrm_lab.training import pretrained, trainer
from hmrm_lab.training.pretrained import starting_weights
from hmrm_lab.training.trainer import fit

FIRST = ("training.pretrain_epochs=2", "input.normalise=median_rms")
CLIPS = make_flowset(seed=1)


def first(*overrides: str, system: str = "mlp") -> ExperimentConfig:
    return quick_config(system, *FIRST, "training.epochs=1", *overrides)


@pytest.fixture(autouse=True)
def drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Toy maps in place of drawn faces; a name for every time that they were asked for."""
    monkeypatch.setenv("HMRM_CACHE", str(tmp_path / "cache"))
    asked: list[str] = []

    def load(config: ExperimentConfig) -> object:
        asked.append(config.data.name)
        return make_flowset(seed=5)

    monkeypatch.setattr(trainer, "load_flowset", load)
    return asked


def test_a_training_begins_with_what_was_learnt_before(drawn: list[str]) -> None:
    config = first("training.lr=1e-30")
    model = fit(config, CLIPS, seed=0).model
    before = fit(pretrained.drawn_settings(config), make_flowset(seed=5), seed=0)
    assert before.config.training.epochs == 2
    for name, value in before.model.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], value)
    assert drawn == ["synthetic"]


def test_it_is_made_once_for_a_seed_and_again_if_lost(drawn: list[str], tmp_path: Path) -> None:
    answer = fit(first(), CLIPS, seed=0).classify(CLIPS)
    for times in (1, 2):
        assert (fit(first(), CLIPS, seed=0).classify(CLIPS) == answer).all()
        assert len(drawn) == times
        for file in (cache_folder() / "pretrained").iterdir():
            file.write_bytes(b"half")
    config = first("evaluation.seeds=[0, 1]")
    run = run_experiment(config, out=tmp_path / "runs", flowset=CLIPS)
    assert run.metrics()["complete"]
    assert len(drawn) == 4, "once for each seed: no fold and no final model made its own"


def test_it_belongs_to_the_very_flow_the_drawing_and_its_subjects(
    drawn: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights, network = tmp_path / "flow.safetensors", load_weights()
    config = first("flow.name=gru_attention", f"flow.weights={weights}")
    for seen, factor in ((["casme2/sub01"], 1), ([], 1), ([], 1.01)):
        next(network.parameters()).data.mul_(factor)
        save_weights(weights, network, subjects=seen)
        estimator.cache_clear()
        fit(config, CLIPS, seed=0)
    assert len(drawn) == 2, "once for each network, whatever its file is called"
    monkeypatch.setattr(pretrained, "DRAWING", 0)
    fitted = fit(config, CLIPS, seed=0)
    assert len(drawn) == 3
    people = {f"toy/s{number:02d}" for number in range(1, 5)}
    assert {*fitted.subjects} == people | {f"{one} of seed 1" for one in people}
    own, before = starting_weights(config, CLIPS, 0)
    assert (own["setting"], own["subjects"]) == ("flow.weights", [])
    assert (before["setting"], len(before["subjects"])) == ("training.pretrain_epochs", 4)
    save_weights(weights, network, subjects=["casme2/sub01"])
    monkeypatch.setattr(pretrained, "DRAWING", -1)
    still = override(config, ["augment.rotate_deg=0"])  # it would mix u and v of such maps
    published = fit(still, replace(CLIPS, unit="relative"), seed=0)
    assert "casme2/sub01" in published.subjects, "the flow of the drawn faces"


def test_drawn_faces_are_not_learnt_before_from_the_people_of_the_test() -> None:
    maps = load_config("default", data="flowmaps", overrides=["training.pretrain_epochs=1"])
    for config, seed in ((first(), 1), (first("data.seed=4"), 5), (maps, 0)):
        assert pretrained.drawn_settings(config).data.options["seed"] == seed


def test_a_super_network_draws_its_steps_from_the_data_alone() -> None:
    steps = ("model.super_steps=4", "training.epochs=3", "training.batch=8")
    clips = make_flowset(seed=1, subjects=2, per_subject=4)
    for more in (FIRST, ()):
        fitted = fit(quick_config("ammsm_temporal", *steps, *more), clips, seed=0)
        assert fitted.model.state_dict()["steps"] == 3, "one an epoch; none of those before"


@pytest.mark.parametrize(
    ("config", "size", "message"),
    [
        (first("input.normalise=none"), 28, "set input.normalise=median_rms"),
        (first("flow.finetune=true"), 28, "training.pretrain_epochs or flow.finetune out"),
        (first(system="resnet18"), 56, "maps of 28 pixels, the data 56"),
    ],
)
def test_what_cannot_be_is_refused(config: ExperimentConfig, size: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        fit(config, make_flowset(size=size), seed=0)


def test_drawn_faces_are_normalised_as_the_maps_that_follow(drawn: list[str]) -> None:
    config = first("augment.rotate_deg=0")
    units = (replace(CLIPS, unit=unit) for unit in (PX, RELATIVE))
    pixels, relative = (trainer.pretrained_weights(config, 0, one) for one in units)
    assert len(drawn) == 2
    assert any(not torch.equal(value, relative[name]) for name, value in pixels.items())
