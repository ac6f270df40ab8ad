"""The studio of the magnifier: a factor, ratios, and what they make of a clip."""

import pytest
from conftest import make_flowset, quick_config

from hmrm_lab.api.system import System
from hmrm_lab.datasets.synthetic import synthetic
from hmrm_lab.errors import InputError
from hmrm_lab.models.ammsm.ammsm import surviving_tokens
from hmrm_lab.models.ammsm.sparse_activation import make_choice
from hmrm_lab.preparation import compute_flowset
from hmrm_lab.records import Clip, FlowSet
from hmrm_lab.training.trainer import Fitted, fit

pytest.importorskip("ipywidgets", reason="the extra 'jupyter' is not installed")

from hmrm_widgets import MagnifierStudio

QUICK = ("model.width=8", "model.head=8", "training.epochs=1")


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    return synthetic(subjects=2, clips=3)


@pytest.fixture(scope="module")
def flowset(clips: list[Clip]) -> FlowSet:
    return compute_flowset(clips, quick_config().flow)


@pytest.fixture(scope="module")
def fitted(flowset: FlowSet) -> Fitted:
    return fit(quick_config("ammsm_temporal", *QUICK), flowset, seed=0)


def system_of(fitted: Fitted) -> System:
    return System.of_settings(fitted.config, fitted)


@pytest.fixture
def studio(fitted: Fitted, flowset: FlowSet, clips: list[Clip]) -> MagnifierStudio:
    return MagnifierStudio(system_of(fitted), flowset, clips)


def views(studio: MagnifierStudio) -> tuple[bytes, ...]:
    """Original, magnified, gate, and the four stages."""
    return (
        *(picture.value for picture in studio.pictures.values()),
        *(picture.value for picture in studio.stages),
    )


def test_it_opens_with_a_choice_beyond_its_sliders(flowset: FlowSet, fitted: Fitted) -> None:
    before = fitted.model.choice
    fitted.model.choose(32.0, (0.02, 0.5, 0.5, 1.0))
    try:
        studio = MagnifierStudio(system_of(fitted), flowset)
        assert studio.alpha.value == pytest.approx(32)
        assert studio.ratios[0].value == pytest.approx(0.02)
        assert "4 of 196" in studio.counts[0].value
    finally:
        fitted.model.choose(before.alpha, before.ratios)


def test_it_opens_with_the_choice_of_the_model(studio: MagnifierStudio) -> None:
    assert studio.alpha.value == pytest.approx(4)
    assert [slider.value for slider in studio.ratios] == [0.5] * 4
    assert studio.together.value
    assert [count.value.partition(": ")[2] for count in studio.counts] == [
        "98 of 196",
        "25 of 49",
        "8 of 16",
        "2 of 4",
    ]
    assert "With alpha 4.00 motion grows" in studio.caption.value
    assert "by the exact flow" in studio.caption.value
    assert all(bytes(picture).startswith(b"\x89PNG") for picture in views(studio)[:3])


@pytest.mark.parametrize(
    ("control", "value", "changed"),
    [
        ("alpha", 8.0, (False, True, False, *[True] * 4)),
        ("scale", 16.0, (True, True, False, *[True] * 4)),
        ("clip", 1, (True, True, True, *[True] * 4)),
        ("ground", "face", (False, False, False, *[True] * 4)),
    ],
)
def test_each_control_changes_what_it_should(
    studio: MagnifierStudio, control: str, value: object, changed: tuple[bool, ...]
) -> None:
    before = views(studio)
    getattr(studio, control).value = value
    after = views(studio)
    assert tuple(b != a for b, a in zip(before, after, strict=True)) == changed
    assert not studio.problem.value


def test_one_ratio_moves_all_and_four_move_one_each(studio: MagnifierStudio) -> None:
    assert [slider.disabled for slider in studio.ratios] == [False, True, True, True]
    studio.ratios[0].value = 0.25
    assert [slider.value for slider in studio.ratios] == [0.25] * 4
    assert "49 of 196" in studio.counts[0].value
    assert "1 of 4" in studio.counts[3].value
    studio.together.value = False
    assert not any(slider.disabled for slider in studio.ratios)
    before = views(studio)
    studio.ratios[2].value = 1.0
    after = views(studio)
    assert [b != a for b, a in zip(before, after, strict=True)] == [False] * 5 + [True, False]
    assert "16 of 16" in studio.counts[2].value


def test_the_counts_are_those_of_the_network(
    studio: MagnifierStudio, fitted: Fitted, flowset: FlowSet
) -> None:
    studio.together.value = False
    for slider, ratio in zip(studio.ratios, (0.1, 0.3, 0.7, 0.9), strict=True):
        slider.value = ratio
    choice = make_choice(studio.alpha.value, (0.1, 0.3, 0.7, 0.9))
    masks = surviving_tokens(fitted.model, fitted.inputs(flowset)[:1], choice)
    told = [int(count.value.partition(": ")[2].split()[0]) for count in studio.counts]
    assert told == [int(mask.sum()) for mask in masks] == [20, 15, 12, 4]
    assert fitted.model.choice == make_choice(4.0, (0.5,) * 4), "the network keeps its own"


def test_maps_alone_have_no_face_and_growth_has_no_regions(fitted: Fitted) -> None:
    studio = MagnifierStudio(system_of(fitted), make_flowset())
    assert [value for _, value in studio.ground.options] == ["flow"]
    assert "times on average" in studio.caption.value
    assert "exact flow" not in studio.caption.value


def test_what_magnifies_nothing_is_refused(flowset: FlowSet, fitted: Fitted) -> None:
    for config in (
        quick_config("ststnet", "training.epochs=1"),
        quick_config("ammsm_temporal", *QUICK, "model.magnifier=none"),
    ):
        with pytest.raises(InputError, match="magnifies nothing"):
            MagnifierStudio(system_of(fit(config, flowset, seed=0)), flowset)
    with pytest.raises(ValueError, match="clips of its maps"):
        MagnifierStudio(system_of(fitted), flowset, synthetic(subjects=2, clips=4))
