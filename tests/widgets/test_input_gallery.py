"""The gallery of inputs: every control changes what it should, and says what is kept."""

from dataclasses import replace

import pytest

pytest.importorskip("ipywidgets", reason="the extra 'jupyter' is not installed")

from conftest import Pixels
from hmrm_widgets import InputGallery

from hmrm_lab.preparation.network_inputs import INPUTS, rising_clips
from hmrm_lab.records import Clip


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    return rising_clips()


@pytest.fixture
def gallery(clips: list[Clip]) -> InputGallery:
    return InputGallery(clips[:2])


def pictures(gallery: InputGallery) -> dict[str, bytes]:
    return {name: bytes(card.value) for name, card in gallery.cards.items()}


def kept(gallery: InputGallery, name: str) -> float:
    return float(gallery.headings[name].value.split("<br>")[1].removesuffix(" times"))


def test_it_opens_with_all_inputs_undisturbed(gallery: InputGallery) -> None:
    assert list(pictures(gallery)) == list(INPUTS)
    assert all(picture.startswith(b"\xff\xd8") for picture in pictures(gallery).values())
    assert len(set(pictures(gallery).values())) == len(INPUTS)
    assert "Noise of 0 levels" in gallery.caption.value
    assert kept(gallery, "mesti") == pytest.approx(kept(gallery, "dynamic_image"), rel=0.1)


@pytest.mark.parametrize(
    ("control", "value", "says"),
    [("noise", 2.0, "Noise of 2 levels"), ("drift", 5.0, "by 5 %"), ("clip", 1, "Noise of 0")],
)
def test_each_control_changes_every_picture(
    gallery: InputGallery, control: str, value: object, says: str
) -> None:
    before = pictures(gallery)
    getattr(gallery, control).value = value
    after = pictures(gallery)
    assert not [name for name in after if after[name] == before[name]]
    assert says in gallery.caption.value
    assert not gallery.problem.value


def test_light_drifts_and_the_dynamic_image_shows_the_face(gallery: InputGallery) -> None:
    before = kept(gallery, "mesti")
    gallery.drift.value = 3.0
    assert kept(gallery, "mesti") > 0.9 * before
    assert kept(gallery, "dynamic_image") < 0.5 * kept(gallery, "mesti")


def test_of_a_recording_nothing_is_counted(clips: list[Clip]) -> None:
    shown = InputGallery({"<mine>": replace(clips[0], frames=Pixels(clips[0].frames))})
    assert "is not known" in shown.caption.value
    assert "times" not in shown.headings["mesti"].value
    assert shown.cards["mesti"].value


def test_it_needs_a_clip() -> None:
    with pytest.raises(ValueError, match="needs a clip"):
        InputGallery([])
