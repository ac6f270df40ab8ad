"""Recordings to crops: synthetic clips whose landmarks nobody tells."""

from dataclasses import dataclass, replace

import cv2
import numpy as np
import pytest
from conftest import Pixels, quick_config

from hmrm_lab.config.sections import FacesConfig
from hmrm_lab.datasets.synthetic import synthetic
from hmrm_lab.errors import InputError
from hmrm_lab.faces.align import align_known
from hmrm_lab.preparation import compute_flowset, load_clips
from hmrm_lab.preparation.crops import count_crops, crop_clips
from hmrm_lab.records import Clip
from hmrm_lab.runtime.store import cache_folder

TEMPLATE = FacesConfig(name="template")
pytestmark = pytest.mark.usefixtures("empty_cache")


@dataclass(frozen=True)
class Plain(Pixels):
    """The frames of a clip without its landmarks, under a name."""

    name: str

    def identity(self, index: int) -> str:
        return f"{self.name}:{index}"


@dataclass(frozen=True)
class Broken(Plain):
    def __getitem__(self, index: int, /) -> np.ndarray:
        raise InputError("an empty file", where="img3.jpg", hint="copy it again")


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    known = load_clips(quick_config("hmrm", "data.subjects=2", "data.clips=4"))
    assert known is not None
    return [replace(clip, frames=Plain(clip.frames, clip.key.clip)) for clip in known]


def contents() -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in cache_folder().rglob("*.npz")}


def test_onset_and_apex_are_cut_out(clips: list[Clip]) -> None:
    crop = crop_clips(clips, TEMPLATE)[0]
    assert crop.clip is not None
    assert (crop.clip.onset, crop.clip.apex, crop.clip.offset) == (0, 1, 1)
    assert (crop.face, crop.apex, crop.apex_frame) == ("template", "annotated", clips[0].apex)
    assert crop.clip.frames[0].shape == (224, 224, 3)
    assert crop.clip.frames.landmarks(0).shape == (68, 2)
    # these recordings are the canonical crop already, so that nothing but rounding may change
    assert np.abs(crop.clip.frames[1].astype(int) - clips[0].frames[clips[0].apex]).mean() < 2


def test_an_apex_is_spotted_where_none_is_known(clips: list[Clip]) -> None:
    blind = [replace(clip, apex=None) for clip in clips[:2]]
    still = Plain([clips[0].frames[0]] * 9, "still")
    blind.append(replace(clips[0], frames=still, onset=0, apex=None, offset=8))
    crops = crop_clips(blind, TEMPLATE)
    assert count_crops(crops)["apexes"] == {"annotated": 0, "spotted": 2, "guessed": 1}
    for crop, clip in zip(crops[:2], clips, strict=False):
        assert clip.onset < crop.apex_frame < clip.offset
    assert crops[2].apex_frame == 4
    always = TEMPLATE.model_copy(update={"apex": "spotted"})
    assert {crop.apex for crop in crop_clips(clips[:1], always)} == {"spotted"}


def test_a_damaged_clip_is_left_out_and_said_so(clips: list[Clip]) -> None:
    damaged = replace(clips[1], frames=Broken(clips[1].frames, "broken"))
    crops = crop_clips([clips[0], damaged], TEMPLATE)
    assert crops[0].clip is not None
    assert crops[1].clip is None
    assert "img3.jpg" in crops[1].problem
    assert count_crops(crops)["clips"] == {"usable": 1, "left out": 1}
    with pytest.raises(InputError, match="not one of 1 clips is usable"):
        crop_clips([damaged], TEMPLATE)


def test_any_part_of_the_cache_may_be_lost(clips: list[Clip]) -> None:
    config = quick_config().flow
    first = crop_clips(clips, TEMPLATE)
    unread = [replace(clip, frames=Broken(clip.frames, clip.key.clip)) for clip in clips]
    assert crop_clips(unread, TEMPLATE) == first, "the second time no frame is read"
    flowset = compute_flowset([crop.clip for crop in first], config)
    whole = contents()
    for number, file in enumerate(sorted(cache_folder().rglob("*.npz"))):
        if number % 3 == 0:
            file.unlink()
        elif number % 3 == 1:
            file.write_bytes(file.read_bytes()[:100])
    again = compute_flowset([crop.clip for crop in crop_clips(clips, TEMPLATE, jobs=2)], config)
    assert again.fingerprint() == flowset.fingerprint()
    assert contents() == whole


def test_a_turned_and_shrunk_face_comes_out_upright() -> None:
    pytest.importorskip("dlib", reason="the extra 'faces' is not installed")
    clip = synthetic(subjects=2, clips=2)[0]
    turn = cv2.getRotationMatrix2D((112, 112), 12, 0.8)
    turn[:, 2] += (60, 30)
    frames = [
        cv2.warpAffine(clip.frames[n], turn, (340, 280), borderMode=cv2.BORDER_REPLICATE)
        for n in range(len(clip.frames))
    ]
    (crop,) = crop_clips([replace(clip, frames=Plain(frames, "turned"))], FacesConfig())
    assert crop.face == "none"
    exact = align_known(clip).frames.landmarks(clip.onset)
    found = crop.clip.frames.landmarks(0)
    between_eyes = np.linalg.norm(exact[36:42].mean(0) - exact[42:48].mean(0))
    shape, true_shape = (points - points.mean(axis=0) for points in (found, exact))
    assert np.linalg.norm(shape - true_shape, axis=1).mean() < 0.1 * between_eyes
