import numpy as np
import pandas as pd
import pytest

from hmrm_lab.reporting.honest_figures import distributions_figure, folds_figure, looks_figure


def test_looks_are_lines_and_draws_a_band() -> None:
    draws = np.array([[0.3, 0.5], [0.4, 0.7]])
    figure = looks_figure(
        {"blind": ([1, 10], draws), "run": ([1, 5], np.array([0.6, 0.8]))}, "t", classes=3
    )
    band, blind, run = figure.data
    assert list(blind.y) == [0.35, 0.6]
    assert list(band.y) == [0.4, 0.7, 0.5, 0.3]
    assert list(run.x) == [1, 5]
    assert figure.layout.xaxis.type == "log"
    assert list(figure.layout.xaxis.tickvals) == [1, 5, 10]
    assert figure.layout.shapes[0].y0 == pytest.approx(1 / 3)
    assert blind.line.dash != run.line.dash, "told apart without colour"
    assert blind.marker.symbol != run.marker.symbol


def test_distributions_add_up_and_marks_are_named() -> None:
    samples = {"null": np.linspace(0.2, 0.4, 100)}
    figure = distributions_figure(samples, {"honest": 0.5, "PEEKS": 0.8}, "t", caption="C")
    assert sum(figure.data[0].y) == pytest.approx(1, abs=1e-3)
    assert [shape.x0 for shape in figure.layout.shapes] == [0.5, 0.8]
    words = [note.text for note in figure.layout.annotations]
    assert words[:2] == ["honest 0.500", "PEEKS 0.800"]
    assert "C" in words


def test_folds_are_points_by_their_classes_and_averages_are_lines() -> None:
    scores = pd.DataFrame(
        {
            "fold": ["t/a", "t/b", "t/c"],
            "clips": [1, 10, 4],
            "classes": [1, 3, 1],
            "present": [1.0, 0.5, 0.0],
        }
    )
    figure = folds_figure(scores, {"pooled": 0.6, "mean": 0.5})
    assert [trace.name for trace in figure.data] == [
        "1 class in the fold",
        "3 classes in the fold",
    ]
    assert [list(trace.y) for trace in figure.data] == [[1.0, 0.0], [0.5]]
    np.testing.assert_allclose(figure.data[0].x, [1, 4], rtol=0.1)
    assert [shape.y0 for shape in figure.layout.shapes] == [0.6, 0.5]
    assert "pooled: 0.600" in [note.text for note in figure.layout.annotations]
