"""What is made of all frames: what it is kept under, and what a damaged frame costs."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from conftest import quick_config
from test_crops import TEMPLATE, Plain

from hmrm_lab.config import ExperimentConfig
from hmrm_lab.errors import InputError
from hmrm_lab.preparation import clip_arrays, compute_flowset, crops, load_clips, with_whole_clips
from hmrm_lab.preparation.clip_arrays import GRAY, PICTURED, identity
from hmrm_lab.records import Clip, FlowSet

FEW = ("data.subjects=2", "data.clips=4", "flow.name=dis")
MESTI = ("input.channels=['mesti']", "augment.motionmix=0")
BOTH = (*FEW, "flow.phases=both", *MESTI)


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HMRM_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    known = load_clips(quick_config("hmrm", *FEW))
    assert known is not None
    return [replace(clip, frames=Plain(clip.frames, clip.key.clip)) for clip in known]


def dual_phase(*overrides: str) -> clip_arrays.Recipe:
    return clip_arrays.both_phases(quick_config("hmrm", *FEW, *overrides).flow)


CHANGED: dict[str, Callable[[Clip], Clip]] = {
    "onset": lambda clip: replace(clip, onset=clip.onset + 1),
    "apex": lambda clip: replace(clip, apex=clip.known_apex - 1),
    "offset": lambda clip: replace(clip, offset=clip.offset - 1),
    "key": lambda clip: replace(clip, key=clip.key._replace(clip="another")),
    "frames": lambda clip: replace(clip, frames=Plain(clip.frames, "others")),
}


def test_another_clip_recipe_flow_or_face_has_another_name(clips: list[Clip]) -> None:
    for change in CHANGED.values():
        other = change(clips[0])
        assert identity(GRAY, other, TEMPLATE) != identity(GRAY, clips[0], TEMPLATE)
    assert identity(GRAY, replace(clips[0]), TEMPLATE) == identity(GRAY, clips[0], TEMPLATE)
    known = [
        (GRAY, TEMPLATE),
        (GRAY, None),
        (GRAY, TEMPLATE.model_copy(update={"apex": "spotted"})),
        (PICTURED, TEMPLATE),
        (dual_phase(), TEMPLATE),
        (dual_phase("flow.name=farneback"), TEMPLATE),
    ]
    assert len({identity(recipe, clips[0], faces) for recipe, faces in known}) == len(known)


def test_another_format_of_what_lies_below_has_another_name(
    clips: list[Clip], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipes = (GRAY, PICTURED, dual_phase())
    before = [identity(recipe, clips[0], TEMPLATE) for recipe in recipes]
    uncut = identity(GRAY, clips[0], None)
    monkeypatch.setattr(crops, "FORMAT", crops.FORMAT + 1)
    after = [identity(recipe, clips[0], TEMPLATE) for recipe in recipes]
    assert not set(before) & set(after)
    assert identity(GRAY, clips[0], None) == uncut, "nothing was cut out of it"
    monkeypatch.setattr(clip_arrays, "MAP_FORMAT", clip_arrays.MAP_FORMAT + 1)
    assert identity(dual_phase(), clips[0], TEMPLATE) != after[-1]


def test_what_recordings_gave_is_read_again(
    clips: list[Clip], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = quick_config("resnet18", *BOTH)
    flowset = compute_flowset(clips, config.flow)
    made = whole(config, flowset, clips)
    monkeypatch.setattr(clip_arrays, "_make", lambda *_: pytest.fail("made again"))
    assert whole(config, flowset, clips).fingerprint() == made.fingerprint()
    with pytest.raises(pytest.fail.Exception, match="made again"):
        whole(config, flowset, [replace(clip, offset=clip.offset - 1) for clip in clips])


def whole(config: ExperimentConfig, flowset: FlowSet, clips: list[Clip]) -> FlowSet:
    made, lost = with_whole_clips(config, flowset, clips, TEMPLATE)
    assert not lost
    return made


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


def test_a_damaged_frame_costs_its_clip_where_it_is_looked_at(clips: list[Clip]) -> None:
    both = quick_config("resnet18", *FEW, "flow.phases=both")
    mesti = quick_config("resnet18", *FEW, *MESTI)
    flowset = compute_flowset(clips, both.flow)
    sound, _ = with_whole_clips(mesti, flowset, clips, TEMPLATE)
    first, second, *rest = clips
    known = [scratched(first, first.offset), scratched(second, second.onset + 1), *rest]
    made, lost = with_whole_clips(mesti, flowset, known, TEMPLATE)
    assert list(lost) == [first.key, second.key]
    assert str(lost[second.key]) == f"img{second.onset + 1}.jpg: an empty file; copy it again"
    assert made.fingerprint() == sound.take([2, 3]).fingerprint(), "the others keep their maps"
    phases, lost = with_whole_clips(both, flowset, known, TEMPLATE)
    assert list(lost) == [first.key], "it looks at onset, apex and offset"
    assert len(phases) == 3
    again, lost = with_whole_clips(quick_config("resnet18", *BOTH), flowset, known, TEMPLATE)
    assert set(lost) == {first.key, second.key}
    assert again.pictures is not None
    assert (again.pictures == made.pictures).all()
    assert (again.maps == phases.maps[1:]).all()


def test_not_one_usable_clip_is_an_error(
    clips: list[Clip], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = quick_config("resnet18", *BOTH)
    flowset = compute_flowset(clips, config.flow)
    known = [scratched(clip, clip.offset) for clip in clips]
    words = "not one of 4 clips is usable for mesti, flow from apex to offset; the first: img"
    with pytest.raises(InputError, match=words):
        with_whole_clips(config, flowset, known, TEMPLATE)
    with pytest.raises(InputError, match=r"^img\d+.jpg: an empty file; copy it again$"):
        with_whole_clips(config, flowset.take([0]), known[:1], TEMPLATE)
    monkeypatch.setattr(crops, "_provider", lambda _: fail("no such provider"))
    with pytest.raises(InputError, match=r"^no such provider"):
        with_whole_clips(config, flowset, clips, TEMPLATE)


def fail(problem: str) -> NoReturn:
    raise InputError(problem, hint="take another")
