from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import quick_config, tuned_config
from datasets.test_flowmaps import write_tree

from hmrm_lab import preparation
from hmrm_lab.errors import InputError
from hmrm_lab.records import FlowSet
from hmrm_lab.runtime.store import cache_folder

pytestmark = pytest.mark.usefixtures("empty_cache")


def same(first: FlowSet, second: FlowSet) -> bool:
    return first.fingerprint() == second.fingerprint()


def test_frames_become_maps_in_pixels_with_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    config = quick_config()
    clips, flowset = preparation.load_clips(config), preparation.load_flowset(config)
    assert flowset.maps.shape == (16, 3, 28, 28)
    assert flowset.keys == tuple(clip.key for clip in clips)
    assert flowset.labels.tolist() == [clip.label for clip in clips]
    assert flowset.masks.any((2, 3)).all()
    exact = clips[0].frames.flow(clips[0].onset, clips[0].apex)
    means = exact.reshape(2, 28, 8, 28, 8).mean((2, 4))
    assert np.abs(flowset.maps[0, :2] - means).mean() < np.abs(means).mean()
    monkeypatch.setattr(preparation.clip_arrays, "_make", lambda *_: pytest.fail("computed"))
    assert same(preparation.load_flowset(quick_config()), flowset), "it is read from the cache"


def test_maps_that_depend_on_other_settings_have_other_files() -> None:
    first = preparation.load_flowset(quick_config())
    preparation.load_flowset(quick_config("ststnet", "training.epochs=9", "evaluation.seeds=[3]"))
    assert len(list(cache_folder().rglob("*.npz"))) == len(first)
    for number, change in enumerate(("flow.name=farneback", "data.seed=1", "data.difficulty=0.1")):
        assert not same(preparation.load_flowset(quick_config("hmrm", change)), first)
        assert len(list(cache_folder().rglob("*.npz"))) == (2 + number) * len(first)


def test_processes_change_nothing_and_clips_without_landmarks_have_no_masks() -> None:
    config = quick_config("hmrm", "data.subjects=2", "data.clips=3")
    clips = preparation.load_clips(config)
    one, two = (preparation.compute_flowset(clips, config.flow, jobs=jobs) for jobs in (1, 2))
    assert same(one, two)
    plain = [replace(clip, frames=list(clip.frames)) for clip in clips]
    without, known = (preparation.compute_flowset(some, config.flow) for some in (plain, clips))
    assert without.masks is None
    assert known.masks is not None
    assert (without.maps == known.maps).all()


def test_a_flow_that_learns_gets_the_frames_as_well() -> None:
    tuned = ("flow.name=gru_attention", "flow.finetune_side_px=64")
    plain = preparation.load_flowset(quick_config("hmrm", *tuned))
    config = quick_config("hmrm", *tuned, "flow.finetune=true")
    made, cached = preparation.load_flowset(config), preparation.load_flowset(config)
    assert plain.frames is None
    assert made.frames is not None
    assert same(made, cached)
    assert not same(made, plain)
    assert (made.maps == plain.maps).all()
    assert made.frames.images.shape == (16, 2, 64, 64, 3)
    assert (made.frames.pixel == 224 / 64).all()
    onset = preparation.load_clips(config)[3]
    reduced = cv2.resize(onset.frames[onset.onset], (64, 64), interpolation=cv2.INTER_AREA)
    assert (made.frames.images[3, 0] == reduced).all()
    few = made.take([3, 5])
    assert (few.frames.images == made.frames.images[[3, 5]]).all()
    assert not np.shares_memory(few.frames.images, made.frames.images)
    clip = preparation.load_clips(config)[0]
    narrow = [clip.frames[i][:200, :120] for i in range(len(clip.frames))]
    pairs = preparation.reduce_frames([replace(clip, frames=narrow)], 80)
    assert pairs.images.shape == (1, 2, 80, 80, 3)
    assert pairs.pixel.tolist() == [[1.5, 2.5]]


def test_what_a_data_set_cannot_give_is_refused_before_anything_is_computed(tmp_path: Path) -> None:
    root, maps = write_tree(tmp_path / "maps"), quick_config("hmrm", "data.name=flowmaps")
    for config, folder, words in (
        (maps, None, "--root"),
        (quick_config(), tmp_path, "takes no --root"),
        (quick_config("hmrm", "flow.finetune=true"), None, "'dis' has nothing that could be fine"),
        (tuned_config("data.name=flowmaps"), root, "'flowmaps' has no frames to fine-tune a flow"),
    ):
        with pytest.raises(InputError, match=words):
            preparation.load_flowset(config, folder)
    with pytest.raises(InputError, match="'flowmaps' has no clips; take 'synthetic'"):
        preparation.require_clips(maps, root)
    assert not cache_folder().exists()
