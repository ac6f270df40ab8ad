"""A recording through a run's system, from the files to the answer."""

import os
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import make_flowset, make_framed_flowset, quick_config, tuned_config
from reporting.made_runs import make_run
from safetensors.torch import load_file

from hmrm_lab.config.sections import FacesConfig
from hmrm_lab.datasets.classes import MEGC3
from hmrm_lab.datasets.synthetic import write_clips
from hmrm_lab.datasets.video import open_recording
from hmrm_lab.errors import DivergedError, HmrmError, InputError
from hmrm_lab.evaluation.recording_prediction import hold_still
from hmrm_lab.faces.landmarks import PARTS, reduce_masks
from hmrm_lab.preparation import compute_flowset, load_clips
from hmrm_lab.preparation.crops import crop_clip
from hmrm_lab.records import RELATIVE, Clip, ClipKey, FlowSet
from hmrm_lab.runtime.store import RunFolder
from hmrm_lab.studies.experiment import run_experiment
from hmrm_lab.studies.predict import find_run, predict_recording, settle_flow
from hmrm_lab.training.learner import build_model
from hmrm_lab.training.trainer import MODEL_NAME, classify, fit, load_model, save_model

FIGURES = ("metrics.json", "predictions.csv", "history.csv")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A short run on the built-in faces."""
    config = quick_config("hmrm", "training.epochs=12", "training.lr=3e-3")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HMRM_CACHE", str(tmp_path_factory.mktemp("cache")))
        return run_experiment(config, out=tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def held_out(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Clip]:
    """A clip of people that the run has not seen, as a folder of frames, and the clip itself."""
    clips = load_clips(quick_config("hmrm", "data.seed=5", "data.subjects=2", "data.clips=2"))
    assert clips is not None
    root = write_clips(clips[:1], tmp_path_factory.mktemp("clips")).parent
    return root / clips[0].key.subject / clips[0].key.clip, clips[0]


def flowset_of(path: Path, clip: Clip, run: RunFolder) -> FlowSet:
    """The clip's map by the steps of the preparation, without `predict`."""
    frames = open_recording(path).frames
    marked = Clip(
        ClipKey("a", "b", "c"),
        0,
        frames,
        clip.onset,
        clip.apex,
        clip.offset,
        0.0,
        classes=MEGC3.classes,
    )
    crop = crop_clip(marked, FacesConfig(name="template")).clip
    assert crop is not None
    return compute_flowset([crop], run.config().flow)


def test_the_answer_is_that_of_the_model_on_the_map(
    run: RunFolder, held_out: tuple[Path, Clip]
) -> None:
    path, clip = held_out
    seen = predict_recording(
        path, run, onset=clip.onset, apex=clip.apex, offset=clip.offset, provider="template"
    )
    flowset = flowset_of(path, clip, run)
    model = build_model(run.config(), 28, 3)
    model.load_state_dict(load_file(run.path / MODEL_NAME))
    assert (seen.motion == flowset.maps[0]).all()
    assert seen.probabilities == pytest.approx(classify(model, run.config(), flowset)[0], abs=1e-6)
    assert seen.probabilities.sum() == pytest.approx(1, abs=1e-5)
    assert (seen.apex, seen.apex_is, seen.face) == (clip.apex, "given", "template")
    assert set(seen.part_falls) == {*PARTS, "elsewhere"}
    assert (seen.parts["elsewhere"] == ~np.any([seen.parts[name] for name in PARTS], axis=0)).all()
    winner = MEGC3.classes.index(seen.answer)
    for name in ("mouth", "elsewhere"):
        held = hold_still(flowset.maps[0], reduce_masks(seen.parts[name][None], 28))
        without = classify(model, run.config(), replace(flowset, maps=held))[0]
        expected = seen.probabilities[winner] - without[winner]
        assert seen.part_falls[name] == pytest.approx(expected, abs=1e-6)
    assert seen.caveats[0].startswith("In this run")
    assert any("nothing about people" in words for words in seen.caveats)


def test_the_apex_is_spotted_where_none_is_given(
    run: RunFolder, held_out: tuple[Path, Clip]
) -> None:
    seen = predict_recording(held_out[0], run, provider="template")
    assert seen.apex_is == "spotted"
    assert abs(seen.apex - held_out[1].known_apex) <= 2
    assert seen.offset == seen.frames - 1


def test_a_video_gives_nearly_the_same(run: RunFolder, held_out: tuple[Path, Clip]) -> None:
    path, clip = held_out
    file = path.with_suffix(".avi")
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter_fourcc(*"MJPG"), 5, (224, 224))
    for number in range(len(clip.frames)):
        writer.write(cv2.cvtColor(clip.frames[number], cv2.COLOR_RGB2BGR))
    writer.release()
    marks = {"onset": clip.onset, "apex": clip.apex, "offset": clip.offset}
    of_video = predict_recording(file, run, **marks, provider="template")
    of_folder = predict_recording(path, run, **marks, provider="template")
    there, here = (seen.motion[:2].ravel() for seen in (of_video, of_folder))
    assert np.corrcoef(there, here)[0, 1] > 0.8
    assert [warning.code for warning in of_video.warnings] == ["long"]
    assert not of_folder.warnings  # nobody knows how fast its frames are


def test_no_figure_depends_on_the_model_which_is_written_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, flowset = quick_config(), make_flowset()
    without = run_experiment(config, out=tmp_path / "a", flowset=flowset, final_model=False)
    with_it = run_experiment(config, out=tmp_path / "b", flowset=flowset)
    for name in FIGURES:
        assert (without.path / name).read_bytes() == (with_it.path / name).read_bytes()
    assert not (without.path / MODEL_NAME).exists()
    first = (with_it.path / MODEL_NAME).read_bytes()
    run_experiment(config, out=tmp_path / "a", flowset=flowset)
    assert (without.path / MODEL_NAME).read_bytes() == first, "added later, it is the same"
    monkeypatch.setattr("hmrm_lab.studies.experiment.fit", lambda *_, **__: pytest.fail("again"))
    run_experiment(config, out=tmp_path / "b", flowset=flowset)


def test_a_model_that_fails_leaves_the_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge(*_: object, **__: object) -> None:
        raise DivergedError("the loss is nan in epoch 1; lower training.lr")

    config, flowset = quick_config(), make_flowset()
    with monkeypatch.context() as patch:
        patch.setattr("hmrm_lab.studies.experiment.fit", diverge)
        with pytest.raises(HmrmError, match=r"failed \(diverged: the loss is nan.*are kept"):
            run_experiment(config, out=tmp_path, flowset=flowset)
    run = RunFolder.of(config, tmp_path)
    assert run.metrics()["complete"]
    run_experiment(config, out=tmp_path, flowset=flowset)
    assert (run.path / MODEL_NAME).is_file()
    assert not list(run.running.iterdir())


def test_a_fine_tuned_flow_is_applied_once_and_answers_alike() -> None:
    config, flowset = tuned_config(), make_framed_flowset(subjects=2)
    fitted = fit(config, flowset, seed=0)
    settled, seen = settle_flow(fitted, flowset)
    assert seen.frames is None
    assert settled.classify(seen) == pytest.approx(fitted.classify(flowset), abs=1e-4)


def test_a_run_with_a_fine_tuned_flow_can_predict(
    tmp_path: Path, held_out: tuple[Path, Clip]
) -> None:
    config = tuned_config("flow.finetune_side_px=56", "data.subjects=2", "data.clips=4")
    tuned = run_experiment(config, out=tmp_path)
    seen = predict_recording(held_out[0], tuned, provider="template")
    assert np.isfinite(seen.motion).all()
    assert load_model(tuned.path / MODEL_NAME, config, 28).config == config


def test_the_newest_run_is_taken_and_hmrm_before_others(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no run with a model here; make one with `hmrm demo`"):
        find_run(runs=tmp_path)
    for number, (out, system) in enumerate(
        [("old", "hmrm"), ("demo/new", "hmrm"), ("last", "ststnet")]
    ):
        made = make_run(tmp_path / out, make_flowset(), system=system)
        (made.path / MODEL_NAME).touch()
        os.utime(made.path / MODEL_NAME, (number, number))
    assert find_run(runs=tmp_path).path.parent == tmp_path / "demo/new"


def test_a_run_without_a_model_says_how_to_get_one(tmp_path: Path) -> None:
    plain = make_run(tmp_path, make_flowset())
    with pytest.raises(InputError, match="has no model; give its `hmrm run` command again"):
        find_run(plain.path)
    control = quick_config("hmrm", "evaluation.control=shuffled_labels")
    shuffled = run_experiment(control, out=tmp_path, flowset=make_flowset())
    with pytest.raises(InputError, match="a control run keeps no model"):
        find_run(shuffled.path)


def test_marks_that_do_not_fit_are_refused(run: RunFolder, held_out: tuple[Path, Clip]) -> None:
    for onset, apex, offset in (
        (99, None, None),
        (0, 0, None),
        (0, None, 999),
        (3, 3, None),
        (0, 5, 4),
    ):
        marks = {"onset": onset, "apex": apex, "offset": offset}
        with pytest.raises(InputError, match="do not fit"):
            predict_recording(held_out[0], run, provider="template", **marks)


def test_without_a_face_there_is_no_answer(run: RunFolder, tmp_path: Path) -> None:
    pytest.importorskip("dlib", reason="the extra 'faces' is not installed")
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((120, 160, 3), 90, np.uint8))
    nobody = predict_recording(tmp_path, run)
    assert (nobody.answer, nobody.face) == ("no answer", "missing")
    assert [(w.code, w.frame) for w in nobody.warnings] == [
        ("no_face", "onset"),
        ("no_face", "apex"),
    ]
    assert np.isnan(nobody.probabilities).all()
    with pytest.raises(HmrmError, match=r"no answer\. No face in the onset, frame 0\."):
        nobody.require()
    still = predict_recording(tmp_path, run, provider="template").require()
    assert still.apex_is == "guessed"
    assert not any(still.part_shares.values())


def test_nothing_after_a_given_apex_is_needed(
    run: RunFolder, held_out: tuple[Path, Clip], tmp_path: Path
) -> None:
    path, clip = held_out
    frames = sorted(path.glob("*.png"))
    for frame in frames:
        (tmp_path / frame.name).write_bytes(frame.read_bytes())
    marks = {"onset": clip.onset, "apex": clip.apex, "provider": "template"}
    whole = predict_recording(tmp_path, run, **marks)
    assert whole.offset is None
    damaged = tmp_path / frames[clip.offset].name
    damaged.write_bytes(damaged.read_bytes()[:-40] + b"\0" * 28 + damaged.read_bytes()[-12:])
    assert predict_recording(tmp_path, run, **marks).probabilities == pytest.approx(
        whole.probabilities
    )


def test_a_face_is_found_in_a_frame_larger_than_it(
    run: RunFolder, held_out: tuple[Path, Clip], tmp_path: Path
) -> None:
    pytest.importorskip("dlib", reason="the extra 'faces' is not installed")
    clip = held_out[1]
    for number in range(clip.offset + 1):
        wide = cv2.copyMakeBorder(clip.frames[number], 60, 60, 120, 120, cv2.BORDER_REPLICATE)
        cv2.imwrite(str(tmp_path / f"{number}.png"), cv2.cvtColor(wide, cv2.COLOR_RGB2BGR))
    seen = predict_recording(tmp_path, run, apex=clip.apex)
    assert (seen.face, seen.provider) == ("detected", "dlib")


def test_a_model_of_published_maps_refuses_pixels_and_the_other_way_round(
    tmp_path: Path, held_out: tuple[Path, Clip]
) -> None:
    pixels = make_flowset()
    relative = replace(pixels, unit=RELATIVE)
    for system in ("svm", "mlp"):
        config = quick_config(system, *(["augment.rotate_deg=0"] if system == "mlp" else []))
        run = run_experiment(config, out=tmp_path, flowset=relative)
        with pytest.raises(InputError, match="u and v have a scale each"):
            predict_recording(held_out[0], run)
        for maps, others in ((relative, pixels), (pixels, relative)):
            fitted = fit(config, maps, seed=0)
            save_model(tmp_path / "model", fitted)
            for model in (fitted, load_model(tmp_path / "model", config, 28)):
                assert model.classify(maps).shape == (len(maps), 3)
                with pytest.raises(InputError, match="was trained on maps in unit"):
                    model.classify(others)
