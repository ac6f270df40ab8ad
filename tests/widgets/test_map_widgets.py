"""Widgets that show maps: what they say, what they offer, and what stays chosen."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import quick_config
from reporting.made_runs import make_run, two_sets
from reporting.shown import pixels

from hmrm_lab.api.result import Result
from hmrm_lab.api.system import System
from hmrm_lab.datasets.synthetic import synthetic
from hmrm_lab.models.ammsm.ammsm import surviving_tokens
from hmrm_lab.models.ammsm.sparse_activation import make_choice
from hmrm_lab.preparation import compute_flowset
from hmrm_lab.records import Clip, FlowSet
from hmrm_lab.training.trainer import fit

pytest.importorskip("ipywidgets", reason="the extra 'jupyter' is not installed")

from hmrm_widgets import MagnifierStudio, MotionMixStudio, PredictionBrowser, RegionInspector


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    return synthetic(subjects=2, clips=8)


@pytest.fixture(scope="module")
def flowset(clips: list[Clip]) -> FlowSet:
    return compute_flowset(clips, quick_config().flow)


@pytest.fixture(scope="module")
def ammsm(flowset: FlowSet) -> System:
    small = ("model.width=8", "model.head=8", "model.magnifier=gated", "training.epochs=1")
    config = quick_config("ammsm_temporal", *small)
    return System.of_settings(config, fit(config, flowset, seed=0))


@pytest.fixture
def browser(tmp_path: Path) -> PredictionBrowser:
    flowset = two_sets()
    peeking = make_run(tmp_path, flowset, "evaluation.epoch_rule=oracle_test", right=0.9)
    runs = (make_run(tmp_path, flowset), peeking)
    return PredictionBrowser([Result(run) for run in runs], flowset)


def listed(browser: PredictionBrowser) -> list[str]:
    return [" ".join(label.split()) for label, _ in browser.answer.options]


def test_b_is_of_the_class_of_a_and_stays_where_it_can(flowset: FlowSet) -> None:
    studio = MotionMixStudio(flowset.with_labels(np.array([0, 0, 0, 0, 1, 1, 1, 1])))
    assert "λ = 1.00" in studio.caption.value
    assert "100% of B" in studio.caption.value
    assert [number for _, number in studio.second.options] == [1, 2, 3]
    studio.second.value = 3
    studio.first.value = 1
    assert ([number for _, number in studio.second.options], studio.second.value) == ([0, 2, 3], 3)
    studio.first.value = 5
    assert studio.second.value == 4


def test_without_a_share_the_mixture_is_a_and_arrows_lie_over_the_face_at_crop_resolution(
    flowset: FlowSet, clips: list[Clip]
) -> None:
    studio = MotionMixStudio(flowset, clips)
    assert studio.pictures["mixture"].value != studio.pictures["A"].value
    studio.strength.value = 0.0
    assert studio.pictures["mixture"].value == studio.pictures["A"].value
    studio.grain.value, studio.display.value = "crop", "quiver"
    face = clips[studio.first.value].frames[0]
    assert np.median(np.abs(pixels(studio.pictures["A"].value).astype(int) - face)) < 8


def test_a_clip_alone_in_its_class_is_said_in_a_sentence(flowset: FlowSet) -> None:
    studio = MotionMixStudio(flowset.with_labels(np.array([2, 0, 0, 0, 0, 0, 0, 0])))
    assert studio.first.value == 1, "it opens with a pair"
    studio.first.value = 0
    assert "is the only clip of its class" in studio.problem.value
    assert studio.second.disabled
    assert not any(picture.value for picture in studio.pictures.values())
    studio.first.value = 2
    assert not studio.problem.value
    assert all(picture.value for picture in studio.pictures.values())


def test_maps_alone_have_the_template_and_neither_crop_nor_face(
    flowset: FlowSet, ammsm: System
) -> None:
    published = replace(flowset, masks=None, unit="relative")
    mixing, inspector = MotionMixStudio(published), RegionInspector(published)
    magnifier = MagnifierStudio(ammsm, flowset)
    for offered, only in (
        (mixing.grain, "map"),
        (inspector.ground, "map"),
        (magnifier.ground, "flow"),
    ):
        assert [value for _, value in offered.options] == [only]
    assert "own unit" in mixing.caption.value
    assert "own unit" in inspector.caption.value
    assert "times on average" in magnifier.caption.value
    assert all(picture.value for picture in mixing.pictures.values())
    assert inspector.face.value


def test_the_studio_opens_with_the_choice_of_the_model(ammsm: System, flowset: FlowSet) -> None:
    model = ammsm.fitted.model
    before = model.choice
    model.choose(32.0, (0.02, 0.5, 0.5, 1.0))
    try:
        studio = MagnifierStudio(ammsm, flowset)
    finally:
        model.choose(before.alpha, before.ratios)
    assert studio.alpha.value == pytest.approx(32), "beyond the sliders of others"
    assert [slider.value for slider in studio.ratios] == pytest.approx([0.02, 0.5, 0.5, 1.0])
    assert not studio.together.value
    assert "4 of 196" in studio.counts[0].value


def test_one_ratio_moves_all_and_four_move_one_each(
    ammsm: System, flowset: FlowSet, clips: list[Clip]
) -> None:
    studio = MagnifierStudio(ammsm, flowset, clips)
    assert "by the exact flow" in studio.caption.value
    assert [slider.disabled for slider in studio.ratios] == [False, True, True, True]
    studio.ratios[0].value = 0.25
    assert [slider.value for slider in studio.ratios] == [0.25] * 4
    studio.together.value = False
    assert not any(slider.disabled for slider in studio.ratios)
    for slider, ratio in zip(studio.ratios, (0.1, 0.3, 0.7, 0.9), strict=True):
        slider.value = ratio
    choice = make_choice(studio.alpha.value, (0.1, 0.3, 0.7, 0.9))
    masks = surviving_tokens(ammsm.fitted.model, ammsm.inputs(flowset)[:1], choice)
    told = [int(count.value.partition(": ")[2].split()[0]) for count in studio.counts]
    assert told == [int(mask.sum()) for mask in masks] == [20, 15, 12, 4]
    before = [picture.value for picture in studio.stages]
    studio.ratios[2].value = 1.0
    after = [picture.value for picture in studio.stages]
    assert [b != a for b, a in zip(before, after, strict=True)] == [False, False, True, False]
    assert ammsm.fitted.model.choice == make_choice(4.0, (0.5,) * 4), "the network keeps its own"


def test_the_regions_are_those_of_the_grain(flowset: FlowSet, clips: list[Clip]) -> None:
    inspector = RegionInspector(flowset, clips)
    assert pixels(inspector.face.value).shape == (336, 336, 3)
    assert pixels(inspector.motion.value).shape == (224, 224, 3), "14x14 cells"
    assert "token 0 of 4" in inspector.caption.value
    assert "tokens 0 to 3 of 16" in inspector.caption.value
    assert "0 ◀" in inspector.order.value
    inspector.region.value = 2
    inspector.grain.value = "sub"
    assert (len(inspector.region.options), inspector.region.value) == (16, 0)
    inspector.region.value = 6
    assert "token 6 of 16" in inspector.caption.value
    assert "core region top right" in inspector.caption.value
    assert pixels(inspector.motion.value).shape == (112, 112, 3), "7x7 cells"
    inspector.tokens.value = "pixels"
    assert inspector.order.value.count("<td") == 49
    assert "each of one cell" in inspector.caption.value
    inspector.grain.value = "core"
    assert "each of 2x2 cells" in inspector.caption.value


def test_the_motion_inside_is_told(flowset: FlowSet) -> None:
    maps = np.zeros_like(flowset.maps)
    maps[:, 1, :7, :7] = 1.5
    inspector = RegionInspector(replace(flowset, maps=maps))
    inspector.grain.value = "sub"
    assert "mean vector has 1.50 px and points down (90°" in inspector.caption.value


def test_it_opens_with_all_answers_the_surest_first_and_a_run_that_peeks_is_stamped(
    browser: PredictionBrowser,
) -> None:
    labels = listed(browser)
    assert len(labels) == 30
    assert "30 of 30 answers" in browser.count.value
    shares = [int(label.split()[1].rstrip("%")) for label in labels]
    assert shares == sorted(shares, reverse=True)
    assert "predicted" in browser.bars.value
    assert "epoch rule last" in browser.caption.value
    browser.order.value = "least confident first"
    assert listed(browser)[0] == labels[-1]
    assert "PEEKS" not in browser.caption.value
    browser.run.value = 1
    assert "PEEKS AT THE TEST SUBJECT" in browser.caption.value


def test_each_filter_lists_what_passes_it(browser: PredictionBrowser) -> None:
    for control, value, sign in (
        ("outcome", "wrong", "✗"),
        ("outcome", "right", "✓"),
        ("truth", "positive", "positive →"),
        ("prediction", "surprise", "→ surprise"),
        ("dataset", "other", "· other"),
        ("subject", "toy/s02", "toy s02"),
    ):
        dropdown = getattr(browser, control)
        start, dropdown.value = dropdown.value, value
        labels, words = listed(browser), browser.count.value
        dropdown.value = start
        assert 0 < len(labels) < 30, control
        assert all(sign in label for label in labels), control
        assert f"{len(labels)} of 30 answers" in words, control


def test_subjects_are_those_of_the_data_set(browser: PredictionBrowser) -> None:
    assert len(browser.subject.options) == 6
    browser.subject.value = "toy/s03"
    browser.dataset.value = "other"
    assert browser.subject.options == ("any", "other/s01", "other/s02")
    assert browser.subject.value == "any"


def test_a_filter_that_nothing_passes_says_so(browser: PredictionBrowser) -> None:
    browser.dataset.value, browser.outcome.value = "other", "wrong"
    browser.truth.value = browser.prediction.value = "positive"
    assert "No answer passes" in browser.count.value
    assert (browser.motion.value, browser.bars.value, browser.caption.value) == (b"", "", "")
    browser.prediction.value = browser.outcome.value = "any"
    assert browser.motion.value


def test_the_chosen_answer_stays_while_it_passes(browser: PredictionBrowser) -> None:
    browser.outcome.value = "wrong"
    browser.answer.value = 3
    chosen = browser.answer.label
    browser.order.value = "by clip"
    assert browser.answer.label == chosen
    browser.outcome.value = "right"
    assert browser.answer.value == 0


def test_faces_are_shown_where_there_are_any(
    browser: PredictionBrowser, flowset: FlowSet, clips: list[Clip], tmp_path: Path
) -> None:
    assert browser.faces.value == b""
    assert "no frames" in browser.caption.value
    with_faces = PredictionBrowser(Result(make_run(tmp_path / "faces", flowset)), flowset, clips)
    assert pixels(with_faces.faces.value).shape == (224, 448, 3)
    with_faces.display.value = "quiver"
    arrows = pixels(with_faces.motion.value)
    assert arrows.shape == (448, 448, 3)
    assert len(np.unique(arrows.reshape(-1, 3), axis=0)) > 500, "arrows stand on the face"
