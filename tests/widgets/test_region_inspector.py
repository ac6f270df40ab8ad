"""The inspector: regions, their tokens, the motion inside."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from hmrm_lab.config.sections import FlowConfig
from hmrm_lab.datasets.classes import MEGC3
from hmrm_lab.datasets.synthetic import synthetic
from hmrm_lab.errors import InputError
from hmrm_lab.preparation import compute_flowset
from hmrm_lab.records import Clip, FlowSet

pytest.importorskip("ipywidgets", reason="the extra 'jupyter' is not installed")

from hmrm_widgets import RegionInspector

CONTROLS = ("clip", "grain", "tokens", "region", "ground", "steady")


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    return synthetic(subjects=2, clips=4)


@pytest.fixture(scope="module")
def flowset(clips: list[Clip]) -> FlowSet:
    return compute_flowset(clips, FlowConfig(name="dis"))


@pytest.fixture
def inspector(flowset: FlowSet, clips: list[Clip]) -> RegionInspector:
    return RegionInspector(flowset, clips)


def seen(inspector: RegionInspector) -> dict[str, object]:
    return {n: getattr(inspector, n).value for n in ("face", "motion", "order", "caption")}


def pixels(content: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)


def test_it_opens_with_the_first_core_region_over_the_face(inspector: RegionInspector) -> None:
    assert pixels(inspector.face.value).shape == (336, 336, 3)
    assert pixels(inspector.motion.value).shape == (224, 224, 3), "14x14 cells"
    assert "token 0 of 4" in inspector.caption.value
    assert "tokens 0 to 3 of 16" in inspector.caption.value
    assert "0 ◀" in inspector.order.value


@pytest.mark.parametrize(
    ("control", "value", "changed"),
    [
        ("clip", 2, {"face", "motion", "caption"}),
        ("grain", "sub", {"face", "motion", "order", "caption"}),
        ("tokens", "pixels", {"face", "order", "caption"}),
        ("region", 3, {"face", "motion", "order", "caption"}),
        ("ground", "map", {"face"}),
        ("steady", False, {"motion", "caption"}),
    ],
)
def test_each_control_changes_what_it_should(
    inspector: RegionInspector, control: str, value: object, changed: set[str]
) -> None:
    before = seen(inspector)
    getattr(inspector, control).value = value
    after = seen(inspector)
    assert {name for name in after if after[name] != before[name]} == changed
    assert not inspector.problem.value


def test_the_regions_are_those_of_the_grain(inspector: RegionInspector) -> None:
    inspector.region.value = 2
    inspector.grain.value = "sub"
    assert len(inspector.region.options) == 16
    assert inspector.region.value == 0
    inspector.region.value = 6
    assert "token 6 of 16" in inspector.caption.value
    assert "core region top right" in inspector.caption.value
    assert pixels(inspector.motion.value).shape == (112, 112, 3), "7x7 cells"


def test_pixel_tokens_are_listed(inspector: RegionInspector) -> None:
    inspector.tokens.value = "pixels"
    assert inspector.order.value.count("<td") == 49
    assert "each of 2x2 cells" in inspector.caption.value
    inspector.grain.value = "sub"
    assert "each of one cell" in inspector.caption.value


def test_the_motion_inside_is_told(flowset: FlowSet) -> None:
    maps = np.zeros_like(flowset.maps)
    maps[:, 1, :7, :7] = 1.5
    inspector = RegionInspector(replace(flowset, maps=maps))
    inspector.grain.value = "sub"
    assert "mean vector has 1.50 px and points down (90°" in inspector.caption.value
    relative = RegionInspector(replace(flowset, maps=maps, unit="relative"))
    assert "own unit" in relative.caption.value


def test_without_clips_the_map_is_the_ground(flowset: FlowSet) -> None:
    inspector = RegionInspector(flowset)
    assert [value for _, value in inspector.ground.options] == ["map"]
    assert inspector.face.value


def test_what_cannot_be_inspected_is_refused(flowset: FlowSet, clips: list[Clip]) -> None:
    with pytest.raises(ValueError, match="needs a map"):
        RegionInspector(flowset.take([]))
    with pytest.raises(ValueError, match="not those of the maps"):
        RegionInspector(flowset, clips[1:])
    large = FlowSet(
        np.zeros((1, 3, 56, 56), np.float32), np.zeros(1, np.int64), flowset.keys[:1], MEGC3.classes
    )
    with pytest.raises(ValueError, match="28x28 cells"):
        RegionInspector(large)


class Unreadable:
    """Frames that cannot be read."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int, /) -> np.ndarray:
        raise self.error


def with_spoilt_clip(clips: list[Clip], error: Exception) -> list[Clip]:
    return [clips[0], replace(clips[1], frames=Unreadable(error)), *clips[2:]]


def test_a_refusal_is_told_and_the_views_are_empty(flowset: FlowSet, clips: list[Clip]) -> None:
    error = InputError("cut off", where="img.jpg", hint="copy it again")
    inspector = RegionInspector(flowset, with_spoilt_clip(clips, error))
    inspector.clip.value = 1
    assert "img.jpg: cut off; copy it again" in inspector.problem.value
    assert not any(seen(inspector).values())
    inspector.ground.value = "map"
    assert not inspector.problem.value
    assert all(seen(inspector).values())
