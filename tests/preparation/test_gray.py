"""Clips as gray pictures of one size and length, and systems that are given them."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import grid_masks, make_clip_flowset, make_flowset, quick_config
from datasets.test_flowmaps import write_tree
from safetensors.torch import load_file
from test_cli import hmrm

import hmrm_lab.preparation.clip_arrays as clipwise
from hmrm_lab.config.sections import FacesConfig
from hmrm_lab.datasets.classes import MEGC3
from hmrm_lab.datasets.synthetic import write_clips
from hmrm_lab.datasets.video import open_recording
from hmrm_lab.errors import InputError
from hmrm_lab.evaluation.recording_prediction import hold_clips_still
from hmrm_lab.evaluation.summary import stamp
from hmrm_lab.faces.align import FaceTrack, align_clip
from hmrm_lab.faces.face import Face, box_around
from hmrm_lab.preparation import load_clips, load_flowset
from hmrm_lab.preparation.clip_arrays import GRAY, make_all
from hmrm_lab.preparation.dynamic_image import GRAY_SIDE_PX as SIDE_PX
from hmrm_lab.preparation.dynamic_image import LENGTH, resample
from hmrm_lab.records import Clip, ClipKey
from hmrm_lab.reporting.tables import display_table, results_table
from hmrm_lab.runtime.store import cache_folder
from hmrm_lab.studies.experiment import run_experiment
from hmrm_lab.studies.predict import predict_recording
from hmrm_lab.training.trainer import MODEL_NAME, load_model

FEW = ("data.subjects=2", "data.clips=4")


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HMRM_CACHE", str(tmp_path / "cache"))


def ramp(frames: int) -> list[np.ndarray]:
    """Even frames that brighten by ten levels each."""
    return [np.full((60, 40, 3), 10 * number, np.uint8) for number in range(frames)]


def test_time_is_interpolated_from_onset_to_offset() -> None:
    clip = Clip(ClipKey("a", "b", "c"), 0, ramp(12), 2, 4, 10, 100.0, classes=MEGC3.classes)
    gray = resample(clip, length=5, side_px=20)
    assert gray.shape == (5, 20, 20)
    assert (gray == np.array([20, 40, 60, 80, 100])[:, None, None]).all()
    between = resample(clip, length=9 * 2 - 1, side_px=20)
    assert between[:4, 0, 0].tolist() == [20, 25, 30, 35]
    still = resample(replace(clip, offset=2), length=4, side_px=20)
    assert (still == 20).all()


def test_only_systems_of_clips_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = load_flowset(quick_config("svm", *FEW))
    assert plain.clips is None
    config = quick_config("lbp_top", *FEW)
    made = load_flowset(config)
    assert made.clips is not None
    assert made.clips.shape == (4, LENGTH, SIDE_PX, SIDE_PX)
    assert (made.maps == plain.maps).all()
    assert made.fingerprint() != plain.fingerprint()
    assert len(list(cache_folder().glob("synthetic-*.npz"))) == 2  # the maps once, and the clips
    few = made.take([3, 1])
    assert (few.clips == made.clips[[3, 1]]).all()
    assert not np.shares_memory(few.clips, made.clips)
    monkeypatch.setattr(clipwise, "make_all", lambda *_, **__: pytest.fail("made again"))
    assert load_flowset(config).fingerprint() == made.fingerprint()
    clip = load_clips(config)[1]
    first = cv2.cvtColor(clip.frames[clip.onset], cv2.COLOR_RGB2GRAY).astype(np.float32)
    small = cv2.resize(first, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA)
    assert (made.clips[1, 0] == small.round()).all()


def test_recordings_are_aligned_and_kept_one_by_one(tmp_path: Path) -> None:
    drawn = load_clips(quick_config("lbp_top", *FEW))[0]
    root = write_clips([drawn], tmp_path / "faces").parent
    frames = open_recording(root / drawn.key.subject / drawn.key.clip).frames
    read = [replace(drawn, frames=frames)]
    assert (make_all(GRAY, read, None)[0] == make_all(GRAY, [drawn], None)[0]).all()
    (kept,) = (cache_folder() / "gray").rglob("*.npz")
    template = FacesConfig(name="template")
    make_all(GRAY, read, template)  # another place of the face is another clip
    assert len(list((cache_folder() / "gray").rglob("*.npz"))) == 2
    kept.write_bytes(b"half a fi")
    assert (make_all(GRAY, read, None)[0] == make_all(GRAY, [drawn], None)[0]).all()


def test_a_face_beside_the_middle_is_brought_to_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wide frame: the crop is what the provider's face says, in every frame the same."""
    drawn = load_clips(quick_config("lbp_top", *FEW))[0]
    wide = [
        cv2.copyMakeBorder(drawn.frames[n], 0, 0, 80, 0, cv2.BORDER_REPLICATE)
        for n in range(len(drawn.frames))
    ]
    points = drawn.frames.landmarks(drawn.onset)
    face, moved = (
        Face(box_around(at), at, 1.0, "exact")
        for at in (points, points + np.array([80, 0], np.float32))
    )
    monkeypatch.setattr("hmrm_lab.preparation.crops._provider", lambda _: lambda frame: moved)
    (aligned,) = make_all(GRAY, [replace(drawn, frames=wide)], FacesConfig(name="template"))
    onset = align_clip(drawn, FaceTrack({drawn.onset: face})).frames[drawn.onset]
    small = cv2.resize(
        cv2.cvtColor(onset, cv2.COLOR_RGB2GRAY), (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA
    )
    assert np.abs(aligned[0].astype(int) - small).mean() < 1


def test_maps_alone_are_refused_with_the_systems_that_take_them(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "maps")
    config = quick_config("lbp_top", "data.name=flowmaps")
    with pytest.raises(InputError, match=r"'flowmaps' has no frames.*bi_woof, .*hmrm, .*svm"):
        load_flowset(config, root)
    with pytest.raises(InputError, match="has no frames, and system 'lbp_top' takes clips"):
        run_experiment(config, out=tmp_path / "runs", flowset=make_flowset())
    assert not (tmp_path / "runs").exists()


def test_regions_of_a_clip_are_held_as_in_its_first_frame() -> None:
    clip = np.arange(3 * 8 * 8, dtype=np.uint8).reshape(3, 8, 8)
    held = hold_clips_still(clip, grid_masks(4)[5:6])
    assert held.shape == (1, 3, 8, 8)
    assert (held[0, :, 2:4, 2:4] == clip[0, 2:4, 2:4]).all()
    elsewhere = np.ones((8, 8), bool)
    elsewhere[2:4, 2:4] = False
    assert (held[0][:, elsewhere] == clip[:, elsewhere]).all()
    flowset = make_clip_flowset(subjects=2)
    with pytest.raises(ValueError, match="clips must be"):
        replace(flowset, clips=flowset.clips[:-1])


def test_a_run_has_no_epochs_no_parameters_and_says_so(tmp_path: Path) -> None:
    config = quick_config("svm", "evaluation.epoch_rule=oracle_test")
    flowset = make_flowset()
    run = run_experiment(config, out=tmp_path, flowset=flowset)
    metrics = run.metrics()
    assert (metrics["epoch_rule"], metrics["peeking"]) == ("none", False)
    assert stamp(metrics).startswith("no epochs, a non-iterative estimator;")
    assert run.data()["parameters"] is None
    network = run_experiment(quick_config("ststnet"), out=tmp_path, flowset=flowset)
    words = display_table(results_table([run, network]))
    assert words["Parameters"].tolist() == ["–", "1.68k"]
    assert words["FLOPs"].iloc[0] == "–"
    again = run_experiment(config, out=tmp_path, flowset=flowset)
    assert again.metrics() == metrics
    fitted = load_model(run.path / MODEL_NAME, config, 28)
    assert fitted.classify(flowset).argmax(1).tolist() == flowset.labels.tolist()


def test_a_recording_through_a_system_of_clips(tmp_path: Path) -> None:
    config = quick_config("lbp_top", "data.subjects=2", "data.clips=8")
    run = run_experiment(config, out=tmp_path / "runs")
    assert run.metrics()["flow"] == "none (clips)"
    clip = load_clips(quick_config("lbp_top", "data.seed=5", *FEW))[0]
    root = write_clips([clip], tmp_path / "clips").parent
    seen = predict_recording(
        root / clip.key.subject / clip.key.clip,
        run,
        onset=clip.onset,
        apex=clip.apex,
        offset=clip.offset,
        provider="template",
    )
    assert seen.probabilities.sum() == pytest.approx(1, abs=1e-5)
    assert np.abs(list(seen.part_falls.values())).max() > 0
    assert set(load_file(run.path / MODEL_NAME)) >= {"support", "coefficients"}


def test_what_cannot_be_run_is_one_sentence(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "maps")
    for more, sentence in (
        (["--system", "lbp_top"], "data set 'flowmaps' has no frames, and system 'lbp_top' takes"),
        (["--system", "svm", "--set", "augment.motionmix=.5"], "no use for augment.motionmix;"),
    ):
        done = hmrm("run", "--data", "flowmaps", "--root", root, *more, cwd=tmp_path)
        assert done.returncode == 2
        assert sentence in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
        assert not (tmp_path / "runs").exists()
