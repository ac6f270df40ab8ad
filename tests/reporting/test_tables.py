from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from conftest import make_flowset
from reporting.made_runs import make_run, two_sets

from hmrm_lab.evaluation.summary import collect_predictions, summarise
from hmrm_lab.records import FlowSet
from hmrm_lab.reporting.tables import (
    display_table,
    paired_differences,
    render_text,
    results_table,
    scores_table,
    to_csv,
    to_html,
    to_latex,
)


def test_the_table_repeats_the_metrics_of_the_run(tmp_path: Path, toy_flowset: FlowSet) -> None:
    run = make_run(tmp_path, toy_flowset)
    row = results_table([run]).iloc[0]
    figures = run.metrics()["all"]
    assert (row["UF1"], row["UF1 low"], row["UF1 high"]) == (
        figures["uf1"],
        *figures["uf1_interval"],
    )
    assert (row["UAR"], row["ACC"], row["Clips"], row["Subjects"]) == (
        figures["uar"],
        figures["acc"],
        24,
        4,
    )
    assert (row["Epoch rule"], row["Note"], row["Run"]) == ("last", "", run.path.name)


def test_a_composite_has_a_row_for_the_whole_and_one_for_each_set(tmp_path: Path) -> None:
    table = results_table([make_run(tmp_path, two_sets())])
    assert table["Part"].tolist() == ["all", "other", "toy"]
    assert table["Clips"].tolist() == [30, 12, 18]
    assert table["Subjects"].tolist() == [5, 2, 3]


@pytest.mark.parametrize(
    ("override", "unfinished", "note"),
    [
        ("evaluation.epoch_rule=oracle_test", 0, "PEEKS"),
        ("evaluation.epoch_rule=inner_subjects", 0, ""),
        ("evaluation.control=shuffled_labels", 0, "CONTROL"),
        ("evaluation.epoch_rule=last", 1, "INCOMPLETE 3/4"),
        ("evaluation.epoch_rule=oracle_test", 1, "PEEKS, INCOMPLETE 3/4"),
    ],
)
def test_what_cannot_be_compared_says_so_in_every_form(
    tmp_path: Path, toy_flowset: FlowSet, override: str, unfinished: int, note: str
) -> None:
    table = results_table([make_run(tmp_path, toy_flowset, override, unfinished=unfinished)])
    assert table["Note"].tolist() == [note]
    for form in (render_text, to_csv, to_html, to_latex):
        assert note in form(table)


def test_an_honest_text_table_fits_a_terminal(tmp_path: Path, toy_flowset: FlowSet) -> None:
    runs = [make_run(tmp_path, toy_flowset, system=name) for name in ("hmrm", "ststnet")]
    lines = render_text(results_table(runs)).splitlines()
    assert max(map(len, lines)) <= 100
    assert "epoch rule last" in lines[0]
    assert lines[1].split()[:2] == ["System", "Clips"]
    assert [line.split()[0] for line in lines[3:]] == ["hmrm", "ststnet"]


def test_what_differs_stays_a_column(tmp_path: Path, toy_flowset: FlowSet) -> None:
    rules = ("last", "oracle_test")
    runs = [make_run(tmp_path, toy_flowset, f"evaluation.epoch_rule={rule}") for rule in rules]
    head, columns, _, *rows = render_text(results_table(runs)).splitlines()
    assert "epoch rule" not in head
    assert "Rule" in columns
    assert all(rule in row for rule, row in zip(rules, rows, strict=True))


def test_columns_are_aligned(tmp_path: Path, toy_flowset: FlowSet) -> None:
    runs = [make_run(tmp_path, toy_flowset, system=name) for name in ("hmrm", "ststnet")]
    _, columns, _, *rows = render_text(results_table(runs)).splitlines()
    end = columns.index("UF1 [95 %]") + len("UF1 [95 %]")
    assert [row[end - 1] for row in rows] == ["]", "]"]


def test_display_merges_figure_and_interval() -> None:
    table = pd.DataFrame({"UF1": [0.5], "UF1 low": [0.25], "UF1 high": [0.75], "FLOPs": [402560]})
    assert display_table(table).to_dict("records") == [
        {"UF1 [95 %]": "0.500 [0.250, 0.750]", "FLOPs": "403k"}
    ]


def test_csv_keeps_every_digit(tmp_path: Path, toy_flowset: FlowSet) -> None:
    table = results_table([make_run(tmp_path, toy_flowset)])
    file = tmp_path / "table.csv"
    file.write_text(to_csv(table))
    assert pd.read_csv(file)["UF1 low"].tolist() == table["UF1 low"].tolist()


def test_latex_and_html_escape_names() -> None:
    table = pd.DataFrame({"System": ["a_b & 50% <i>"], "UF1": [0.5]})
    latex = to_latex(table)
    assert r"a\_b \& 50\% <i> & 0.500 \\" in latex
    assert latex.startswith("\\begin{tabular}{lr}\n")
    assert "&lt;i&gt;" in to_html(table)


def test_scores_have_the_f1_of_every_class(tmp_path: Path) -> None:
    scores = summarise(collect_predictions(make_run(tmp_path, make_flowset())))
    row = scores_table(scores).iloc[0]
    mean = sum(row[f"F1 {name}"] for name in ("negative", "positive", "surprise")) / 3
    assert row["UF1"] == pytest.approx(mean, abs=1e-6)
    assert "F1 surprise" in render_text(scores_table(scores))


def test_runs_on_the_same_clips_are_paired(tmp_path: Path, toy_flowset: FlowSet) -> None:
    ours = make_run(tmp_path, toy_flowset, "flow.name=dis", right=0.9)
    moved = replace(toy_flowset, maps=toy_flowset.maps + 1)  # the same clips by another flow
    theirs = make_run(tmp_path, moved, "flow.name=farneback", right=0.4)
    system = make_run(tmp_path, toy_flowset, "flow.name=dis", system="ststnet", right=0.4)
    by_flow, by_system = paired_differences([ours, theirs, system])
    assert (by_flow["ours"], by_flow["theirs"]) == ("hmrm on dis", "hmrm on farneback")
    assert (by_system["ours"], by_system["theirs"]) == ("hmrm", "ststnet")
    figures = [run.metrics()["all"]["uf1"] for run in (ours, theirs)]
    assert by_flow["difference"] == pytest.approx(figures[0] - figures[1])
    assert by_flow["low"] < by_flow["difference"] < by_flow["high"]


def test_runs_on_other_clips_or_labels_are_not(tmp_path: Path, toy_flowset: FlowSet) -> None:
    ours = make_run(tmp_path, toy_flowset)
    relabelled = replace(toy_flowset, labels=(toy_flowset.labels + 1) % 3)
    others = [make_run(tmp_path / str(n), f) for n, f in enumerate((relabelled, two_sets()))]
    assert paired_differences([ours, *others]) == []
