"""Scores, cost, training curves, and what a score is worth."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from reporting.made_runs import make_run, two_sets
from reporting.shown import words_of

from hmrm_lab.records import FlowSet
from hmrm_lab.reporting.plots import results
from hmrm_lab.reporting.plots.kit import column_dots, interval_plot, style
from hmrm_lab.reporting.tables import results_table

RULES = ("last", "oracle_test")


def test_dots_have_intervals_and_rows_their_names() -> None:
    rows = [(0.1, -0.1, 0.2), (np.nan,) * 3]
    table = pd.DataFrame(rows, columns=["D", "D low", "D high"], index=[7, 9])
    ours = column_dots(table, "D", "ours", words=["a", "b"], digits="+.1f")
    claimed = column_dots(table, "Paper", "claimed")
    figure = interval_plot(["M1", "M2"], [ours, claimed], "T", x={"title": "gap"}, reference=0)
    (dots,) = figure.data
    assert (list(dots.x), list(dots.y)) == ([0.1], [0]), "no dot where there is no figure"
    assert dots.hovertext == ("a<br>ours: +0.1 [-0.1, +0.2]",)
    low, high = figure.layout.xaxis.range
    assert low < -0.1 < 0.2 < high
    assert figure.layout.shapes[0].x0 == 0


def test_a_peeking_result_looks_different(tmp_path: Path, toy_flowset: FlowSet) -> None:
    runs = [make_run(tmp_path, toy_flowset, f"evaluation.epoch_rule={rule}") for rule in RULES]
    table = results_table(runs)
    figure = results.metrics_interval_figure(table)
    honest, peeking = figure.data
    assert (honest.name, peeking.name) == ("honest", "PEEKS")
    assert honest.marker.symbol != peeking.marker.symbol
    assert list(honest.x) == [table["UF1"][0]]
    assert honest.x[0] + honest.error_x.array[0] == pytest.approx(table["UF1 high"][0])
    assert "PEEKS: not comparable" in words_of(figure)
    assert "PEEKS" in {trace.name for trace in results.cost_figure(table).data}


def test_both_panels_hold_each_whole_run_at_its_cost(tmp_path: Path) -> None:
    names = ("hmrm", "svm", "ststnet")
    table = results_table([make_run(tmp_path, two_sets(), system=name) for name in names])
    intervals = results.metrics_interval_figure(table)
    rows = ["<b>all data</b>", *names, "<b>other</b>", *names, "<b>toy</b>", *names]
    assert list(intervals.layout.yaxis.ticktext) == rows
    table.loc[table["System"] == "svm", ["Parameters", "FLOPs"]] = pd.NA
    figure = results.cost_figure(table, published={"Big": 1_000_000})
    parameters, flops = figure.data
    assert (list(parameters.x), list(flops.x)) == ([19305] * 2, [402560] * 2)
    assert words_of(style.apart(figure)[0]).count("Big, as published") == 1
    whole = table[(table["Part"] == "all") & (table["System"] != "svm")]
    np.testing.assert_allclose(parameters.y, whole["UF1"])
    np.testing.assert_allclose(np.add(parameters.y, parameters.error_y.array), whole["UF1 high"])
    assert [shape.x0 for shape in figure.layout.shapes] == [1_000_000]
    for words in ("Big, as published", "multiply-add", "rule last", "no networks: svm."):
        assert words in words_of(figure)
    assert not results.cost_figure(table[table["System"] == "svm"]).data
    with pytest.raises(ValueError, match="no whole run"):
        results.cost_figure(table[table["Part"] != "all"])


def test_curves_have_a_line_per_fold_and_their_median() -> None:
    columns = ["fold", "seed", "epoch", "loss"]
    rows = [(f"d/s{fold}", 0, n, fold / n) for fold in (1, 2, 6) for n in range(1, 1001)]
    history = pd.DataFrame(rows, columns=columns)
    figure = results.training_curves_figure(history, caption="the stamp")
    *thin, median = figure.data
    assert len(thin) == 3
    assert (median.x[0], median.x[-1]) == (1, 1000)
    np.testing.assert_allclose(median.y, 2 / np.array(median.x), atol=1e-4)
    assert "the stamp" in words_of(figure)
    without = results.training_curves_figure(pd.DataFrame(columns=columns))
    assert not without.data


def test_looks_are_lines_and_draws_a_band() -> None:
    draws = np.array([[0.3, 0.5], [0.4, 0.7]])
    curves = {"blind": ([1, 10], draws), "run": ([1, 5], np.array([0.6, 0.8]))}
    figure = results.peeking_curve_figure(curves, "t", classes=3)
    band, blind, run = figure.data
    assert (blind.y, band.y, run.x) == ((0.35, 0.6), (0.4, 0.7, 0.5, 0.3), (1, 5))


def test_distributions_add_up_and_marks_are_named() -> None:
    samples = {"null": np.linspace(0.2, 0.4, 100)}
    figure = results.distributions_figure(samples, {"honest": 0.5, "PEEKS": 0.8}, "t", caption="C")
    assert sum(figure.data[0].y) == pytest.approx(1, abs=1e-3)
    assert [shape.x0 for shape in figure.layout.shapes] == [0.5, 0.8]
    assert words_of(figure) == "honest 0.500 PEEKS 0.800 C"


def test_folds_are_points_by_their_classes_and_averages_are_lines() -> None:
    columns = ["fold", "clips", "classes", "present"]
    rows = [("t/a", 1, 1, 1.0), ("t/b", 10, 3, 0.5), ("t/c", 4, 1, 0.0)]
    figure = results.folds_figure(pd.DataFrame(rows, columns=columns), {"pooled": 0.6, "mean": 0.5})
    names = [trace.name for trace in figure.data]
    assert names == ["1 class in the fold", "3 classes in the fold"]
    assert [list(trace.y) for trace in figure.data] == [[1.0, 0.0], [0.5]]
    assert "pooled: 0.600" in words_of(figure)
