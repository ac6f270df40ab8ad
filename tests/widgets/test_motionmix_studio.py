"""The studio: two clips, a mask, their mixture."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from hmrm_lab.config.sections import FlowConfig
from hmrm_lab.datasets.synthetic import synthetic
from hmrm_lab.preparation import compute_flowset
from hmrm_lab.records import Clip, FlowSet

pytest.importorskip("ipywidgets", reason="the extra 'jupyter' is not installed")

from hmrm_widgets import MotionMixStudio

NAMES = ("first", "second", "regions", "strength", "display", "grain", "steady")


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    return synthetic(subjects=4, clips=8)


@pytest.fixture(scope="module")
def flowset(clips: list[Clip]) -> FlowSet:
    return compute_flowset(clips, FlowConfig(name="dis"))


@pytest.fixture
def studio(flowset: FlowSet, clips: list[Clip]) -> MotionMixStudio:
    return MotionMixStudio(flowset, clips)


def seen(studio: MotionMixStudio) -> dict[str, bytes]:
    return {name: picture.value for name, picture in studio.pictures.items()}


def test_it_opens_with_a_swap(studio: MotionMixStudio) -> None:
    assert all(seen(studio).values())
    assert "λ = 1.00" in studio.caption.value
    assert "100% of B" in studio.caption.value


def test_b_is_of_the_class_of_a_and_never_a(studio: MotionMixStudio, flowset: FlowSet) -> None:
    for first in range(len(flowset)):
        studio.first.value = first
        partners = [number for _, number in studio.second.options]
        same = np.flatnonzero(flowset.labels == flowset.labels[first]).tolist()
        assert partners == [number for number in same if number != first]


def test_b_stays_where_it_can(flowset: FlowSet) -> None:
    studio = MotionMixStudio(flowset.with_labels(np.array([0, 0, 0, 0, 1, 1, 1, 1])))
    studio.second.value = 3
    studio.first.value = 1
    assert studio.second.value == 3
    studio.first.value = 5
    assert studio.second.value == 4


@pytest.mark.parametrize(
    ("control", "value", "changed"),
    [
        ("strength", 0.5, {"mixture"}),
        ("regions", ("mouth",), {"A", "B", "mask", "mixture"}),
        ("display", "quiver", {"A", "B", "mixture"}),
        ("display", "strain", {"A", "B", "mixture"}),
        ("grain", "crop", {"A", "B", "mask", "mixture"}),
        ("steady", False, {"A", "B", "mixture"}),
    ],
)
def test_each_control_changes_what_it_should(
    studio: MotionMixStudio, control: str, value: object, changed: set[str]
) -> None:
    before = seen(studio)
    getattr(studio, control).value = value
    after = seen(studio)
    assert {name for name in after if after[name] != before[name]} == changed
    assert not studio.problem.value


def test_other_clips_are_other_pictures(studio: MotionMixStudio) -> None:
    before = seen(studio)
    studio.second.value = studio.second.options[-1][1]
    assert seen(studio)["A"] == before["A"]
    studio.first.value = studio.second.value
    assert seen(studio)["A"] != before["A"]


def test_without_a_share_the_mixture_is_a(studio: MotionMixStudio) -> None:
    studio.strength.value = 0.0
    assert seen(studio)["mixture"] == seen(studio)["A"]


def test_arrows_lie_over_the_face_at_crop_resolution(studio: MotionMixStudio) -> None:
    studio.grain.value, studio.display.value = "crop", "quiver"
    picture = cv2.imdecode(np.frombuffer(studio.pictures["A"].value, np.uint8), 1)
    face = studio._clips[studio.first.value].frames[0][..., ::-1]
    assert np.median(np.abs(picture.astype(int) - face)) < 8


def test_a_clip_alone_in_its_class_is_said_in_a_sentence(flowset: FlowSet) -> None:
    studio = MotionMixStudio(flowset.with_labels(np.array([2, 0, 0, 0, 0, 0, 0, 0])))
    assert studio.first.value == 1, "it opens with a pair"
    studio.first.value = 0
    assert "is the only clip of its class" in studio.problem.value
    assert studio.second.disabled
    assert not any(seen(studio).values())
    assert studio.caption.value == ""
    studio.first.value = 2
    assert not studio.problem.value
    assert all(seen(studio).values())


def test_maps_alone_have_the_template_and_no_crop(flowset: FlowSet) -> None:
    studio = MotionMixStudio(replace(flowset, masks=None, unit="relative"))
    assert [value for _, value in studio.grain.options] == ["map"]
    assert "own unit" in studio.caption.value
    assert all(seen(studio).values())


def test_the_legend_is_of_the_display(studio: MotionMixStudio) -> None:
    assert studio.legend.value
    studio.display.value = "quiver"
    assert studio.legend.layout.display == "none"


def test_what_cannot_be_mixed_is_refused(flowset: FlowSet, clips: list[Clip]) -> None:
    with pytest.raises(ValueError, match="two clips of one class"):
        MotionMixStudio(flowset.take([]))
    with pytest.raises(ValueError, match="not those of the maps"):
        MotionMixStudio(flowset, clips[1:])
