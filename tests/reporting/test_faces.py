"""Figures of faces, of apexes, and of the prediction for one recording."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from reporting.shown import by_name, pictures_of, words_of
from reporting.test_recording_pages import made

from hmrm_lab.evaluation.metrics import ReliabilityBin
from hmrm_lab.faces.apex import ApexCurve
from hmrm_lab.reporting.plots import faces
from hmrm_lab.reporting.plots.faces import apex_curve_figure, apex_errors_figure, motion_table

GREY = np.full((224, 224, 3), 120, np.uint8)
VALUES = np.array([0, 1, 3, 2, 0.5], np.float32)
PARTS = {"brow_left": 2 * VALUES, "brow_right": VALUES, "mouth": VALUES[::-1].copy()}
CURVE = ApexCurve(5, True, np.arange(3, 8), VALUES, PARTS)
NAN = float("nan")
BINS = [ReliabilityBin(0.0, 0.5, 0, NAN, NAN), ReliabilityBin(0.5, 1.0, 8, 0.75, 0.5)]


def test_pictures_stand_side_by_side_under_their_names() -> None:
    figure = faces.faces_figure({"<a>": GREY, "b": GREY[:100]}, "Two", caption="As seen.")
    assert [picture.shape[:2] for picture in pictures_of(figure)] == [(224, 224), (100, 224)]
    assert "&lt;a&gt; b As seen." in words_of(figure)
    with pytest.raises(ValueError, match="no picture"):
        faces.faces_figure({}, "None")


def test_curves_mark_both_apexes() -> None:
    names = by_name(apex_curve_figure(CURVE, 4))
    assert names["spotted apex: 5"].x == (5, 5)
    assert names["annotated apex: 4"].x == (4, 4)
    assert list(by_name(apex_curve_figure(CURVE))) == ["spotted apex: 5"]
    assert "guess" in words_of(apex_curve_figure(replace(CURVE, spotted=False)))
    names = by_name(faces.part_curves_figure(CURVE, 4))
    np.testing.assert_array_equal(names["brow left"].y, CURVE.parts["brow_left"])
    steps = {"dlib": pd.Series([0.5, 0.7], index=[4, 5])}
    assert list(faces.frame_lines_figure(steps, "Steps", "step (px)").data[0].x) == [4, 5]


def test_errors_are_counted_and_set_against_strength() -> None:
    rows = [
        ("a", "negative", 0, 2, 1.5, 3.0),
        ("b", "surprise", -3, 0, 0.4, 1.0),
        ("c", "surprise", 0, -1, 2.5, 4.0),
        ("d", "positive", None, None, np.nan, 2.0),
    ]
    columns = ["clip", "class", "error", "middle_error", "strength_px", "peak"]
    table = pd.DataFrame(rows, columns=columns).astype({"error": "Int64", "middle_error": "Int64"})
    figure = apex_errors_figure(table)
    names = by_name(figure)
    assert dict(zip(names["spotted"].x, names["spotted"].y, strict=True)) == {-3: 1, 0: 2}
    assert list(names["surprise"].x) == [0.4, 2.5]
    assert list(names["surprise"].y) == [-3, 0]
    assert "3 clips" in words_of(figure)
    unknown = apex_errors_figure(table.assign(strength_px=np.nan))
    assert list(by_name(unknown)["surprise"].x) == [1.0, 4.0], "the height of the curve instead"
    assert "No clip has an annotated apex" in words_of(apex_errors_figure(table.iloc[3:]))


def test_an_answer_stands_among_those_of_its_run_and_rests_on_parts() -> None:
    answers = {"<one>": made(), "two": made(probabilities=np.float32([0.5, 0.25, 0.25]))}
    figure = faces.answers_figure(answers, caption="By rule.")
    shares = [tuple(np.round(bar.x, 2)) for bar in figure.data]
    assert shares == [(0.1, 0.5), (0.2, 0.25), (0.7, 0.25)]
    assert figure.data[0].y == ("&lt;one&gt;", "two")
    figure = faces.calibration_figure(BINS, 0.7, caption="last; 4 folds")
    (bar,) = [trace for trace in figure.data if trace.type == "bar"]
    assert (bar.x, bar.y, bar.text) == ((0.75,), (0.5,), ("8 clips",))
    assert by_name(figure)["this answer: 70%"].x == (0.7, 0.7)
    assert "no probabilities" in words_of(faces.calibration_figure(BINS[:1], 0.7))
    assert faces.parts_figure(made()).data[0].x == pytest.approx((-2, 10, 30))
    row = faces.recordings_table({"mine": made()}).loc["mine"]
    assert (row["answer"], row["apex"]) == ("surprise", 12)
    assert row["surprise (%)"] == pytest.approx(70)
    parts = faces.parts_table(made())
    assert parts.index.tolist() == ["mouth", "elsewhere", "eye left"]
    assert parts["share in the answer (%)"].tolist() == pytest.approx([75, 25, 0])
    assert parts["lost when held still (points)"].iloc[-1] == pytest.approx(-2)


def test_the_head_is_taken_from_the_motion() -> None:
    field = np.tile(np.float32([3, 4])[:, None, None], (1, 10, 10))
    within = np.ones((10, 10), bool)
    assert motion_table({"head": field}, within).loc["head"].tolist() == pytest.approx([5, 0, 0])
    field[0, 0, 0] += 100
    row = motion_table({"and a hair": field}, within).loc["and a hair"]
    assert row.tolist()[:2] == pytest.approx([5, 1])
    within[0, 0] = False
    assert motion_table({"a wall": field}, within).loc["a wall"].iloc[0] == pytest.approx(5)
