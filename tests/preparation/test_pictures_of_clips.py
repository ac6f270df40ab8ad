"""Pictures beside flow maps, and flow of both phases: from frames to what a network is given."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import grid_masks, make_flowset, quick_config, with_pictures
from datasets.test_flowmaps import write_tree

import hmrm_lab.preparation.clip_arrays as clipwise
from hmrm_lab.config import load_config
from hmrm_lab.config.sections import PICTURE_SIDE_PX
from hmrm_lab.datasets.synthetic import write_clips
from hmrm_lab.errors import ConfigError, InputError
from hmrm_lab.evaluation.recording_prediction import hide_in_pictures
from hmrm_lab.flow.motion_maps import select_channels
from hmrm_lab.preparation import load_clips, load_flowset
from hmrm_lab.preparation.dynamic_image import clip_pictures, standardise
from hmrm_lab.records import PICTURES
from hmrm_lab.registry import systems
from hmrm_lab.runtime.store import cache_folder
from hmrm_lab.studies.experiment import run_experiment
from hmrm_lab.studies.predict import predict_recording
from hmrm_lab.training.augmentation import flip, jitter
from hmrm_lab.training.learner import build_model
from hmrm_lab.training.system_inputs import all_channels
from hmrm_lab.training.trainer import fit

FEW = ("data.subjects=2", "data.clips=4", "flow.name=dis")
MESTI = ("input.channels=['mesti']", "augment.motionmix=0")


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HMRM_CACHE", str(tmp_path / "cache"))


def test_pictures_come_with_the_settings_that_name_them_and_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = load_flowset(quick_config("resnet18", *FEW))
    assert plain.pictures is None
    config = quick_config("resnet18", *FEW, *MESTI)
    made = load_flowset(config)
    assert made.pictures is not None
    assert made.pictures.shape == (4, len(PICTURES), PICTURE_SIDE_PX, PICTURE_SIDE_PX)
    assert (made.maps == plain.maps).all()
    assert made.fingerprint() != plain.fingerprint()
    np.testing.assert_allclose(np.sqrt((made.pictures**2).mean((2, 3))), 1, atol=1e-4)
    np.testing.assert_allclose(made.pictures[:, :2].mean((2, 3)), 0, atol=1e-4)
    clip = load_clips(config)[1]
    assert (made.pictures[1] == clip_pictures(clip)).all()
    assert len(list(cache_folder().glob("synthetic-pictures-*.npz"))) == 1
    monkeypatch.setattr(clipwise, "make_all", lambda *_, **__: pytest.fail("made again"))
    assert load_flowset(config).fingerprint() == made.fingerprint()
    few = made.take([3, 1])
    assert (few.pictures == made.pictures[[3, 1]]).all()
    with pytest.raises(ValueError, match="pictures must be"):
        replace(made, pictures=made.pictures[:, :2])
    assert (standardise(np.full((4, 4), 7, np.float32)) == 0).all()


def test_channels_are_maps_enlarged_and_pictures_behind_them() -> None:
    flowset = with_pictures(make_flowset())
    config = quick_config(
        "resnet18", "input.channels=['mesti','u','magnitude','onset']", "augment.motionmix=0"
    )
    given = all_channels(config, flowset)
    assert given.shape == (len(flowset), 7, PICTURE_SIDE_PX, PICTURE_SIDE_PX)
    chosen = select_channels(given, config.input.channels)
    assert (chosen[:, 0].numpy() == flowset.pictures[:, 3]).all()
    assert (chosen[:, 3].numpy() == flowset.pictures[:, 0]).all()
    torch.testing.assert_close(chosen[:, 2], (given[:, 0] ** 2 + given[:, 1] ** 2).sqrt())
    small = torch.nn.functional.avg_pool2d(given[:, :3], 2)
    plain = all_channels(quick_config("resnet18"), flowset)
    assert (small - plain).abs().mean() < 0.35 * plain.abs().mean()


def test_a_mirror_and_a_turn_change_the_vectors_and_no_picture() -> None:
    maps = torch.randn(6, 7, 20, 20)
    mirrored = flip(maps)
    assert torch.equal(mirrored[:, 0], -maps[:, 0].flip(-1))
    assert torch.equal(mirrored[:, 1:], maps[:, 1:].flip(-1))
    even = torch.ones(6, 7, 20, 20)
    turned = jitter(even, flips=False, shift_px=0, scale=0.0, rotate_deg=30.0)
    torch.testing.assert_close(turned[:, 2:], even[:, 2:])
    torch.testing.assert_close(turned[:, :2].square().sum(1), 2 * torch.ones(6, 20, 20))
    assert not torch.equal(turned[:, :2], even[:, :2])


FLOW_SYSTEMS = [
    name
    for name in systems
    if systems[name].takes == "flow maps" and not (systems[name].card and systems[name].card.needs)
]


@pytest.mark.parametrize("system", FLOW_SYSTEMS)
def test_any_system_of_maps_takes_a_picture_instead(system: str) -> None:
    config = quick_config(
        system,
        "input.channels=['mesti']",
        *([] if systems[system].is_estimator else ["augment.motionmix=0", "training.epochs=1"]),
    )
    flowset = with_pictures(make_flowset(subjects=3, per_subject=3))
    answers = fit(config, flowset, seed=0).classify(flowset)
    assert answers.shape == (len(flowset), 3)
    other = replace(flowset, maps=flowset.maps[::-1].copy())
    assert (fit(config, other, seed=0).classify(other) == answers).all(), "it saw the flow"


def test_what_cannot_go_together_is_refused() -> None:
    for overrides, message in (
        (("input.channels=['mesti']", "augment.motionmix=0.5"), "set augment.motionmix=0"),
        ((*MESTI, "flow.finetune=true"), "set flow.finetune=false"),
        (("flow.phases=both", "flow.finetune=true"), "set flow.finetune=false"),
        (("input.channels=['mestu']",), "input.channels"),
    ):
        with pytest.raises(ConfigError, match=message):
            load_config("default", system="hmrm", overrides=overrides)


def test_maps_alone_are_refused(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "maps")
    for overrides, what, hint in (
        (MESTI, "takes mesti", "leave input.channels out"),
        (("flow.phases=both",), "from apex to offset", "leave flow.phases out"),
        ((*MESTI, "flow.phases=both"), "takes mesti", "leave input.channels and flow.phases out"),
    ):
        config = quick_config("resnet18", "data.name=flowmaps", *overrides)
        words = f"'flowmaps' has no frames.*{what}.*; {hint}, or take data with frames"
        with pytest.raises(InputError, match=words):
            load_flowset(config, root)
    with pytest.raises(InputError, match="has no frames"):
        mesti = quick_config("resnet18", "data.name=flowmaps", *MESTI)
        run_experiment(mesti, out=tmp_path / "runs", flowset=make_flowset())


def test_settings_without_both_phases_keep_their_digest() -> None:
    config = load_config("default")
    changed = config.model_copy(update={"flow": config.flow.model_copy(update={"phases": "both"})})
    assert "phases" not in config.flow.choice
    assert changed.digest() != config.digest()


def test_both_phases_are_other_maps_and_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    rise = load_flowset(quick_config("hmrm", *FEW))
    config = quick_config("hmrm", *FEW, "flow.phases=both")
    both = load_flowset(config)
    assert both.maps.shape == rise.maps.shape
    assert not (both.maps == rise.maps).all()
    alike = [
        float(np.corrcoef(one[:2].ravel(), two[:2].ravel())[0, 1])
        for one, two in zip(rise.maps, both.maps, strict=True)
    ]
    assert min(alike) > 0.5, "the same movement, seen twice"
    monkeypatch.setattr(clipwise, "make_all", lambda *_, **__: pytest.fail("made again"))
    assert load_flowset(config).fingerprint() == both.fingerprint()


def test_regions_of_pictures_are_hidden() -> None:
    pictures = np.ones((2, 8, 8), np.float32)
    hidden = hide_in_pictures(pictures, grid_masks(4)[5:6])
    assert (hidden[0, :, 2:4, 2:4] == 0).all()
    assert hidden.sum() == 2 * (64 - 4)


def test_a_recording_through_a_system_of_pictures(tmp_path: Path) -> None:
    config = quick_config(
        "resnet18", *FEW, "input.channels=['u','mesti']", "augment.motionmix=0", "flow.phases=both"
    )
    run = run_experiment(config, out=tmp_path / "runs")
    assert run.metrics()["flow"] == "dis, both phases"
    clip = load_clips(quick_config("resnet18", "data.seed=5", *FEW))[0]
    root = write_clips([clip], tmp_path / "clips").parent
    seen = predict_recording(
        root / clip.key.subject / clip.key.clip,
        run,
        onset=clip.onset,
        apex=clip.apex,
        offset=clip.offset,
        provider="template",
    )
    assert np.isclose(seen.probabilities.sum(), 1)
    assert np.isfinite(list(seen.part_falls.values())).all()


def test_a_model_is_built_for_the_side_that_it_is_given() -> None:
    config = quick_config("hmrm", *MESTI)
    model = build_model(config, 28, 3)
    assert model(torch.randn(2, 1, PICTURE_SIDE_PX, PICTURE_SIDE_PX)).shape[0] == 2
