from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from reporting.made_runs import make_run, two_sets

from hmrm_lab.reporting.plots.results import cost_figure
from hmrm_lab.reporting.tables import results_table


def test_both_panels_hold_each_whole_run_at_its_cost(tmp_path: Path) -> None:
    runs = [
        make_run(tmp_path, two_sets(), system="hmrm"),
        make_run(tmp_path, two_sets(), system="ststnet", right=0.4),
    ]
    table = results_table(runs)
    figure = cost_figure(table, published={"Big": 1_000_000})
    parameters, flops = figure.data
    assert list(parameters.x) == [19305, 19305]
    assert list(flops.x) == [402560, 402560]
    whole = table[table["Part"] == "all"]
    np.testing.assert_allclose(parameters.y, whole["UF1"])
    np.testing.assert_allclose(np.add(parameters.y, parameters.error_y.array), whole["UF1 high"])
    assert [shape.x0 for shape in figure.layout.shapes] == [1_000_000]
    words = " ".join(note.text for note in figure.layout.annotations).replace("<br>", " ")
    assert "Big, as published" in words
    assert "multiply-add counted as two" in words
    assert "epoch rule last" in words
    assert figure.layout.xaxis.type == figure.layout.xaxis2.type == "log"


def test_a_peeking_run_has_a_symbol_of_its_own(tmp_path: Path) -> None:
    runs = [
        make_run(tmp_path, two_sets()),
        make_run(tmp_path, two_sets(), "evaluation.epoch_rule=oracle_test"),
    ]
    figure = cost_figure(results_table(runs))
    kinds = {trace.name: trace.marker.symbol for trace in figure.data}
    assert set(kinds) == {"honest", "PEEKS"}
    assert len(set(kinds.values())) == 2


def test_a_table_without_runs_is_refused(tmp_path: Path) -> None:
    table = results_table([make_run(tmp_path, two_sets())])
    with pytest.raises(ValueError, match="no whole run"):
        cost_figure(table[table["Part"] != "all"])


def test_what_is_no_network_has_no_place_and_is_named(tmp_path: Path) -> None:
    runs = [make_run(tmp_path, two_sets(), system=name) for name in ("hmrm", "svm")]
    table = results_table(runs)
    table.loc[table["System"] == "svm", ["Parameters", "FLOPs"]] = pd.NA
    figure = cost_figure(table)
    assert [list(trace.x) for trace in figure.data] == [[19305], [402560]]
    words = " ".join(note.text for note in figure.layout.annotations).replace("<br>", " ")
    assert "Not drawn, as no networks: svm." in words
    alone = cost_figure(table[table["System"] == "svm"])
    assert [list(trace.x) for trace in alone.data] == [[], []]
