"""The forest plot: marks where the numbers are, reasons where there are none."""

import math

import pandas as pd
import pytest

from hmrm_lab.reporting.study_figures import forest_figure, power_figure

NAN = math.nan
COLUMNS = (
    *("Variant", "Model", "UF1", "Difference", "Difference low", "Difference high"),
    *("p", "p (Holm)", "Paper difference", "Note"),
)


def table(*rows: tuple[object, ...]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(COLUMNS))


FULL = ("M4", "all components", 0.8, NAN, NAN, NAN, NAN, NAN, NAN, "")
WORSE = ("M2", "no MotionMix", 0.7, -0.1, -0.2, 0.05, 0.04, 0.08, -0.035, "")
WAITING = ("M3", "no <fusion>", NAN, NAN, NAN, NAN, NAN, NAN, -0.039, "not run yet")


def test_points_intervals_and_claims() -> None:
    figure = forest_figure(table(FULL, WORSE, WAITING), caption="epoch rule last")
    ours, claims = figure.data
    assert list(ours.x) == [-0.1]
    assert ours.x[0] + ours.error_x.array[0] == pytest.approx(0.05)
    assert ours.x[0] - ours.error_x.arrayminus[0] == pytest.approx(-0.2)
    assert list(claims.x) == [-0.035, -0.039]
    assert claims.marker.symbol == "diamond-open"
    assert len(figure.layout.yaxis.ticktext) == 2, "the full model is the line"
    low, high = figure.layout.xaxis.range
    assert low < -0.2 < 0.05 < high
    assert figure.layout.shapes[0].x0 == figure.layout.shapes[0].x1 == 0


def test_a_row_without_figures_says_why_and_is_no_markup() -> None:
    figure = forest_figure(table(FULL, WAITING))
    assert [a.text for a in figure.layout.annotations if a.name == "reason"] == ["not run yet"]
    assert "&lt;fusion&gt;" in figure.layout.yaxis.ticktext[0]


def test_the_full_model_has_no_row_even_where_it_has_no_figures_yet() -> None:
    unfinished = ("M4", "all components", NAN, NAN, NAN, NAN, NAN, NAN, NAN, "not run yet")
    figure = forest_figure(table(unfinished, WAITING))
    assert len(figure.layout.yaxis.ticktext) == 1
    named = forest_figure(table(FULL, WORSE), full="M2")
    assert named.layout.yaxis.ticktext == ("<b>M4</b><br>all components",)


def test_nothing_to_compare_is_said() -> None:
    figure = forest_figure(table(FULL))
    assert not figure.data
    assert "no variant to compare" in figure.layout.annotations[0].text


def test_power_with_its_claims() -> None:
    power = pd.DataFrame(
        {
            "True difference": [0.0, 0.1],
            "Mean UF1 difference": [0.0, 0.11],
            "Found": [0.04, 0.7],
            "Studies": [50, 50],
        }
    )
    figure = power_figure(power, clips=145, claims={"M1": 0.05, "<M2>": 0.03})
    assert list(figure.data[0].y) == [0.04, 0.7]
    assert [a.text for a in figure.layout.annotations if a.name == "claim"] == ["&lt;M2&gt;", "M1"]
    assert "145 clips" in figure.layout.title.text
