"""The figure of an evolutionary search."""

import pandas as pd
import pytest

from hmrm_lab.reporting.plots.searches import choices_figure, fittest
from hmrm_lab.reporting.style import BLUE, ORANGE


def table() -> pd.DataFrame:
    """Four trials, the third a repetition of the first."""
    return pd.DataFrame(
        {
            "Trial": [1, 2, 3, 4],
            "Generation": [1, 1, 2, 2],
            "alpha": [2.0, 8.0, 2.0, 4.0],
            "ratio 1": [0.2, 0.3, 0.2, 0.5],
            "ratio 2": [0.9, 0.8, 0.9, 0.7],
            "UF1": [0.6, 0.6, 0.6, 0.4],
            "Cross-entropy": [0.9, 0.8, 0.9, 0.2],
            "Best": [0.6, 0.6, 0.6, 0.6],
        }
    )


def test_the_fittest_are_ordered_and_each_is_there_once() -> None:
    assert fittest(table())["Trial"].tolist() == [2, 1, 4]
    assert fittest(table(), 1)["Trial"].tolist() == [2]


def test_ratios_are_blue_and_the_factor_is_orange_on_its_own_axis() -> None:
    figure = choices_figure(table())
    first, second, factor = figure.data
    assert [dots.marker.color for dots in figure.data] == [BLUE, BLUE, ORANGE]
    assert list(first.y) == [0.3, 0.2, 0.5]
    assert list(second.y) == [0.8, 0.9, 0.7]
    assert list(factor.y) == [8.0, 2.0, 4.0]
    assert (first.yaxis, factor.yaxis) == ("y", "y2")
    assert list(second.x) == pytest.approx([0.7, 1.0, 1.3]), "about the place of stage 2"
    assert list(figure.layout.xaxis.ticktext) == ["stage 1", "stage 2", "factor"]
    assert [dots.showlegend for dots in figure.data] == [True, False, True]
    assert first.marker.line.width[0] > first.marker.line.width[1] == 0
    assert "trial 2: UF1 0.600" in first.customdata[0]


def test_the_caption_says_what_it_is_not() -> None:
    caption = choices_figure(table()).layout.annotations[-1].text.replace("<br>", " ")
    assert "The 3 fittest of 4 trials" in caption
    assert "not a test result" in caption


def test_without_trials_it_says_so() -> None:
    assert not choices_figure(pd.DataFrame()).data
