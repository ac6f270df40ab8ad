import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from reporting.made_runs import make_run, two_sets

from hmrm_lab.datasets.classes import MEGC3
from hmrm_lab.errors import ConfigError
from hmrm_lab.records import FlowSet, Predictions, prediction_columns
from hmrm_lab.reporting import tables


def test_the_table_repeats_the_metrics_of_the_run(tmp_path: Path, toy_flowset: FlowSet) -> None:
    run = make_run(tmp_path, toy_flowset)
    row = tables.results_table([run]).iloc[0]
    figures = run.metrics()["all"]
    low, high = figures["uf1_interval"]
    assert (row["UF1"], row["UF1 low"], row["UF1 high"]) == (figures["uf1"], low, high)
    assert (row["UAR"], row["ACC"]) == (figures["uar"], figures["acc"])
    assert (row["Clips"], row["Subjects"]) == (24, 4)
    assert (row["Epoch rule"], row["Note"], row["Run"]) == ("last", "", run.path.name)
    composite = tables.results_table([make_run(tmp_path / "two", two_sets())])
    assert composite["Part"].tolist() == ["all", "other", "toy"]
    assert composite["Subjects"].tolist() == [5, 2, 3]


def test_a_text_table_fits_a_terminal(tmp_path: Path, toy_flowset: FlowSet) -> None:
    runs = [
        make_run(tmp_path, toy_flowset, f"evaluation.epoch_rule={rule}", system=name)
        for name, rule in (("hmrm", "last"), ("ststnet", "last"), ("hmrm", "oracle_test"))
    ]
    lines = tables.render_text(tables.results_table(runs[:2])).splitlines()
    assert max(map(len, lines)) <= 80
    assert "epoch rule last" in lines[0]
    assert [row.split()[0] for row in lines[3:]] == ["hmrm", "ststnet"]
    head, _, _, *rows = tables.render_text(tables.results_table(runs[::2])).splitlines()
    assert "epoch rule" not in head, "what differs stays a column"
    assert "last" in rows[0]
    assert "oracle_test" in rows[1]


def test_numbers_are_rounded_with_their_interval() -> None:
    nan = float("nan")
    rows = [(0.5, 0.25, 0.75, 402560, True, 2), (nan, nan, nan, pd.NA, False, 3)]
    names = ["UF1", "UF1 low", "UF1 high", "FLOPs", "Complete", "Seeds"]
    words = tables.display_table(pd.DataFrame(rows, columns=names).astype({"FLOPs": "Int64"}))
    expected = [["0.500 [0.250, 0.750]", "403k", "yes", "2"], ["–", "–", "no", "3"]]
    assert words.to_numpy().tolist() == expected


def test_runs_on_the_same_clips_are_paired(tmp_path: Path, toy_flowset: FlowSet) -> None:
    ours = make_run(tmp_path, toy_flowset, "flow.name=dis", right=0.9)
    moved = replace(toy_flowset, maps=toy_flowset.maps + 1)  # the same clips by another flow
    theirs = make_run(tmp_path, moved, "flow.name=farneback", right=0.4)
    system = make_run(tmp_path, toy_flowset, "flow.name=dis", system="ststnet", right=0.4)
    relabelled = replace(toy_flowset, labels=(toy_flowset.labels + 1) % 3)
    others = [make_run(tmp_path / str(n), f) for n, f in enumerate((relabelled, two_sets()))]
    by_flow, by_system = tables.paired_differences([ours, theirs, system, *others])
    assert (by_flow["ours"], by_flow["theirs"]) == ("hmrm on dis", "hmrm on farneback")
    assert (by_system["ours"], by_system["theirs"]) == ("hmrm", "ststnet")
    figures = [run.metrics()["all"]["uf1"] for run in (ours, theirs)]
    assert by_flow["difference"] == pytest.approx(figures[0] - figures[1])
    assert by_flow["low"] < by_flow["difference"] < by_flow["high"]


def made(rows: list[tuple[str, str, int, int, float]], seed: int = 0) -> Predictions:
    """From (subject, clip, truth, prediction, its probability)."""
    records = []
    for subject, clip, truth, guess, sure in rows:
        probabilities = np.full(3, (1 - sure) / 2)
        probabilities[guess] = sure
        fold = f"toy/{subject}"
        records.append(("toy", subject, clip, fold, seed, 2, truth, guess, *probabilities))
    return Predictions(pd.DataFrame(records, columns=prediction_columns(MEGC3.classes)))


ROWS = [("s1", "a", 0, 0, 0.9), ("s1", "b", 1, 0, 0.6), ("s2", "c", 2, 1, 0.8)]
ROWS.append(("s2", "d", 2, 2, 0.5))


def test_answers_are_filtered_and_ordered() -> None:
    cases = tomllib.loads(Path(__file__).with_name("answers.toml").read_text())
    for filters, clips in cases["shown"]:
        assert "".join(tables.answers_table(made(ROWS), **filters)["clip"]) == clips
    for filters, message in cases["refused"]:
        with pytest.raises(ConfigError, match=message):
            tables.answers_table(made(ROWS), **filters)


def test_hard_answers_count_seeds_and_systems() -> None:
    two_seeds = Predictions(pd.concat([made(ROWS).table, made(ROWS, seed=1).table]))
    other = made([("s1", "a", 0, 2, 0.7), ("s1", "b", 1, 2, 0.4), *ROWS[2:]])
    table = tables.hard_answers_table({"one": two_seeds, "two": other})
    assert table["clip"].tolist() == ["c", "b", "a"]
    assert table["answers wrong"].tolist() == ["3 of 3", "3 of 3", "1 of 3"]
    assert table["taken for"].tolist() == ["positive", "negative", "surprise"]
    assert len(tables.hard_answers_table({"one": two_seeds}, count=1)) == 1
    assert tables.hard_answers_table({"one": made([ROWS[0]])}).empty
    with pytest.raises(ValueError, match="no system"):
        tables.hard_answers_table({})
