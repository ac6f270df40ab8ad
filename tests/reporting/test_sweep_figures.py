"""The heatmap and the history of a search."""

import math

import pandas as pd
import pytest

from hmrm_lab.reporting.plots.searches import (
    SHADES,
    heatmap_figure,
    hover_words,
    score_range,
    search_history_figure,
    shade,
)

ROWS, COLUMNS = ("model.depth", [2, 4]), ("model.width", [64, 128])


def table() -> pd.DataFrame:
    """Three of four cells; one of them diverged."""
    columns = ["model.depth", "model.width", "UF1", "UF1 low", "UF1 high"]
    rows = [(2, 64, 0.5, 0.4, 0.6), (4, 64, 0.75, 0.6, 0.8), (2, 128, math.nan, math.nan, math.nan)]
    made = pd.DataFrame(rows, columns=columns)
    return made.assign(Parameters=19305, Seeds=1, Seconds=3.2, Note=["", "", "the <loss> is nan"])


def test_scores_lie_where_their_settings_are() -> None:
    figure = heatmap_figure(table(), ROWS, COLUMNS, caption="epoch rule last")
    heat = figure.data[0]
    assert list(heat.x) == ["64", "128"]
    assert list(heat.y) == ["2", "4"]
    assert heat.z[0][0] == 0.5
    assert heat.z[1][0] == 0.75
    assert math.isnan(heat.z[0][1])
    assert math.isnan(heat.z[1][1])
    assert heat.customdata[1][1] == "not done yet"
    assert heat.customdata[0][1] == "no score: the &lt;loss&gt; is nan"
    marks = {(a.x, a.y): a.text for a in figure.layout.annotations if a.name in ("cell", "empty")}
    assert marks == {(0, 0): ".500", (0, 1): ".750", (1, 0): "·", (1, 1): "·"}, "counted, not named"
    names = [annotation.name for annotation in figure.layout.annotations]
    assert (names.count("cell"), names.count("empty")) == (2, 2)


def test_the_caption_says_what_it_is_not() -> None:
    figure = heatmap_figure(table(), ROWS, COLUMNS)
    caption = figure.layout.annotations[-1].text.replace("<br>", " ")
    assert "not a test result" in caption
    assert "2 of 4 settings have a score" in caption
    assert "blocks" in figure.layout.yaxis.title.text


def test_a_sweep_that_has_not_begun_is_a_grid_of_empty_cells() -> None:
    figure = heatmap_figure(pd.DataFrame(), ROWS, COLUMNS)
    assert [a.name for a in figure.layout.annotations].count("empty") == 4


def test_hovering_tells_score_seeds_seconds_and_parameters() -> None:
    words = hover_words(table().iloc[1].to_dict())
    assert words == "UF1 0.750 [0.600, 0.800]\n1 seed, 3 s, 19,305 parameters"


def test_hovering_tells_no_parameters_where_there_are_none() -> None:
    words = hover_words({**table().iloc[1].to_dict(), "Parameters": None})
    assert "parameters" not in words
    assert " s" in words


def test_colours_run_from_the_lowest_to_the_highest() -> None:
    assert score_range(table()) == (0.5, 0.75)
    assert score_range(table().head(1)) == pytest.approx((0.45, 0.55))
    assert [shade(share) for share, _ in SHADES] == [colour for _, colour in SHADES]
    assert shade(2) == SHADES[-1][1]
    assert len({shade(n / 10) for n in range(11)}) == 11


def test_history_of_a_search() -> None:
    history = pd.DataFrame(
        {
            "Trial": [1, 2, 3],
            "training.lr": [0.001, 0.01, 0.1],
            "UF1": [0.4, 0.6, math.nan],
            "Best": [0.4, 0.6, 0.6],
        }
    )
    figure = search_history_figure(history)
    best, trials = figure.data
    assert list(trials.x) == [1, 2]
    assert list(best.y) == [0.4, 0.6]
    assert trials.customdata[1] == "Lr 0.01"
    assert "no score: 1" in figure.layout.annotations[-1].text.replace("<br>", " ")


def test_a_search_without_a_score_says_so() -> None:
    history = pd.DataFrame(
        {"Trial": [1], "training.lr": [9.0], "UF1": [math.nan], "Best": [math.nan]}
    )
    assert not search_history_figure(history).data
