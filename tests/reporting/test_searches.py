"""The heatmap and the history of a search; what the fittest choices share."""

import math

import numpy as np
import pandas as pd
import pytest
from reporting.shown import words_of

from hmrm_lab.reporting.plots import searches
from hmrm_lab.reporting.plots.searches import SHADES, choices_figure, fittest, heatmap_figure

ROWS, COLUMNS = ("model.depth", [2, 4]), ("model.width", [64, 128])
NAN = math.nan


def cells() -> pd.DataFrame:
    """Three of four cells; one of them diverged."""
    columns = ["model.depth", "model.width", "UF1", "UF1 low", "UF1 high"]
    rows = [(2, 64, 0.5, 0.4, 0.6), (4, 64, 0.75, 0.6, 0.8), (2, 128, NAN, NAN, NAN)]
    made = pd.DataFrame(rows, columns=columns)
    return made.assign(Parameters=19305, Seeds=1, Seconds=3.2, Note=["", "", "the <loss> is nan"])


def choices() -> pd.DataFrame:
    """Four trials, the third a repetition of the first."""
    rows = [(2.0, 0.2, 0.9, 0.6, 0.9), (8.0, 0.3, 0.8, 0.6, 0.8), (4.0, 0.5, 0.7, 0.4, 0.2)]
    columns = ["alpha", "ratio 1", "ratio 2", "UF1", "Cross-entropy"]
    table = pd.DataFrame([*rows[:2], rows[0], rows[2]], columns=columns)
    return table.assign(Trial=[1, 2, 3, 4])


def test_scores_lie_where_their_settings_are() -> None:
    figure = heatmap_figure(cells(), ROWS, COLUMNS, caption="epoch rule last")
    heat = figure.data[0]
    assert (list(heat.x), list(heat.y)) == (["64", "128"], ["2", "4"])
    np.testing.assert_array_equal(heat.z, [[0.5, NAN], [0.75, NAN]])
    assert heat.customdata[1][1] == "not done yet"
    assert heat.customdata[0][1] == "no score: the &lt;loss&gt; is nan"
    assert "not a test result. 2 of 4 settings have a score. epoch rule last" in words_of(figure)
    empty = heatmap_figure(pd.DataFrame(), ROWS, COLUMNS)
    assert len(empty.data[1].x) == 4
    cell = cells().iloc[1].to_dict()
    words = "UF1 0.750 [0.600, 0.800]\n1 seed, 3 s, 19,305 parameters"
    assert searches.hover_words(cell) == words
    assert searches.hover_words({**cell, "Parameters": None}).endswith("3 s")


def test_colours_run_from_the_lowest_to_the_highest() -> None:
    assert searches.score_range(cells()) == (0.5, 0.75)
    assert searches.score_range(cells().head(1)) == pytest.approx((0.45, 0.55))
    assert [searches.shade(share) for share, _ in SHADES] == [colour for _, colour in SHADES]
    assert searches.shade(2) == SHADES[-1][1]


def test_history_of_a_search() -> None:
    rows = [(1, 0.001, 0.4, 0.4), (2, 0.01, 0.6, 0.6), (3, 0.1, NAN, 0.6)]
    history = pd.DataFrame(rows, columns=["Trial", "training.lr", "UF1", "Best"])
    figure = searches.search_history_figure(history)
    best, trials = figure.data
    assert list(trials.x) == [1, 2]
    assert list(best.y) == [0.4, 0.6]
    assert "no score: 1" in words_of(figure)
    assert not searches.search_history_figure(history.tail(1)).data


def test_the_fittest_choices_side_by_side() -> None:
    assert fittest(choices())["Trial"].tolist() == [2, 1, 4]
    assert fittest(choices(), 1)["Trial"].tolist() == [2]
    figure = choices_figure(choices())
    first, _, factor = figure.data
    assert list(first.y) == [0.3, 0.2, 0.5]
    assert list(factor.y) == [8.0, 2.0, 4.0]
    assert "The 3 fittest of 4 trials" in words_of(figure)
    assert not choices_figure(pd.DataFrame()).data
