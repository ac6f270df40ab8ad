from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import make_flowset, quick_config
from reporting.made_runs import make_run, two_sets

from hmrm_lab.api.result import Result
from hmrm_lab.datasets.synthetic import synthetic
from hmrm_lab.errors import InputError
from hmrm_lab.preparation import compute_flowset

pytest.importorskip("ipywidgets", reason="the extra 'jupyter' is not installed")

from hmrm_widgets import PredictionBrowser

FILTERS = ("run", "outcome", "truth", "prediction", "dataset", "person", "order")


@pytest.fixture
def browser(tmp_path: Path) -> PredictionBrowser:
    flowset = two_sets()
    runs = [
        make_run(tmp_path, flowset),
        make_run(tmp_path, flowset, "evaluation.epoch_rule=oracle_test", right=0.9),
    ]
    return PredictionBrowser([Result(run) for run in runs], flowset)


@pytest.fixture(scope="module")
def with_faces(tmp_path_factory: pytest.TempPathFactory) -> PredictionBrowser:
    clips = synthetic(subjects=2, clips=6)
    flowset = compute_flowset(clips, quick_config().flow)
    result = Result(make_run(tmp_path_factory.mktemp("r"), flowset))
    return PredictionBrowser(result, flowset, clips)


def picture(content: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)


def listed(browser: PredictionBrowser) -> list[str]:
    return [label for label, _ in browser.answer.options]


def test_it_opens_with_all_answers_the_surest_first(browser: PredictionBrowser) -> None:
    assert len(listed(browser)) == 30
    assert "30 of 30 answers" in browser.count.value
    shares = [int(label.split()[1].rstrip("%")) for label in listed(browser)]
    assert shares == sorted(shares, reverse=True)
    assert "predicted" in browser.bars.value
    assert "epoch rule last" in browser.caption.value
    assert picture(browser.motion.value).shape == (224, 224, 3)


@pytest.mark.parametrize(
    ("control", "value", "sign"),
    [
        ("outcome", "wrong", "✗"),
        ("outcome", "right", "✓"),
        ("truth", "positive", "positive →"),
        ("prediction", "surprise", "→ surprise"),
        ("dataset", "other", "· other"),
        ("person", "toy/s02", "toy s02"),
    ],
)
def test_each_filter_lists_what_passes_it(
    browser: PredictionBrowser, control: str, value: str, sign: str
) -> None:
    getattr(browser, control).value = value
    labels = [" ".join(label.split()) for label in listed(browser)]
    assert 0 < len(labels) < 30
    assert all(sign in label for label in labels)
    assert f"{len(labels)} of 30 answers" in browser.count.value


def test_the_order_turns_round(browser: PredictionBrowser) -> None:
    before = listed(browser)
    browser.order.value = "least confident first"
    assert listed(browser)[0] == before[-1]


def test_subjects_are_those_of_the_data_set(browser: PredictionBrowser) -> None:
    assert len(browser.person.options) == 6
    browser.person.value = "toy/s03"
    browser.dataset.value = "other"
    assert browser.person.options == ("any", "other/s01", "other/s02")
    assert browser.person.value == "any"


def test_a_filter_that_nothing_passes_says_so(browser: PredictionBrowser) -> None:
    browser.dataset.value, browser.outcome.value = "other", "wrong"
    browser.truth.value = browser.prediction.value = "positive"
    assert "No answer passes" in browser.count.value
    assert (browser.motion.value, browser.bars.value, browser.caption.value) == (b"", "", "")
    browser.prediction.value = "any"
    browser.outcome.value = "any"
    assert browser.motion.value


@pytest.mark.parametrize("display", ["quiver", "strain"])
def test_each_display_is_another_picture(browser: PredictionBrowser, display: str) -> None:
    before, words = browser.motion.value, browser.caption.value
    browser.display.value = display
    assert browser.motion.value != before
    assert browser.caption.value != words


def test_another_answer_is_another_clip(browser: PredictionBrowser) -> None:
    before = browser.motion.value, browser.bars.value, browser.caption.value
    browser.answer.value = 5
    now = browser.motion.value, browser.bars.value, browser.caption.value
    assert all(old != new for old, new in zip(before, now, strict=True))


def test_the_chosen_answer_stays_while_it_passes(browser: PredictionBrowser) -> None:
    browser.outcome.value = "wrong"
    browser.answer.value = 3
    chosen = browser.answer.label
    browser.order.value = "by clip"
    assert browser.answer.label == chosen
    browser.outcome.value = "right"
    assert browser.answer.value == 0


def test_a_run_that_peeks_is_stamped(browser: PredictionBrowser) -> None:
    assert "PEEKS" not in browser.caption.value
    browser.run.value = 1
    assert "PEEKS AT THE TEST SUBJECT" in browser.caption.value


def test_faces_are_shown_where_there_are_any(
    browser: PredictionBrowser, with_faces: PredictionBrowser
) -> None:
    assert browser.faces.value == b""
    assert "no frames" in browser.caption.value
    assert picture(with_faces.faces.value).shape == (224, 448, 3)
    with_faces.display.value = "quiver"
    drawn = picture(with_faces.motion.value)
    assert drawn.shape == (448, 448, 3)
    assert len(np.unique(drawn.reshape(-1, 3), axis=0)) > 500, "arrows stand on the face"


def test_maps_of_other_clips_are_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path, two_sets())
    with pytest.raises(InputError, match="no map for the clip other/"):
        PredictionBrowser(Result(run), make_flowset(subjects=3))
    with pytest.raises(ValueError, match="needs a run"):
        PredictionBrowser([], two_sets())
