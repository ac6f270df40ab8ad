"""A trained system on disk: what goes in comes out, and nothing else is taken."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import make_flowset, make_framed_flowset, quick_config, tuned_config
from safetensors.torch import load_file, save_file

from hmrm_lab.datasets.classes import MEGC3
from hmrm_lab.errors import InputError
from hmrm_lab.runtime.store import PROCEDURAL, UNKNOWN, read_subjects, write_weights
from hmrm_lab.training.learner import build_model
from hmrm_lab.training.model_file import load_model, save_model
from hmrm_lab.training.trainer import fit


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    save_model(path, fit(quick_config(), make_flowset(), seed=0))
    return path


def header(**changes: object) -> dict[str, str]:
    known = {"settings": quick_config().digest(), "classes": list(MEGC3.classes), "unit": "px"}
    return {"hmrm": json.dumps({**known, **changes})}


def refusal(path: Path, *overrides: str) -> str:
    with pytest.raises(InputError) as caught:
        load_model(path, quick_config("hmrm", *overrides), 28)
    return str(caught.value)


@pytest.mark.parametrize("system", ["hmrm", "ststnet"])
def test_the_same_answers_come_back(system: str, tmp_path: Path) -> None:
    config, flowset = quick_config(system), make_flowset()
    fitted = fit(config, flowset, seed=0)
    save_model(tmp_path / "m", fitted)
    again = load_model(tmp_path / "m", config, 28)
    assert (again.classify(flowset) == fitted.classify(flowset)).all()


def test_a_flow_that_was_fine_tuned_comes_with_it(tmp_path: Path) -> None:
    config, flowset = tuned_config("training.lr=0.01"), make_framed_flowset(subjects=2)
    fitted = fit(config, flowset, seed=0)
    save_model(tmp_path / "m", fitted)
    again = load_model(tmp_path / "m", config, 28)
    assert (again.classify(flowset) == fitted.classify(flowset)).all()
    moved = [name for name in load_file(tmp_path / "m") if name.startswith("motion.network.")]
    assert moved


def test_a_model_says_whose_recordings_it_has_seen(tmp_path: Path) -> None:
    """Those of its training, and those behind the weights that this began with."""
    people = [f"toy/s{n:02d}" for n in range(1, 5)]
    path, clips = tmp_path / "m.safetensors", make_flowset(per_subject=3)
    learnt = ("flow.name=gru_attention",)
    cases = {
        "hmrm": (learnt, "px", [PROCEDURAL]),  # of the shipped flow
        "svm": (learnt, "px", [PROCEDURAL]),
        "mlp": ((), "px", []),
        "ststnet": (learnt, "relative", []),  # maps came ready-made
        "resnet18": ((f"model.weights={path}", "model.width=0.125"), "relative", ["a/b"]),
    }
    for system, (overrides, unit, more) in cases.items():
        if more == ["a/b"]:
            narrow = quick_config("resnet18", "model.width=0.125")
            write_weights(path, build_model(narrow, 28, 3).state_dict(), subjects=more)
        epochs = () if system == "svm" else ("training.epochs=1",)
        config = quick_config(system, *epochs, *overrides)
        save_model(tmp_path / "m", fit(config, replace(clips, unit=unit), seed=0))
        assert read_subjects(tmp_path / "m") == sorted([*people, *more]), system
    other = quick_config("mlp", "training.epochs=1", "data.seed=3")
    assert fit(other, clips, seed=0).subjects[0] == "toy/s01 of seed 3"
    for metadata in (None, {"hmrm": "{"}, {"hmrm": '{"subjects": 3}'}, {"hmrm": "[]"}):
        save_file({"a": torch.zeros(1)}, path, metadata)
        assert read_subjects(path) == [UNKNOWN]
    path.write_bytes(b"no weights")
    assert read_subjects(path) == read_subjects(tmp_path / "none") == [UNKNOWN]


def test_a_file_that_is_no_model_is_refused(saved: Path) -> None:
    whole = saved.read_bytes()
    for content in (b"", b"\x80\x04pickle", whole[:200], whole[:-8]):
        saved.write_bytes(content)
        assert "not readable as a model" in refusal(saved)


def test_the_model_of_other_settings_or_classes_is_refused(saved: Path) -> None:
    assert "a run with other settings" in refusal(saved, "training.lr=0.5")
    tensors = load_file(saved)
    save_file(tensors, saved, header(classes=["a", "b", "c", "d"]))
    assert "do not fit" in refusal(saved)
    for wrong in (None, [], [1, 2], ["b", "a"], ["a", "a"]):
        save_file(tensors, saved, header(classes=wrong))
        assert "does not say its classes" in refusal(saved)
    for metadata in (None, {"hmrm": "[1]"}, {"hmrm": "{"}):
        save_file(tensors, saved, metadata)
        assert "a run with other settings" in refusal(saved)


def test_weights_that_do_not_fit_or_are_not_finite_are_refused(saved: Path) -> None:
    tensors = load_file(saved)
    name = next(iter(tensors))
    save_file({**tensors, name: torch.zeros(2, 2, 2)}, saved, header())
    assert "do not fit" in refusal(saved)
    save_file({**tensors, "more": torch.zeros(1)}, saved, header())
    assert "do not fit" in refusal(saved)
    save_file({**tensors, name: torch.full_like(tensors[name], torch.nan)}, saved, header())
    assert "not finite" in refusal(saved)
    save_file(tensors, saved, header())
    load_model(saved, quick_config(), 28)
