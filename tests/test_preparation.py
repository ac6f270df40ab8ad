from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import quick_config

from hmrm_lab import preparation
from hmrm_lab.datasets.synthetic import read_clips, write_clips
from hmrm_lab.errors import InputError
from hmrm_lab.preparation import compute_flowset, load_clips, load_flowset
from hmrm_lab.records import FlowSet
from hmrm_lab.store import cache_folder


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HMRM_CACHE", str(tmp_path / "cache"))


def same(first: FlowSet, second: FlowSet) -> bool:
    return first.fingerprint() == second.fingerprint()


def test_frames_become_maps_in_pixels_with_masks() -> None:
    config = quick_config()
    clips = load_clips(config)
    assert clips is not None
    flowset = load_flowset(config)
    assert flowset.maps.shape == (16, 3, 28, 28)
    assert flowset.keys == tuple(clip.key for clip in clips)
    assert flowset.labels.tolist() == [clip.label for clip in clips]
    assert flowset.masks is not None
    assert flowset.masks.any((2, 3)).all()
    exact = clips[0].frames.flow(clips[0].onset, clips[0].apex)
    means = exact.reshape(2, 28, 8, 28, 8).mean((2, 4))
    assert np.abs(flowset.maps[0, :2] - means).mean() < np.abs(means).mean()


def test_the_second_time_is_read_from_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_flowset(quick_config())
    monkeypatch.setattr(preparation, "compute_flowset", lambda *_, **__: pytest.fail("computed"))
    assert same(load_flowset(quick_config()), first)


@pytest.mark.parametrize("change", ["flow.name=farneback", "data.seed=1", "data.difficulty=0.1"])
def test_what_the_maps_depend_on_gets_a_cache_of_its_own(change: str) -> None:
    first = load_flowset(quick_config())
    assert not same(load_flowset(quick_config("hmrm", change)), first)
    assert len(list(cache_folder().iterdir())) == 2


def test_what_they_do_not_depend_on_shares_it() -> None:
    load_flowset(quick_config())
    load_flowset(quick_config("ststnet", "training.epochs=9", "evaluation.seeds=[3]"))
    assert len(list(cache_folder().iterdir())) == 1


def test_processes_change_nothing() -> None:
    config = quick_config()
    clips = load_clips(config)
    assert clips is not None
    one, two = (compute_flowset(clips[:6], config.flow, jobs=jobs) for jobs in (1, 2))
    assert same(one, two)


def test_clips_without_landmarks_have_no_masks() -> None:
    config = quick_config("hmrm", "data.subjects=2", "data.clips=3")
    clips = load_clips(config)
    assert clips is not None
    plain = [replace(clip, frames=list(clip.frames)) for clip in clips]
    without, known = (compute_flowset(some, config.flow) for some in (plain, clips))
    assert without.masks is None
    assert known.masks is not None
    assert (without.maps == known.maps).all()


def test_clips_come_back_from_disk_as_they_were(tmp_path: Path) -> None:
    config = quick_config("hmrm", "data.subjects=2", "data.clips=3")
    clips = load_clips(config)
    assert clips is not None
    from_disk = read_clips(write_clips(clips, tmp_path / "faces").parent)
    assert same(compute_flowset(from_disk, config.flow), compute_flowset(clips, config.flow))


def test_root_goes_with_the_data_sets_that_have_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--root"):
        load_flowset(quick_config("hmrm", "data.name=flowmaps"))
    with pytest.raises(InputError, match="takes no --root"):
        load_flowset(quick_config(), tmp_path)
