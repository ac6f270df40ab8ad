"""A run of the preset `smoke` is stamped wherever one that peeks would be."""

from pathlib import Path

import pytest
from conftest import make_flowset
from reporting.made_runs import make_run

from hmrm_lab.datasets.classes import MEGC3
from hmrm_lab.evaluation.live_progress import SnapshotReader
from hmrm_lab.evaluation.summary import stamp
from hmrm_lab.reporting.plots.results import metrics_interval_figure
from hmrm_lab.reporting.plots.single_clips import confusion_figure
from hmrm_lab.reporting.report import render_report
from hmrm_lab.reporting.study_page import ComparisonResult, render_comparison
from hmrm_lab.reporting.study_table import HONEST, ranking_over_sets
from hmrm_lab.reporting.study_words import lead, parameter_statement
from hmrm_lab.reporting.tables import render_text, results_table
from hmrm_lab.studies.predict import _of_run


@pytest.mark.parametrize("preset", ["smoke", "default"])
def test_smoke_is_stamped_everywhere_and_ranks_nothing(preset: str, tmp_path: Path) -> None:
    flowset = make_flowset()
    runs = {
        name: make_run(tmp_path, flowset, system=name, right=right, preset=preset)
        for name, right in (("hmrm", 0.6), ("svm", 0.8), ("ststnet", 0.5))
    }
    run, metrics = runs["hmrm"], runs["hmrm"].metrics()
    results, names = results_table(list(runs.values())), {name: name for name in runs}
    cells = {(name, HONEST): run for name, run in runs.items()}
    result = ComparisonResult("toy", names, {HONEST: HONEST}, cells)
    table = result.table
    texts = {
        "stamp": stamp(metrics),
        "progress": SnapshotReader(run).read().stamp,
        "table": render_text(results),
        "report": render_report([run], None).partition("<h2>Terms")[0],
        "interval": metrics_interval_figure(results).to_json(),
        "confusion": confusion_figure(metrics).to_json(),
        "page": render_comparison(result).partition("<script>")[0],
        "record": str(result.record()),
        "latex": result.latex(),
        "words": result.text(),
        "ranking": str(ranking_over_sets(table)),
        "prediction": " ".join(_of_run(run.config(), run, MEGC3.classes)),
    }
    for name, text in texts.items():
        assert ("SMOKE" in text) == (preset == "smoke"), name
    best = "svm has the highest honest UF1"
    assert (best in texts["page"]) == (best in lead(table)[0]) == (preset == "default")
    assert bool(parameter_statement(table, "hmrm")) == (preset == "default")
