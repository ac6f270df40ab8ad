"""A recording through a run's system, from the files to the answer."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import make_flowset, make_framed_flowset, quick_config, tuned_config
from reporting.made_runs import figures_of, make_run
from safetensors.torch import load_file

import hmrm_lab as lab
from hmrm_lab.config.sections import FacesConfig
from hmrm_lab.datasets.classes import MEGC3
from hmrm_lab.datasets.images import RecordedFrames
from hmrm_lab.datasets.recordings.manifest import write_manifest
from hmrm_lab.datasets.synthetic import synthetic
from hmrm_lab.datasets.video import open_recording
from hmrm_lab.errors import DivergedError, HmrmError, InputError
from hmrm_lab.evaluation.recording_prediction import hold_still
from hmrm_lab.faces.face import Face
from hmrm_lab.faces.landmarks import PARTS, face_in_frame, reduce_masks
from hmrm_lab.preparation import compute_flowset, load_clips
from hmrm_lab.preparation.crops import crop_clip
from hmrm_lab.records import RELATIVE, Clip
from hmrm_lab.runtime.store import RunFolder
from hmrm_lab.studies import prepare
from hmrm_lab.studies.experiment import run_experiment
from hmrm_lab.studies.predict import find_run, predict_recording, settle_flow
from hmrm_lab.studies.prepare import chosen_recording, find_own_clip, recording_clip
from hmrm_lab.training.learner import build_model
from hmrm_lab.training.trainer import MODEL_NAME, classify, fit, load_model, save_model

OPEN = {"onset": 0, "apex": -1, "offset": -1}
TEMPLATE = FacesConfig(name="template")
Held = tuple[Path, Clip]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A short run on the built-in faces, which learns their action units as well."""
    plan = ("training.epochs=12", "training.lr=3e-3", "loss.action_units=0.5")
    config = quick_config("hmrm", *plan)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HMRM_CACHE", str(tmp_path_factory.mktemp("cache")))
        return run_experiment(config, out=tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def held_out(tmp_path_factory: pytest.TempPathFactory) -> Held:
    """A clip of people that the run has not seen, as a folder of frames, and the clip itself."""
    clips = load_clips(quick_config("hmrm", "data.seed=5", "data.subjects=2", "data.clips=2"))
    assert clips is not None
    root = tmp_path_factory.mktemp("clips")
    write_manifest(clips[:1], root / "clips.csv", None)
    return root / clips[0].key.subject / clips[0].key.clip, clips[0]


def test_the_answer_is_that_of_the_model_on_the_map(run: RunFolder, held_out: Held) -> None:
    path, clip = held_out
    seen = predict_recording(
        path, run, onset=clip.onset, apex=clip.apex, offset=clip.offset, provider="template"
    )
    cropped = crop_clip(replace(clip, frames=open_recording(path).frames), TEMPLATE).clip
    flowset = compute_flowset([cropped], run.config().flow)  # the steps, without `predict`
    model = build_model(run.config(), 28, 3, len(seen.units))
    model.load_state_dict(load_file(run.path / MODEL_NAME))
    assert (seen.motion == flowset.maps[0]).all()
    found = classify(model, run.config(), flowset)[0]
    assert [*seen.probabilities, *seen.units.values()] == pytest.approx(found, abs=1e-6)
    assert seen.as_dict()["action_units"].keys() == seen.units.keys() > {"AU4", "AU12"}
    assert (seen.apex, seen.apex_is, seen.face) == (clip.apex, "given", "template")
    assert (seen.parts["elsewhere"] == ~np.any([seen.parts[name] for name in PARTS], axis=0)).all()
    winner = MEGC3.classes.index(seen.answer)
    held = hold_still(flowset.maps[0], reduce_masks(seen.parts["mouth"][None], 28))
    without = classify(model, run.config(), replace(flowset, maps=held))[0]
    fall = seen.probabilities[winner] - without[winner]
    assert seen.part_falls["mouth"] == pytest.approx(fall, abs=1e-6)
    assert any("nothing about people" in words for words in seen.caveats)
    seen = predict_recording(path, run, provider="template")
    assert (seen.apex_is, seen.offset) == ("spotted", seen.frames - 1)
    assert abs(seen.apex - clip.known_apex) <= 2


def test_many_clips_are_answered_as_each_alone(run: RunFolder, held_out: Held) -> None:
    path, clip = held_out
    clips = lab.load("manifest", root=path.parents[1])
    lost = replace(clips[0], frames=RecordedFrames((path / "lost.png",) * len(clip.frames)))
    clips = lab.Clips(clips.config, clips.root, [lost, clips[0]])
    table = lab.predict(clips, run.path, faces="template")
    marks = {"onset": clip.onset, "apex": clip.apex, "offset": clip.offset}
    alone = predict_recording(path, run, **marks, provider="template")
    assert table["prediction"].tolist() == ["", alone.answer]
    assert "lost.png: no such frame" in table["problem"][0]
    row = table.iloc[1]
    assert (*row[["subject", "clip", "label"]],) == (*clip.key[1:], clip.expression)
    assert (row["apex"], row["apex is"], row["face"]) == (clip.apex, "given", "template")
    assert list(row[[f"p_{name}" for name in alone.classes]]) == list(alone.probabilities)
    assert set(table.attrs["caveats"]) <= set(alone.caveats)
    with pytest.raises(InputError, match="onset, apex and offset of many clips"):
        lab.predict(clips, run.path, apex=3)
    table = path.parents[1] / "clips.csv"
    table.write_text(table.read_text().replace(f",{clip.expression},", ",,"))
    clips = lab.load("manifest", root=table.parent, faces="template")
    assert lab.prepare(clips)["clips"] == {"usable": 1, "left out": 0}
    with pytest.raises(InputError, match="no clip of data set 'manifest' has a label to learn"):
        clips.maps()


def test_no_figure_depends_on_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, flowset = quick_config(), make_flowset(subjects=2)
    without = run_experiment(config, out=tmp_path / "a", flowset=flowset, final_model=False)
    with_it = run_experiment(config, out=tmp_path / "b", flowset=flowset)
    assert figures_of(without) == figures_of(with_it)
    assert not (without.path / MODEL_NAME).exists()
    first = (with_it.path / MODEL_NAME).read_bytes()
    run_experiment(config, out=tmp_path / "a", flowset=flowset)
    assert (without.path / MODEL_NAME).read_bytes() == first, "added later, it is the same"

    def diverge(*_: object, **__: object) -> None:
        raise DivergedError("the loss is nan in epoch 1; lower training.lr")

    monkeypatch.setattr("hmrm_lab.studies.experiment.fit", diverge)
    run_experiment(config, out=tmp_path / "b", flowset=flowset)  # it is not trained again
    (without.path / MODEL_NAME).unlink()
    with pytest.raises(HmrmError, match=r"failed \(diverged: the loss is nan.*are kept"):
        run_experiment(config, out=tmp_path / "a", flowset=flowset)
    assert without.metrics()["complete"]


def test_a_fine_tuned_flow_is_applied_once(tmp_path: Path, held_out: Held) -> None:
    flowset = make_framed_flowset(subjects=2)
    fitted = fit(tuned_config(), flowset, seed=0)
    settled, seen = settle_flow(fitted, flowset)
    assert seen.frames is None
    assert settled.classify(seen) == pytest.approx(fitted.classify(flowset), abs=1e-4)
    config = tuned_config("flow.finetune_side_px=56", "data.subjects=2", "data.clips=4")
    tuned = run_experiment(config, out=tmp_path)
    assert np.isfinite(predict_recording(held_out[0], tuned, provider="template").motion).all()
    assert load_model(tuned.path / MODEL_NAME, config, 28).config == config


def test_the_newest_run_with_a_model_is_taken_and_hmrm_before_others(tmp_path: Path) -> None:
    models = (("old", "hmrm"), ("demo/new", "hmrm"), ("last", "ststnet"))
    for number, (out, system) in enumerate(models):
        made = make_run(tmp_path / out, make_flowset(), system=system)
        (made.path / MODEL_NAME).touch()
        os.utime(made.path / MODEL_NAME, (number, number))
    assert find_run(runs=tmp_path).path.parent == tmp_path / "demo/new"
    plain = make_run(tmp_path, make_flowset())
    with pytest.raises(InputError, match="has no model; give its `hmrm run` command again"):
        find_run(plain.path)
    control = quick_config("hmrm", "evaluation.control=shuffled_labels")
    shuffled = run_experiment(control, out=tmp_path, flowset=make_flowset(subjects=2))
    with pytest.raises(InputError, match="a control run keeps no model"):
        find_run(shuffled.path)


def test_without_a_face_there_is_no_answer(run: RunFolder, tmp_path: Path) -> None:
    pytest.importorskip("dlib", reason="the extra 'faces' is not installed")
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((120, 160, 3), 90, np.uint8))
    nobody = predict_recording(tmp_path, run)
    assert (nobody.answer, nobody.face) == ("no answer", "missing")
    assert [warning.code for warning in nobody.warnings] == ["no_face", "no_face"]
    assert np.isnan(nobody.probabilities).all()
    with pytest.raises(HmrmError, match=r"no answer\. No face in the onset, frame 0\."):
        nobody.require()
    assert predict_recording(tmp_path, run, provider="template").require().apex_is == "guessed"


def test_no_frame_after_the_apex_is_needed(run: RunFolder, held_out: Held, tmp_path: Path) -> None:
    path, clip = held_out
    shutil.copytree(path, tmp_path, dirs_exist_ok=True)
    marks = {"onset": clip.onset, "apex": clip.apex, "provider": "template"}
    whole = predict_recording(tmp_path, run, **marks)
    assert whole.offset is None
    damaged = sorted(tmp_path.glob("*.png"))[clip.offset]
    damaged.write_bytes(damaged.read_bytes()[:-40] + b"\0" * 28 + damaged.read_bytes()[-12:])
    assert predict_recording(tmp_path, run, **marks).probabilities == pytest.approx(
        whole.probabilities
    )


def test_published_maps_and_pixels_do_not_mix(tmp_path: Path, held_out: Held) -> None:
    pixels = make_flowset(subjects=2)
    relative = replace(pixels, unit=RELATIVE)
    for system, changes in (("svm", ()), ("mlp", ("augment.rotate_deg=0",))):
        config = quick_config(system, *changes)
        run = run_experiment(config, out=tmp_path, flowset=relative)
        with pytest.raises(InputError, match="it has learnt from ready-made maps"):
            predict_recording(held_out[0], run)
        for maps, others in ((relative, pixels), (pixels, relative)):
            save_model(tmp_path / "model", fit(config, maps, seed=0))
            model = load_model(tmp_path / "model", config, 28)
            assert model.classify(maps).shape == (len(maps), 3)
            with pytest.raises(InputError, match="was trained on maps in unit"):
                model.classify(others)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare.write_drawn_recording(
        tmp_path_factory.mktemp("films") / "sub" / "face.avi", seed=3
    )


def found(frame: np.ndarray) -> Face | None:
    face = face_in_frame(*frame.shape[:2])
    return Face(face.box, face.points, 1.0, "mine")


def test_a_drawn_face_is_filmed_in_a_larger_picture(video: Path, tmp_path: Path) -> None:
    clip, drawn = recording_clip(video), synthetic(subjects=2, clips=2, seed=3)[0]
    assert clip.fps == drawn.fps
    assert (clip.onset, clip.apex, clip.offset) == (0, None, len(drawn.frames) - 1)
    assert tuple(clip.key) == ("recording", "unknown", "face")
    other = recording_clip(prepare.write_drawn_recording(tmp_path / "other.avi", seed=4)).frames[0]
    assert (other != clip.frames[0]).any()


def test_its_apex_is_spotted_or_given_or_guessed(video: Path, tmp_path: Path) -> None:
    own = find_own_clip(recording_clip(video), found)
    true = synthetic(subjects=2, clips=2, seed=3)[0].apex
    assert own.apex_is == "spotted"
    assert own.recorded.apex == own.upright.apex == own.curve.apex
    assert abs(own.recorded.apex - true) <= 2
    given = find_own_clip(recording_clip(video, apex=3), found)
    assert (given.apex_is, given.recorded.apex) == ("given", 3)
    part = find_own_clip(recording_clip(video, onset=2, offset=9), found)
    assert 2 < part.recorded.apex <= 9
    for number in range(6):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((64, 64, 3), 90, np.uint8))
    assert find_own_clip(recording_clip(tmp_path), found).apex_is == "guessed"


def test_no_face_is_a_sentence_unless_the_mean_face_will_do(video: Path) -> None:
    with pytest.raises(InputError, match=r"face: no face found in any of .* film the face"):
        find_own_clip(recording_clip(video), lambda frame: None)
    trusted = find_own_clip(recording_clip(video), lambda frame: None, trust=True)
    assert trusted.track.counts()["none"] == 0
    seen: list[float] = []
    finder = prepare.cached_faces(lambda frame: seen.append(frame.mean()))
    for shade in (1, 2, 1):
        finder(np.full((8, 8, 3), shade, np.uint8))
    assert seen == [1, 2], "a frame is looked at once"


def test_the_parameters_of_a_notebook_and_what_cannot_be_used(video: Path, tmp_path: Path) -> None:
    path, clip = chosen_recording("", tmp_path / "runs", 3, **OPEN)
    assert (clip.apex, clip.offset) == (None, len(clip.frames) - 1)
    marked = {"onset": 1, "apex": 5, "offset": 8}
    path, clip = chosen_recording(str(video), tmp_path / "unused", 3, **marked)
    assert (path, clip.onset, clip.apex, clip.offset) == (video, 1, 5, 8)
    for marks, words in (
        ({"onset": 900}, "onset 900 and offset .* do not fit"),
        ({"offset": 0}, "do not fit"),
        ({"apex": 2.5}, "apex '2.5' is no frame number"),
    ):
        with pytest.raises(InputError, match=words):
            chosen_recording(str(video), video.parent, 0, **{**OPEN, **marks})
    cv2.imwrite(str(tmp_path / "1.png"), np.full((64, 64, 3), 90, np.uint8))
    with pytest.raises(InputError, match="motion takes two"):
        recording_clip(tmp_path)
