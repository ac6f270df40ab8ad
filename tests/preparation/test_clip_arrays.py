"""What is made of all frames of a clip: gray clips, pictures, flow of both phases; its cache."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
import torch
from conftest import grid_masks, make_clip_flowset, make_flowset, quick_config, with_pictures
from datasets.test_flowmaps import write_tree
from safetensors.torch import load_file
from test_crops import TEMPLATE, Plain

import hmrm_lab as lab
from hmrm_lab.config.sections import PICTURE_SIDE_PX, AugmentConfig, FacesConfig
from hmrm_lab.datasets.classes import MEGC3
from hmrm_lab.datasets.recordings.manifest import write_manifest
from hmrm_lab.datasets.video import open_recording
from hmrm_lab.errors import InputError
from hmrm_lab.evaluation.recording_prediction import hide_in_pictures, hold_clips_still
from hmrm_lab.flow.motion_maps import select_channels
from hmrm_lab.preparation import (
    clip_arrays,
    compute_flowset,
    crops,
    load_clips,
    load_flowset,
    reads_past_apex,
    with_whole_clips,
)
from hmrm_lab.preparation.clip_arrays import (
    GRAY,
    PICTURED,
    Recipe,
    both_phases,
    clip_pictures,
    even_frames,
    file_of,
    gray_clip,
    make_all,
    sequence,
    sequence_frames,
    standardise,
)
from hmrm_lab.records import Clip, ClipKey, FlowSet
from hmrm_lab.registry import systems
from hmrm_lab.runtime.store import cache_folder
from hmrm_lab.studies.experiment import run_experiment
from hmrm_lab.studies.predict import predict_recording
from hmrm_lab.training.augmentation import draw_moves, flip, jitter
from hmrm_lab.training.learner import build_model
from hmrm_lab.training.system_inputs import all_channels
from hmrm_lab.training.trainer import MODEL_NAME, fit

FEW = ("data.subjects=2", "data.clips=4", "flow.name=dis")
MESTI = ("input.channels=['mesti']", "augment.motionmix=0")
BOTH = "flow.phases=both"
FIVE, TO_OFFSET = "input.frames=5", "input.until=offset"
pytestmark = pytest.mark.usefixtures("empty_cache")


def test_time_is_interpolated_from_onset_to_offset() -> None:
    ramp = [np.full((60, 40, 3), 10 * number, np.uint8) for number in range(12)]
    clip = Clip(ClipKey("a", "b", "c"), 0, ramp, 2, 4, 10, 100.0, classes=MEGC3.classes)
    gray = even_frames(clip, 5, 20)
    assert gray.shape == (5, 20, 20)
    assert (gray == np.array([20, 40, 60, 80, 100])[:, None, None]).all()
    assert even_frames(clip, 17, 20)[:4, 0, 0].tolist() == [20, 25, 30, 35]
    assert (even_frames(replace(clip, offset=2), 4, 20) == 20).all()
    assert (standardise(np.full((4, 4), 7, np.float32)) == 0).all()
    for frames, until, numbers in (
        *((2, "apex", [3, 4]), (4, "apex", [3, 3, 4, 4]), (1, "apex", [3])),
        *((8, "offset", [3, 4, 5, 6, 7, 8, 9, 10]), (3, "offset", [3, 6, 10])),
    ):
        assert sequence_frames(clip, frames, until) == numbers


@pytest.mark.parametrize(
    ("field", "system", "settings", "make"),
    [
        ("clips", "lbp_top", (), gray_clip),
        ("pictures", "resnet18", MESTI, clip_pictures),
        ("maps", "hmrm", (BOTH,), None),
        ("sequence", "hmrm", (FIVE,), None),
    ],
)
def test_only_those_who_look_at_all_frames_get_them(
    field: str, system: str, settings: tuple[str, ...], make: Callable, monkeypatch
) -> None:
    plain = load_flowset(quick_config("hmrm", *FEW))
    assert plain.clips is None and plain.pictures is None
    config = quick_config(system, *FEW, *settings)
    made = load_flowset(config)
    found = getattr(made, field)
    assert made.fingerprint() != plain.fingerprint()
    if field == "sequence":
        assert found.shape == (4, 5, 3, 28, 28)
        assert (found[:, -1] == plain.maps).all(), "the last map is that of the apex"
        growth = np.abs(found[:, :, 2]).mean((0, 2, 3))
        assert (np.diff(growth) > 0).all()
    elif make is None:
        pairs = zip(plain.maps[:, :2], made.maps[:, :2], strict=True)
        alike = [np.corrcoef(one.ravel(), two.ravel())[0, 1] for one, two in pairs]
        assert 0.5 < min(alike) < 1, "the same movement, seen twice"
    else:
        assert (made.maps == plain.maps).all()
        assert (found[1] == make(load_clips(config)[1])[field]).all()
    few = made.take([3, 1])
    assert (getattr(few, field) == found[[3, 1]]).all()
    assert not np.shares_memory(getattr(few, field), found)
    assert len(list(cache_folder().rglob("*.npz"))) == 2 * len(made)  # the maps once, and these
    monkeypatch.setattr(clip_arrays, "_make", lambda *_: pytest.fail("made again"))
    assert load_flowset(config).fingerprint() == made.fingerprint()
    with pytest.raises(ValueError, match=r"of 3 clips|must be"):
        replace(made, **{field: found[:-1]})


def test_a_sequence_to_another_frame_is_read_anew() -> None:
    maps = lab.load("synthetic", preset="smoke", subjects=2, clips=4).maps()
    to_apex, to_offset = (
        lab.system(frames=3, preset="smoke", epochs=1, until=name) for name in ("apex", "offset")
    )
    seen = to_apex.suited(maps)
    assert (seen.times, seen.until) == (3, "apex")
    assert to_apex.suited(seen) is seen and to_offset.suited(seen).until == "offset"
    assert [reads_past_apex(one.settings()) for one in (to_apex, to_offset)] == [False, True]
    assert to_apex.fit(seen).inputs(seen[:2]).shape == (2, 3, 3, 28, 28)


def test_recordings_are_aligned_and_kept_one_by_one(tmp_path: Path) -> None:
    drawn = load_clips(quick_config("lbp_top", *FEW))[0]
    write_manifest([drawn], tmp_path / "clips.csv", None)
    frames = open_recording(tmp_path / drawn.key.subject / drawn.key.clip).frames
    read = [replace(drawn, frames=frames)]
    (made,) = make_all(GRAY, read, None)
    (kept,) = (cache_folder() / "gray").rglob("*.npz")
    assert (made["clips"] == make_all(GRAY, [drawn], None)[0]["clips"]).all()
    make_all(GRAY, read, TEMPLATE)  # another place of the face is another clip
    assert len(list((cache_folder() / "gray").rglob("*.npz"))) == 3
    kept.write_bytes(b"half a fi")
    assert (make_all(GRAY, read, None)[0]["clips"] == made["clips"]).all()


@pytest.mark.parametrize(
    ("system", "overrides", "what", "hint"),
    [
        ("lbp_top", (), "takes clips", "take one of the systems for flow maps .*hmrm, .*svm"),
        ("resnet18", MESTI, "takes mesti", "leave input.channels out"),
        ("resnet18", (BOTH,), "from apex to offset", "leave flow.phases out"),
        ("resnet18", (*MESTI, BOTH), "takes mesti", "leave input.channels and flow.phases out"),
        ("slstt", (FIVE,), "flow to 5 frames up to the apex", "leave input.frames out"),
    ],
)
def test_maps_alone_are_refused(
    tmp_path: Path, system: str, overrides: tuple[str, ...], what: str, hint: str
) -> None:
    config = quick_config(system, "data.name=flowmaps", *overrides)
    with pytest.raises(InputError, match=f"'flowmaps' has no frames.*{what}.*; {hint}"):
        load_flowset(config, write_tree(tmp_path / "maps"))
    if BOTH not in overrides:
        with pytest.raises(InputError, match="has no frames"):
            run_experiment(config, out=tmp_path / "runs", flowset=make_flowset())
    assert not (tmp_path / "runs").exists()


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    known = load_clips(quick_config("hmrm", *FEW))
    return [replace(clip, frames=Plain(clip.frames, clip.key.clip)) for clip in known]


def phases(*overrides: str) -> Recipe:
    return both_phases(quick_config("hmrm", *FEW, BOTH, *overrides).flow)


SERIES = ((FIVE,), ("input.frames=6",), (FIVE, TO_OFFSET), (FIVE, "flow.name=farneback"))


def series(overrides: tuple[str, ...]) -> Recipe:
    config = quick_config("hmrm", *FEW, *overrides)
    return sequence(config.flow, config.input)


def test_what_a_result_depends_on_is_in_its_name(
    clips: list[Clip], monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = clips[0]
    others = [
        replace(clip, onset=clip.onset + 1),
        replace(clip, apex=clip.known_apex - 1),
        replace(clip, offset=clip.offset - 1),
        replace(clip, key=clip.key._replace(clip="another")),
        replace(clip, frames=Plain(clip.frames, "others")),
    ]
    assert len({file_of(GRAY, other, TEMPLATE) for other in (clip, *others)}) == 6
    assert file_of(GRAY, replace(clip), TEMPLATE) == file_of(GRAY, clip, TEMPLATE)
    spotted = TEMPLATE.model_copy(update={"apex": "spotted"})
    known = {file_of(GRAY, clip, faces) for faces in (TEMPLATE, None, spotted)}
    kinds = ("flow.phases=mm_cof", BOTH, "flow.name=farneback")
    recipes = (GRAY, PICTURED, *map(phases, kinds), *map(series, SERIES))
    known |= {file_of(recipe, clip, TEMPLATE) for recipe in recipes}
    assert len(known) == 7 + len(SERIES)
    uncut = file_of(GRAY, clip, None)
    monkeypatch.setattr(crops, "FORMAT", crops.FORMAT + 1)
    after = {file_of(recipe, clip, TEMPLATE) for recipe in recipes}
    assert not known & after
    assert file_of(GRAY, clip, None) == uncut, "nothing was cut out of it"
    monkeypatch.setattr(clip_arrays, "MAP_FORMAT", clip_arrays.MAP_FORMAT + 1)
    assert file_of(phases(), clip, TEMPLATE) not in after


def test_what_recordings_gave_is_read_again(
    clips: list[Clip], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = quick_config("resnet18", *FEW, BOTH, *MESTI)
    flowset = compute_flowset(clips, config.flow)

    def whole(known: list[Clip]) -> FlowSet:
        made, lost = with_whole_clips(config, flowset, known, TEMPLATE)
        assert not lost
        return made

    made = whole(clips)
    monkeypatch.setattr(clip_arrays, "_make", lambda *_: pytest.fail("made again"))
    assert whole(clips).fingerprint() == made.fingerprint()
    with pytest.raises(pytest.fail.Exception, match="made again"):
        whole([replace(clip, offset=clip.offset - 1) for clip in clips])


@dataclass(frozen=True)
class Scratched(Plain):
    """One frame cannot be read."""

    at: int

    def __getitem__(self, index: int, /) -> np.ndarray:
        if index == self.at:
            raise InputError("an empty file", where=f"img{index}.jpg", hint="copy it again")
        return super().__getitem__(index)


def scratched(clip: Clip, at: int) -> Clip:
    return replace(clip, frames=Scratched(clip.frames, f"{clip.key.clip}, scratched", at))


def test_a_damaged_frame_costs_its_clip_where_it_is_looked_at_and_no_clip_left_is_an_error(
    clips: list[Clip], monkeypatch: pytest.MonkeyPatch
) -> None:
    both, mesti = quick_config("resnet18", *FEW, BOTH), quick_config("resnet18", *FEW, *MESTI)
    flowset = compute_flowset(clips, both.flow)
    sound, _ = with_whole_clips(mesti, flowset, clips, TEMPLATE)
    first, second, *rest = clips
    known = [scratched(first, first.offset), scratched(second, second.onset + 1), *rest]
    made, lost = with_whole_clips(mesti, flowset, known, TEMPLATE)
    assert list(lost) == [first.key, second.key]
    assert str(lost[second.key]) == f"img{second.onset + 1}.jpg: an empty file; copy it again"
    assert made.fingerprint() == sound.take([2, 3]).fingerprint(), "the others keep their maps"
    moved, lost = with_whole_clips(both, flowset, known, TEMPLATE)
    assert list(lost) == [first.key], "it looks at onset, apex and offset"
    config = quick_config("resnet18", *FEW, BOTH, *MESTI)
    again, lost = with_whole_clips(config, flowset, known, TEMPLATE)
    assert set(lost) == {first.key, second.key}
    assert (again.pictures == made.pictures).all()
    assert (again.maps == moved.maps[1:]).all()
    known = [scratched(clip, clip.offset) for clip in clips]
    words = "not one of 4 clips is usable for mesti, flow from apex to offset; the first: img"
    with pytest.raises(InputError, match=words):
        with_whole_clips(config, flowset, known, TEMPLATE)
    with pytest.raises(InputError, match=r"^img\d+.jpg: an empty file; copy it again$"):
        with_whole_clips(config, flowset.take([0]), known[:1], TEMPLATE)

    def fail(_: FacesConfig) -> NoReturn:
        raise InputError("no such provider", hint="take another")

    monkeypatch.setattr(crops, "face_provider", fail)
    with pytest.raises(InputError, match=r"^no such provider"):
        with_whole_clips(config, flowset, clips, TEMPLATE)


def test_channels_are_maps_enlarged_and_pictures_behind_them() -> None:
    flowset = with_pictures(make_flowset())
    config = quick_config(
        "resnet18", "input.channels=['mesti','u','magnitude','onset']", "augment.motionmix=0"
    )
    given = all_channels(config, flowset)
    assert given.shape == (len(flowset), 7, PICTURE_SIDE_PX, PICTURE_SIDE_PX)
    chosen = select_channels(given, config.input.channels)
    assert (chosen[:, [0, 3]].numpy() == flowset.pictures[:, [3, 0]]).all()
    torch.testing.assert_close(chosen[:, 2], (given[:, 0] ** 2 + given[:, 1] ** 2).sqrt())
    small = torch.nn.functional.avg_pool2d(given[:, :3], 2)
    plain = all_channels(quick_config("resnet18"), flowset)
    assert (small - plain).abs().mean() < 0.35 * plain.abs().mean()
    model = build_model(quick_config("hmrm", *MESTI), 28, 3)
    assert len(model(torch.randn(2, 1, PICTURE_SIDE_PX, PICTURE_SIDE_PX))) == 2


def test_a_mirror_and_a_turn_change_the_vectors_and_no_picture() -> None:
    maps, even = torch.randn(6, 7, 20, 20), torch.ones(6, 7, 20, 20)
    mirrored = flip(maps)
    assert torch.equal(mirrored[:, 0], -maps[:, 0].flip(-1))
    assert torch.equal(mirrored[:, 1:], maps[:, 1:].flip(-1))
    turned = jitter(even, *draw_moves(6, AugmentConfig(rotate_deg=30.0)))
    torch.testing.assert_close(turned[:, 2:], even[:, 2:])
    torch.testing.assert_close(turned[:, :2].square().sum(1), 2 * torch.ones(6, 20, 20))
    assert not torch.equal(turned[:, :2], even[:, :2])


FLOW_SYSTEMS = [
    name
    for name in systems
    if systems[name].takes == "flow maps" and not (systems[name].card and systems[name].card.needs)
]


@pytest.mark.slow
@pytest.mark.parametrize("system", FLOW_SYSTEMS)
def test_any_system_of_maps_takes_a_picture_instead(system: str) -> None:
    once = [] if systems[system].is_estimator else ["augment.motionmix=0", "training.epochs=1"]
    config = quick_config(system, "input.channels=['mesti']", *once)
    flowset = with_pictures(make_flowset(subjects=2, per_subject=3))
    answers = fit(config, flowset, seed=0).classify(flowset)
    assert answers.shape == (len(flowset), 3)
    other = replace(flowset, maps=flowset.maps[::-1].copy())
    assert (fit(config, other, seed=0).classify(other) == answers).all(), "it saw the flow"


def test_regions_are_hidden_in_pictures_and_held_in_clips() -> None:
    hidden = hide_in_pictures(np.ones((2, 8, 8), np.float32), grid_masks(4)[5:6])
    assert (hidden[0, :, 2:4, 2:4] == 0).all() and hidden.sum() == 2 * (64 - 4)
    clip = make_clip_flowset(subjects=2).clips[0, :3, :8, :8]
    held = hold_clips_still(clip, grid_masks(4)[5:6])
    assert (held[0, :, 2:4, 2:4] == clip[0, 2:4, 2:4]).all()
    held[0, :, 2:4, 2:4] = clip[:, 2:4, 2:4]
    assert (held[0] == clip).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "flow"),
    [
        (("lbp_top",), "none (clips)"),
        (
            ("resnet18", "input.channels=['u','mesti']", "augment.motionmix=0", BOTH),
            "dis, both phases",
        ),
        (("hmrm", FIVE, TO_OFFSET), "dis, to 5 frames up to the offset"),
    ],
)
def test_a_recording_through_a_system_of_clips_or_pictures(
    tmp_path: Path, settings: tuple[str, ...], flow: str
) -> None:
    run = run_experiment(quick_config(*settings, *FEW), out=tmp_path / "runs")
    assert run.metrics()["flow"] == flow
    clip = load_clips(quick_config(settings[0], "data.seed=5", *FEW))[0]
    write_manifest([clip], tmp_path / "clips.csv", None)
    file = tmp_path / clip.key.subject / clip.key.clip
    marks = {"onset": clip.onset, "apex": clip.apex, "offset": clip.offset}
    seen = predict_recording(file, run, **marks, provider="template")
    assert seen.probabilities.sum() == pytest.approx(1, abs=1e-5)
    assert np.isfinite(list(seen.part_falls.values())).all()
    if flow == "none (clips)":
        assert set(load_file(run.path / MODEL_NAME)) >= {"support", "coefficients"}
