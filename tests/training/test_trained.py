"""A flow that is trained together with its classifier, and trained systems on disk."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import make_flowset, make_framed_flowset, quick_config, tuned_config
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from hmrm_lab.datasets.classes import MEGC3
from hmrm_lab.errors import InputError
from hmrm_lab.flow.motion_maps import learnt_network
from hmrm_lab.runtime.store import PROCEDURAL, UNKNOWN, read_subjects, write_weights
from hmrm_lab.training.learner import build_model
from hmrm_lab.training.trainer import fit, load_model, save_model

FRAMED = make_framed_flowset()


def weights_of(module: nn.Module) -> Tensor:
    return nn.utils.parameters_to_vector(module.parameters())


@pytest.mark.parametrize("normalise", ["none", "median_rms"])
def test_the_flow_moves_a_little_and_the_pre_trained_one_and_a_frozen_one_do_not(
    normalise: str,
) -> None:
    decay = "training.weight_decay=10"  # of the system alone
    config = tuned_config("training.epochs=3", f"input.normalise={normalise}", decay)
    before = weights_of(learnt_network(config.flow))
    fitted = fit(config, FRAMED, seed=0)
    farthest = 3 * config.training.lr * config.flow.finetune_lr_scale  # Adam: one step, one rate
    assert 0 < (weights_of(fitted.model.motion) - before).abs().max() < 2 * farthest
    frozen = tuned_config("flow.finetune=false")
    with_frames = fit(frozen, FRAMED, seed=0)
    without = fit(frozen, replace(FRAMED, frames=None), seed=0)
    assert not [name for name, _ in with_frames.model.named_parameters() if "motion" in name]
    assert torch.equal(weights_of(with_frames.model), weights_of(without.model))
    assert torch.equal(weights_of(learnt_network(config.flow)), before)


def test_stored_maps_are_not_looked_at_and_the_same_answers_come_back(tmp_path: Path) -> None:
    other = replace(FRAMED, maps=np.zeros_like(FRAMED.maps))
    first, second = (fit(tuned_config(), flowset, seed=1) for flowset in (FRAMED, other))
    assert torch.equal(weights_of(first.model), weights_of(second.model))
    save_model(tmp_path / "m", first)
    again = load_model(tmp_path / "m", tuned_config(), 28)
    for fitted, flowset in ((second, other), (again, FRAMED)):
        assert (fitted.classify(flowset) == first.classify(FRAMED)).all()


def test_a_model_says_whose_recordings_it_has_seen(tmp_path: Path) -> None:
    """Those of its training, and those behind the weights that this began with."""
    people = [f"toy/s{n:02d}" for n in range(1, 5)]
    path, clips = tmp_path / "m.safetensors", make_flowset(per_subject=3)
    narrow = quick_config("resnet18", "model.width=0.125")
    write_weights(path, build_model(narrow, 28, 3).state_dict(), subjects=["a/b"])
    learnt, once = "flow.name=gru_attention", "training.epochs=1"
    own = ("model.width=0.125", f"model.weights={path}")
    for config, unit, more in (
        (quick_config("hmrm", once, learnt), "px", [PROCEDURAL]),  # of the shipped flow
        (quick_config("svm", learnt), "px", [PROCEDURAL]),
        (quick_config("ststnet", once, learnt), "relative", []),  # maps came ready-made
        (quick_config("resnet18", once, *own), "relative", ["a/b"]),
    ):
        save_model(tmp_path / "m", fit(config, replace(clips, unit=unit), seed=0))
        assert read_subjects(tmp_path / "m") == sorted([*people, *more]), config.model.name
    other = quick_config("mlp", once, "data.seed=3")
    assert fit(other, clips, seed=0).subjects[0] == "toy/s01 of seed 3"
    for metadata in (None, {"hmrm": "{"}, {"hmrm": '{"subjects": 3}'}, {"hmrm": "[]"}):
        save_file({"a": torch.zeros(1)}, path, metadata)
        assert read_subjects(path) == [UNKNOWN]
    path.write_bytes(b"no weights")
    assert read_subjects(path) == read_subjects(tmp_path / "none") == [UNKNOWN]


def test_what_is_no_model_of_the_run_is_refused(tmp_path: Path) -> None:
    config, path = quick_config(), tmp_path / "model.safetensors"
    save_model(path, fit(config, make_flowset(), seed=0, epochs=1))
    whole, tensors = path.read_bytes(), load_file(path)
    name = next(iter(tensors))
    known = {"settings": config.digest(), "classes": list(MEGC3.classes), "unit": "px"}

    def saved(tensors: dict[str, torch.Tensor], **changes: object) -> bytes:
        save_file(tensors, path, {"hmrm": json.dumps({**known, **changes})})
        return path.read_bytes()

    no_names = (None, [], [1, 2], ["b", "a"], ["a", "a"])
    for content, problem in (
        *((damaged, "not readable") for damaged in (b"", whole[:200], whole[:-8])),
        (saved(tensors, settings="0"), "a run with other settings"),
        *((saved(tensors, classes=names), "does not say its classes") for names in no_names),
        (saved(tensors, classes=["a", "b", "c", "d"]), "do not fit"),
        (saved(tensors, unit="m"), "does not say the unit"),
        (saved({**tensors, name: torch.zeros(2, 2, 2)}), "do not fit"),
        (saved({**tensors, "more": torch.zeros(1)}), "do not fit"),
        (saved({**tensors, name: tensors[name] * torch.nan}), "not finite"),
    ):
        path.write_bytes(content)
        with pytest.raises(InputError, match=problem):
            load_model(path, config, 28)
