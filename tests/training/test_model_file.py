"""A trained system on disk: what goes in comes out, and nothing else is taken."""

import json
from pathlib import Path

import pytest
import torch
from conftest import make_flowset, make_framed_flowset, quick_config, tuned_config
from safetensors.torch import load_file, save_file

from hmrm_lab.errors import InputError
from hmrm_lab.records import CLASSES
from hmrm_lab.training.model_file import load_model, save_model
from hmrm_lab.training.trainer import fit


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    save_model(path, fit(quick_config(), make_flowset(), seed=0))
    return path


def header(**changes: object) -> dict[str, str]:
    known = {"settings": quick_config().digest(), "classes": list(CLASSES), "unit": "px"}
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


def test_a_file_that_is_no_model_is_refused(saved: Path) -> None:
    whole = saved.read_bytes()
    for content in (b"", b"\x80\x04pickle", whole[:200], whole[:-8]):
        saved.write_bytes(content)
        assert "not readable as a model" in refusal(saved)


def test_the_model_of_other_settings_or_classes_is_refused(saved: Path) -> None:
    assert "a run with other settings" in refusal(saved, "training.lr=0.5")
    tensors = load_file(saved)
    save_file(tensors, saved, header(classes=["a", "b", "c"]))
    assert "a run with other classes" in refusal(saved)
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
