import numpy as np
import pytest
from reporting.test_prediction import made

from hmrm_lab.evaluation.calibration import ReliabilityBin
from hmrm_lab.reporting.plots.faces import (
    answers_figure,
    calibration_figure,
    motion_table,
    parts_figure,
    parts_table,
    recordings_table,
)

NAN = float("nan")
BINS = [
    ReliabilityBin(0.0, 0.5, 0, NAN, NAN),
    ReliabilityBin(0.5, 1.0, 8, 0.75, 0.5),
]


def test_each_answer_has_a_bar_for_each_class() -> None:
    answers = {"<one>": made(), "two": made(probabilities=np.float32([0.5, 0.25, 0.25]))}
    figure = answers_figure(answers, caption="By rule.")
    bars = [bar for bar in figure.data if bar.type == "bar"]
    assert [bar.name for bar in bars] == ["negative", "positive", "surprise"]
    assert [tuple(np.round(bar.x, 2)) for bar in bars] == [(0.1, 0.5), (0.2, 0.25), (0.7, 0.25)]
    assert bars[0].y == ("&lt;one&gt;", "two")
    assert bars[0].text == ("10%", "50%")
    assert "By rule." in figure.layout.annotations[-1].text
    assert figure.layout.xaxis.title.text == "probability"


def test_parts_are_sorted_by_what_they_carry() -> None:
    (bar,) = parts_figure(made()).data
    assert bar.y == ("eye left", "elsewhere", "mouth")
    assert bar.x == pytest.approx((-2, 10, 30))


def test_the_answer_stands_among_those_of_the_run() -> None:
    figure = calibration_figure(BINS, 0.7, caption="last; 4 folds")
    (bar,) = [trace for trace in figure.data if trace.type == "bar"]
    assert (bar.x, bar.y, bar.text) == ((0.75,), (0.5,), ("8 clips",))
    assert (figure.data[-1].name, figure.data[-1].x) == ("this answer: 70%", (0.7, 0.7))


def test_a_run_without_probabilities_says_so() -> None:
    figure = calibration_figure(BINS[:1], 0.7)
    assert "no probabilities" in figure.layout.annotations[0].text


def test_tables_hold_what_the_figures_show() -> None:
    table = recordings_table({"mine": made()})
    assert table.loc["mine", "answer"] == "surprise"
    assert table.loc["mine", "surprise (%)"] == pytest.approx(70)
    assert table.loc["mine", "apex"] == 12
    parts = parts_table(made())
    assert parts.index.tolist() == ["mouth", "elsewhere", "eye left"]
    assert parts["share in the answer (%)"].tolist() == pytest.approx([75, 25, 0])
    assert parts["lost when held still (points)"].iloc[-1] == pytest.approx(-2)


def test_the_head_is_taken_from_the_motion() -> None:
    field = np.tile(np.float32([3, 4])[:, None, None], (1, 10, 10))
    within = np.ones((10, 10), bool)
    row = motion_table({"head": field}, within).loc["head"]
    assert row.tolist() == pytest.approx([5, 0, 0])
    field[0, 0, 0] += 100
    row = motion_table({"and a hair": field}, within).loc["and a hair"]
    assert row["head (px)"] == pytest.approx(5)
    assert row["mean without it (px)"] == pytest.approx(1)
    assert row["99 % stay below (px)"] < 100
    within[0, 0] = False
    assert motion_table({"a wall": field}, within).loc["a wall"].tolist() == pytest.approx(
        [5, 0, 0]
    )
