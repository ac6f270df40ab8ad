"""Light pictures of a run that is going."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from hmrm_lab.datasets.classes import MEGC3
from hmrm_lab.evaluation.live_progress import Arrived, FoldProgress
from hmrm_lab.reporting.loso_progress import (
    confusion_cells,
    loss_curves,
    progress_bar,
    subject_cells,
)

FOLDS = (
    FoldProgress("toy/s01", "done", 1.0, right=2, answered=3),
    FoldProgress("toy/s02", "in work", 0.25),
    FoldProgress("toy/s03", "failed", 0.0, reason="diverged: the loss is <nan>"),
    FoldProgress("toy/s04", "waiting", 0.0),
)


def arrived(**changes: object) -> Arrived:
    state = {
        "folds": FOLDS,
        "done": 1,
        "expected": 4,
        "classes": MEGC3.classes,
        "counts": np.ones((1, 3, 3), np.int64),
        "finished": ([(1, 2.0), (2, 1.0)],),
        "in_work": ([(1, 1.5)],),
        "epochs": 2,
        "stamp": "",
    }
    return Arrived(**{**state, **changes})


def well_formed(page: str) -> ElementTree.Element:
    return ElementTree.fromstring(f"<div>{page}</div>")


def labels(page: str) -> list[str]:
    return [
        node.attrib["aria-label"]
        for node in well_formed(page).iter()
        if "aria-label" in node.attrib
    ]


def test_the_bar_is_as_long_as_the_share() -> None:
    bar = progress_bar(0.256, "1 of 4 folds & more")
    assert 'aria-valuenow="26"' in bar
    assert "width:25.6%" in bar
    assert labels(bar) == ["1 of 4 folds & more"]


def test_each_subject_has_a_cell_that_says_its_state_in_words() -> None:
    assert labels(subject_cells(FOLDS)) == [
        "Held-out subjects: 1 waiting, 1 in work, 1 done, 1 failed",
        "toy/s01: done, 2/3 right",
        "toy/s02: in work, 25%",
        "toy/s03: failed, failed (diverged: the loss is <nan>)",
        "toy/s04: waiting, waits",
    ]


def test_the_bars_of_the_cells() -> None:
    widths = re.findall(r'height="8" rx="2" width="([\d.]+)" fill="#', subject_cells(FOLDS))
    assert widths == ["40.0", "15.0", "0.0", "0.0"]  # of 60: right, of the epochs, nothing


def test_data_sets_have_headings_where_there_are_several() -> None:
    others = (*FOLDS, FoldProgress("zoo/s01", "waiting", 0.0))
    assert "<b>zoo</b>" in subject_cells(others)
    assert "<b>" not in subject_cells(FOLDS)


def test_the_curves_go_from_the_highest_loss_down() -> None:
    page = loss_curves(arrived())
    (done, going) = (node.attrib["d"] for node in well_formed(page).iter("path"))
    assert done == "M52,30L342,95"  # from the top to half the height, from side to side
    assert going.startswith("M52,")
    (now,) = well_formed(page).iter("circle")
    assert (now.attrib["cx"], now.attrib["cy"]) == ("52", "62")  # three quarters of the highest
    assert labels(page) == ["Training loss by epoch, 1 finished trainings and 1 in work"]


@pytest.mark.parametrize(
    ("epochs", "ticks"),
    [
        (1, "1"),
        (2, "1 2"),
        (8, "1 2 3 4 5 6 7 8"),
        (24, "1 5 10 15 20"),
        (60, "1 10 20 30 40 50 60"),
    ],
)
def test_epochs_are_marked_at_round_numbers(epochs: int, ticks: str) -> None:
    page = loss_curves(arrived(finished=([(epochs, 1.0)],), in_work=(), epochs=epochs))
    texts = [node.text for node in well_formed(page).iter("text") if node.attrib["y"] == "176.0"]
    assert " ".join(texts) == ticks


def test_many_long_curves_stay_light() -> None:
    curve = [(epoch, 1 / epoch) for epoch in range(1, 1001)]
    page = loss_curves(arrived(finished=(curve,) * 200, epochs=1000))
    assert len(page) < 50_000
    assert page.count("M52,") == 201


def test_a_training_of_one_epoch_is_a_dot() -> None:
    page = loss_curves(arrived(finished=([(1, 0.5)],), in_work=(), epochs=1))
    assert re.search(r'd="M(\d+,\d+)L\1"', page)


def test_confusion_shows_counts_under_what_they_rest_on() -> None:
    page = confusion_cells(
        np.array([[5, 1, 0], [0, 2, 0], [0, 0, 0]]), MEGC3.classes, "1 of 4 folds: <so far>"
    )
    words = " ".join(well_formed(page).itertext())
    assert "1 of 4 folds: <so far>" in words
    counts = [node.findtext("text") for node in well_formed(page).iter("g")]
    assert counts == list("510020000")
    assert [node.attrib["fill-opacity"] for node in well_formed(page).iter("rect")][:3] == [
        "0.50",
        "0.10",
        "0.00",
    ]
