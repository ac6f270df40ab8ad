"""Tables, figures and the page of a comparison, from runs with made-up predictions."""

import csv
import io
import json
import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import make_flowset
from made_runs import make_run, two_sets

from hmrm_lab.datasets.classes import MEGC3
from hmrm_lab.evaluation import ranks
from hmrm_lab.evaluation.ranks import LEAST_SETS, nemenyi, rank_systems
from hmrm_lab.evaluation.significance import holm, permutation_test
from hmrm_lab.evaluation.summary import collect_predictions
from hmrm_lab.records import ClipKey, FlowSet
from hmrm_lab.registry import Card, Entry, systems
from hmrm_lab.reporting import published as claims
from hmrm_lab.reporting.comparison import (
    HONEST,
    NULL,
    NULL_WITHIN,
    ORACLE,
    Outcome,
    comparison_table,
    parameter_statement,
    parts_of,
    ranking_over_sets,
    without_oracle,
)
from hmrm_lab.reporting.comparison_figures import (
    parameters_figure,
    peeking_figure,
    ranks_figure,
    scores_figure,
)
from hmrm_lab.reporting.comparison_page import render_comparison, write_comparison
from hmrm_lab.reporting.comparison_words import lead, result_words
from hmrm_lab.runtime.store import RunFolder, read_json, to_json

RIGHT = {"hmrm": 0.8, "ststnet": 0.75, "guess": 0.4, "vectors": 0.6}


def guess(channels: int, size: int, classes: int, *, width: int = 2) -> None:
    """Stands in for a system: nothing here is trained."""


@pytest.fixture(autouse=True)
def more_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    cards = {
        "guess": Card("flow maps", "A & B, <i>Guessing</i>, 2020", "sketch", ("no layers",)),
        "vectors": Card("flow maps", "Vapnik 1995", "adapted"),
    }
    for name, card in cards.items():
        monkeypatch.setitem(systems._entries, name, Entry("system", name, guess, card=card))


def three_sets() -> FlowSet:
    """The names of the composite, on maps that are none of its own."""
    flowset = make_flowset(subjects=9, size=8)
    names = ("smic", "casme2", "samm")
    keys = tuple(
        ClipKey(names[row // 18], key.subject, key.clip) for row, key in enumerate(flowset.keys)
    )
    return FlowSet(flowset.maps, flowset.labels, keys, MEGC3.classes)


def outcome_of(
    out: Path, flowset: FlowSet, kinds: tuple[str, ...] = (HONEST,), **options: int
) -> Outcome:
    """Runs of all four systems; the one named vectors has no parameters."""
    changes = {
        HONEST: ((), 0.0),
        ORACLE: (("evaluation.epoch_rule=oracle_test",), 0.15),
        NULL: (("evaluation.control=shuffled_labels",), -0.3),
        NULL_WITHIN: (("evaluation.control=shuffled_within_subjects",), -0.2),
    }
    runs: dict[str, dict[str, RunFolder]] = {kind: {} for kind in kinds}
    for kind in kinds:
        overrides, more = changes[kind]
        for name, right in RIGHT.items():
            run = make_run(out, flowset, *overrides, system=name, right=right + more, **options)
            data = run.data()
            if name == "vectors":
                data |= {"parameters": None, "flops": None}
            if name == "ststnet":
                data |= {"parameters": 1683}
            (run.path / "data.json").write_text(to_json(data))
            runs[kind][name] = run
    return Outcome("synthetic", runs)


def test_ranks_intervals_and_tests_are_those_of_the_runs(tmp_path: Path) -> None:
    outcome = outcome_of(tmp_path, make_flowset(subjects=9, size=8))
    table = comparison_table(outcome)
    assert table["UF1"].is_monotonic_decreasing
    assert table["Rank"].tolist() == [1, 2, 3, 4]
    best = table["System"].iloc[0]
    runs = outcome.runs[HONEST]
    figures = runs[best].metrics()["all"]
    for metric in ("uf1", "uar", "acc"):
        name = metric.upper()
        assert table[name].iloc[0] == figures[metric]
        assert (
            table.loc[0, [f"{name} low", f"{name} high"]].tolist() == figures[f"{metric}_interval"]
        )
    others = table["System"].iloc[1:]
    theirs = collect_predictions(runs[best])
    p_values = [permutation_test(collect_predictions(runs[n]), theirs).p_value for n in others]
    assert table["p"].iloc[1:].tolist() == p_values
    assert table["p (Holm)"].iloc[1:].tolist() == holm(p_values)
    assert math.isnan(table["p"].iloc[0])
    assert table.set_index("System").loc["vectors", ["Parameters", "FLOPs"]].isna().all()
    assert math.isnan(table["Answer ms"].iloc[0]), "made-up runs have measured no time"
    assert str(table["System"].iloc[0]) in lead(table)[0]


def test_incomplete_runs_have_no_figures(tmp_path: Path) -> None:
    flowset = make_flowset(subjects=3, size=8)
    runs = {
        "hmrm": make_run(tmp_path, flowset),
        "ststnet": make_run(tmp_path, flowset, system="ststnet", unfinished=1),
    }
    table = comparison_table(Outcome("synthetic", {HONEST: runs})).set_index("System")
    assert math.isnan(table.loc["ststnet", "UF1"])
    assert math.isnan(table.loc["ststnet", "Rank"])
    assert table.loc["ststnet", "Note"] == "INCOMPLETE 2/3"
    nothing = comparison_table(Outcome("x", {HONEST: {}}, problems={"hmrm, honest": "no memory"}))
    assert nothing["Note"].tolist() == ["FAILED; honest: no memory"]
    assert "nothing to rank" in lead(nothing)[0]
    assert "nan" not in result_words(nothing).to_string().lower()


def test_other_clips_are_not_paired(tmp_path: Path) -> None:
    runs = {
        "hmrm": make_run(tmp_path, make_flowset(subjects=4, size=8), right=0.9),
        "ststnet": make_run(
            tmp_path, make_flowset(subjects=3, size=8), system="ststnet", right=0.3
        ),
    }
    table = comparison_table(Outcome("synthetic", {HONEST: runs})).set_index("System")
    assert math.isnan(table.loc["ststnet", "p"])
    assert "not paired" in table.loc["ststnet", "Note"]
    assert table.loc["hmrm", "Note"] == ""


def test_the_statement_follows_from_the_table() -> None:
    table = pd.DataFrame(
        {
            "System": ["ours", "big", "small", "none", "far"],
            "Rank": [1, 2, 3, 4, 5],
            "UF1": [0.8, 0.78, 0.75, 0.74, 0.5],
            "UF1 low": [0.7, 0.7, 0.7, 0.7, 0.4],
            "UF1 high": [0.9, 0.9, 0.9, 0.9, 0.6],
            "Parameters": [1e5, 1e7, 2e3, math.nan, 1e9],
            "Note": "",
        }
    )
    told = parameter_statement(table, "ours")
    assert "Of 4 other systems 3 reach a UF1 within its 95 % interval of 0.700 to 0.900." in told
    assert "With more parameters: big (10M, 100 times)." in told
    assert "With fewer parameters: small (2k, 0.02 times)." in told
    assert "Without parameters to count: none." in told
    assert "far" not in told
    assert parameter_statement(table, "absent") == parameter_statement(table, "none") == ""


def test_claims_stand_beside_the_same_data_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        ("hmrm", "full", "all", "uf1", 0.9, "peeks", "Table 1"),
        ("hmrm", "full", "samm", "uf1", 0.8, "peeks", "Table 2"),
        ("hmrm", "M1", "all", "uf1", 0.1, "", "Table 3"),
    ]
    columns = ["system", "variant", "data", "metric", "value", "note", "source"]
    monkeypatch.setattr(claims, "_claims", lambda: pd.DataFrame(rows, columns=columns))
    composite, toy, samm = (
        comparison_table(Outcome("x", {HONEST: {"hmrm": make_run(tmp_path / name, data)}}))
        for name, data in (
            ("composite", three_sets()),
            ("toy", make_flowset(size=8)),
            ("samm", three_sets().take(np.arange(36, 54))),
        )
    )
    assert composite["Claimed UF1"].iloc[0] == 0.9
    assert composite["Claim"].iloc[0] == "peeks; Table 1"
    assert toy["Claimed UF1"].isna().all()
    assert samm["Claimed UF1"].iloc[0] == 0.8


def test_no_claim_is_on_other_data_sets_together(tmp_path: Path) -> None:
    composite = three_sets()
    keys = tuple(
        key._replace(dataset="own") if key.dataset == "smic" else key for key in composite.keys
    )
    mixed = FlowSet(composite.maps, composite.labels, keys, MEGC3.classes)
    for name, flowset in (("mixed", mixed), ("elsewhere", two_sets())):
        run = make_run(tmp_path / name, flowset)
        row = comparison_table(Outcome("x", {HONEST: {"hmrm": run}})).iloc[0]
        assert math.isnan(row["Claimed UF1"])
        assert row["Claim"] == ""


def test_ranks_over_data_sets(tmp_path: Path) -> None:
    table = comparison_table(outcome_of(tmp_path, three_sets()))
    assert sorted(parts_of(table)) == ["casme2", "samm", "smic"]
    ranking = ranking_over_sets(table)
    assert not isinstance(ranking, str)
    scores = table[[f"{part} UF1" for part in ranking.sets]]
    means = scores.rank(ascending=False).mean(axis=1)
    assert dict(zip(ranking.names, ranking.ranks, strict=True)) == pytest.approx(
        dict(zip(table["System"], means, strict=True))
    )
    few = ranking_over_sets(comparison_table(outcome_of(tmp_path / "few", two_sets())))
    assert (
        few
        == f"The results rest on 2 data sets; a ranking over data sets needs {LEAST_SETS} at least."
    )


@pytest.mark.parametrize(("count", "q"), [(2, 1.960), (3, 2.343), (5, 2.728), (10, 3.164)])
def test_the_critical_difference_is_that_of_demsar(count: int, q: float) -> None:
    assert nemenyi(count, 10) == pytest.approx(q * math.sqrt(count * (count + 1) / 60), abs=2e-3)


def test_groups_and_the_test_of_friedman(monkeypatch: pytest.MonkeyPatch) -> None:
    names, sets = ["a", "b", "c", "d"], [f"set{n}" for n in range(12)]
    clear = np.tile([0.9, 0.8, 0.3, 0.2], (12, 1))
    ranking = rank_systems(names, sets, clear)
    assert ranking.ranks == (1, 2, 3, 4)
    assert ranking.p_value < 0.001
    assert ranking.groups == ((0, 1), (1, 2), (2, 3)), "1 apart, and the difference is 1.35"
    with monkeypatch.context() as patched:
        patched.setattr(ranks, "nemenyi", lambda systems, sets: 1.0)
        touching = rank_systems(names, sets, clear)
    assert touching.groups == (), "systems differ from the critical difference on"
    equal = rank_systems(names, sets, np.ones((12, 4)))
    assert equal.p_value == 1
    assert equal.groups == ((0, 3),)
    random = [
        rank_systems(names, sets[:3], np.random.default_rng(seed).random((3, 4))).p_value
        for seed in range(40)
    ]
    assert np.mean(np.array(random) < 0.05) < 0.15


def test_figures_show_what_the_table_holds(tmp_path: Path) -> None:
    kinds = (HONEST, ORACLE, NULL, NULL_WITHIN)
    table = comparison_table(outcome_of(tmp_path, three_sets(), kinds))
    scores = {trace.name: trace for trace in scores_figure(table).data}
    assert list(scores["measured"].x) == table["UF1"].tolist()
    assert list(scores["shuffled labels"].x) == table["Null UF1"].tolist()
    assert list(scores["shuffled within subjects"].x) == table["Null within UF1"].tolist()
    assert "Null within UF1" in result_words(table)
    peeking = peeking_figure(table)
    bars = [trace for trace in peeking.data if trace.name == "gap"]
    assert [tuple(bar.x) for bar in bars] == list(
        zip(table["UF1"], table["Oracle UF1"], strict=True)
    )
    added = [a.text for a in peeking.layout.annotations if a.name == "added"]
    assert added == [f"{value:+.3f}" for value in table["Peeking adds"]]
    assert "guess (sketch)" in peeking.layout.yaxis.ticktext
    counts = {trace.name: trace for trace in parameters_figure(table, ours="hmrm").data}
    assert sum(len(trace.x) for trace in counts.values()) == 3, "one has none to count"
    diagram = ranks_figure(ranking_over_sets(table))
    told = " ".join(a.text for a in diagram.layout.annotations).replace("<br>", " ")
    assert "Nemenyi" in told
    assert (
        "independent blocks, which the data sets of one jointly trained composite are not" in told
    )


def test_a_system_without_epochs_has_no_oracle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = outcome_of(tmp_path, make_flowset(size=8), (HONEST, ORACLE))
    assert without_oracle(outcome) == []
    card = Card("flow maps", "Vapnik 1995", "adapted", estimator=True)
    monkeypatch.setitem(systems._entries, "vectors", Entry("system", "vectors", guess, card=card))
    del outcome.runs[ORACLE]["vectors"]
    assert without_oracle(outcome) == ["vectors"]
    assert without_oracle(Outcome("x", {HONEST: outcome.runs[HONEST]})) == []
    page = render_comparison(outcome, comparison_table(outcome))
    assert "without epochs to choose from: vectors." in page
    table = comparison_table(outcome).set_index("System")
    assert table["Oracle UF1"].isna().tolist() == [name == "vectors" for name in table.index]
    assert len([t for t in peeking_figure(table.reset_index()).data if t.name == "gap"]) == 3


def test_figures_say_why_they_are_empty(tmp_path: Path) -> None:
    table = comparison_table(outcome_of(tmp_path, make_flowset(size=8)))
    assert "--oracle" in peeking_figure(table).layout.annotations[0].text.replace("<br>", " ")
    assert "1 data set;" in ranks_figure(ranking_over_sets(table)).layout.annotations[0].text
    empty = comparison_table(Outcome("x", {HONEST: {}}, problems={"hmrm, honest": "y"}))
    assert "No system" in scores_figure(empty).layout.annotations[0].text
    assert "No system" in parameters_figure(empty, ours="hmrm").layout.annotations[0].text


def test_the_files_hold_the_table_and_load_nothing(tmp_path: Path) -> None:
    outcome = outcome_of(tmp_path, three_sets(), (HONEST, ORACLE, NULL))
    outcome.left_out["watcher"] = "takes a clip, and these data have none"
    outcome.problems["<b>bad</b>, honest"] = "a <script> that is none"
    outcome.unused["model.width=8"] = ["mlp"]
    monkey = Entry("system", "<b>bad</b>", guess)
    systems._entries["<b>bad</b>"] = monkey
    try:
        table = comparison_table(outcome)
        files = write_comparison(outcome, table, tmp_path / "page")
    finally:
        del systems._entries["<b>bad</b>"]
    rows = list(csv.DictReader(io.StringIO(files["csv"].read_text())))
    assert [row["System"] for row in rows] == table["System"].tolist()
    assert float(rows[0]["UF1"]) == table["UF1"].iloc[0]
    record = read_json(files["json"])
    assert record["systems"][0]["System"] == rows[0]["System"]
    assert record["systems"][-1]["UF1"] is None
    assert record["left_out"]["watcher"]
    assert "mlp has no use for it." in files["html"].read_text(encoding="utf-8")
    assert set(record["runs"]) == {HONEST, ORACLE, NULL}
    latex = files["tex"].read_text()
    assert latex.count(r"\\") == len(table) + 1
    assert latex.startswith("% data synthetic; ")
    page = files["html"].read_text()
    head = page[: page.index("<script>")]
    assert "default-src 'none'" in head
    assert not re.search(r"""(src|href)=["']?https?:""", head)
    assert "<b>bad</b>" not in head
    assert "a &lt;script&gt; that is none" in head
    assert "A &amp; B, &lt;i&gt;Guessing" in head
    for words in ("watcher is left out", "hmrm has 19.3k parameters", "prefers-color-scheme: dark"):
        assert words in head
    plots = re.findall(r'<script type="application/json">(.*?)</script>', page)
    assert len([json.loads(plot) for plot in plots]) == 4
