"""Tables, figures and files of studies, from runs with made-up predictions."""

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
from plotly import graph_objects as go

from hmrm_lab.datasets.classes import MEGC3
from hmrm_lab.evaluation import significance
from hmrm_lab.evaluation.significance import (
    LEAST_SETS,
    holm,
    nemenyi,
    paired_difference,
    permutation_test,
    rank_systems,
)
from hmrm_lab.evaluation.summary import collect_predictions
from hmrm_lab.records import ClipKey, FlowSet
from hmrm_lab.registry import Card, Entry, systems
from hmrm_lab.reporting import system_cards as claims
from hmrm_lab.reporting.study_figures import (
    forest_figure,
    parameters_figure,
    peeking_figure,
    power_figure,
    ranks_figure,
)
from hmrm_lab.reporting.study_page import AblationResult, ComparisonResult, render_comparison
from hmrm_lab.reporting.study_table import (
    HONEST,
    NULL,
    NULL_WITHIN,
    ORACLE,
    parts_of,
    ranking_over_sets,
    without_oracle,
)
from hmrm_lab.reporting.study_words import (
    lead,
    parameter_statement,
    result_words,
)
from hmrm_lab.runtime.store import RunFolder, read_json, to_json

RIGHT = {"hmrm": 0.8, "ststnet": 0.75, "guess": 0.4, "vectors": 0.6}
WORDS = {"M4": "all components", "M2": "no MotionMix", "M3": "no region fusion"}
NAN = math.nan


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


def comparison(
    runs: dict[str, RunFolder], problems: dict[str, str] | None = None, data: str = "x"
) -> ComparisonResult:
    """Honest runs by system."""
    failed = {(name, HONEST): why for name, why in (problems or {}).items()}
    rows = {name: name for name in [*runs, *(problems or {})]}
    cells = {(name, HONEST): run for name, run in runs.items()}
    return ComparisonResult(data, rows, {HONEST: HONEST}, cells, problems=failed)


def made(out: Path, flowset: FlowSet, kinds: tuple[str, ...] = (HONEST,)) -> ComparisonResult:
    """Runs of all four systems; the one named vectors has no parameters."""
    changes = {
        HONEST: ((), 0.0),
        ORACLE: (("evaluation.epoch_rule=oracle_test",), 0.15),
        NULL: (("evaluation.control=shuffled_labels",), -0.3),
        NULL_WITHIN: (("evaluation.control=shuffled_within_subjects",), -0.2),
    }
    runs = {}
    for kind in kinds:
        overrides, more = changes[kind]
        for name, right in RIGHT.items():
            run = make_run(out, flowset, *overrides, system=name, right=right + more)
            data = run.data()
            if name == "vectors":
                data |= {"parameters": None, "flops": None}
            if name == "ststnet":
                data |= {"parameters": 1683}
            (run.path / "data.json").write_text(to_json(data))
            runs[name, kind] = run
    names = {name: name for name in RIGHT}
    return ComparisonResult("synthetic", names, {kind: kind for kind in kinds}, runs)


def test_ranks_intervals_and_tests_are_those_of_the_runs(tmp_path: Path) -> None:
    result = made(tmp_path, make_flowset(subjects=9, size=8))
    table = result.table
    assert table["UF1"].is_monotonic_decreasing
    assert table["Rank"].tolist() == [1, 2, 3, 4]
    best = table["System"].iloc[0]
    runs = result.in_column(HONEST)
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
    table = comparison(runs).table.set_index("System")
    assert math.isnan(table.loc["ststnet", "UF1"])
    assert math.isnan(table.loc["ststnet", "Rank"])
    assert table.loc["ststnet", "Note"] == "INCOMPLETE 2/3"
    nothing = comparison({}, {"hmrm": "no memory"}).table
    assert nothing["Note"].tolist() == ["FAILED; no memory"]
    assert "nothing to rank" in lead(nothing)[0]
    assert "nan" not in result_words(nothing).to_string().lower()


def test_other_clips_are_not_paired(tmp_path: Path) -> None:
    runs = {
        "hmrm": make_run(tmp_path, make_flowset(subjects=4, size=8), right=0.9),
        "ststnet": make_run(
            tmp_path, make_flowset(subjects=3, size=8), system="ststnet", right=0.3
        ),
    }
    table = comparison(runs).table.set_index("System")
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
        comparison({"hmrm": make_run(tmp_path / name, data)}).table
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
        row = comparison({"hmrm": run}).table.iloc[0]
        assert math.isnan(row["Claimed UF1"])
        assert row["Claim"] == ""


def test_ranks_over_data_sets(tmp_path: Path) -> None:
    table = made(tmp_path, three_sets()).table
    assert sorted(parts_of(table)) == ["casme2", "samm", "smic"]
    ranking = ranking_over_sets(table)
    assert not isinstance(ranking, str)
    scores = table[[f"{part} UF1" for part in ranking.sets]]
    means = scores.rank(ascending=False).mean(axis=1)
    assert dict(zip(ranking.names, ranking.ranks, strict=True)) == pytest.approx(
        dict(zip(table["System"], means, strict=True))
    )
    few = ranking_over_sets(made(tmp_path / "few", two_sets()).table)
    assert (
        few
        == f"The results rest on 2 data sets; a ranking over data sets needs {LEAST_SETS} at least."
    )


def test_groups_and_the_test_of_friedman(monkeypatch: pytest.MonkeyPatch) -> None:
    for count, q in ((2, 1.960), (3, 2.343), (5, 2.728), (10, 3.164)):  # Demsar 2006, Table 5
        assert nemenyi(count, 10) == pytest.approx(
            q * math.sqrt(count * (count + 1) / 60), abs=2e-3
        )
    names, sets = ["a", "b", "c", "d"], [f"set{n}" for n in range(12)]
    clear = np.tile([0.9, 0.8, 0.3, 0.2], (12, 1))
    ranking = rank_systems(names, sets, clear)
    assert ranking.ranks == (1, 2, 3, 4)
    assert ranking.p_value < 0.001
    assert ranking.groups == ((0, 1), (1, 2), (2, 3)), "1 apart, and the difference is 1.35"
    with monkeypatch.context() as patched:
        patched.setattr(significance, "nemenyi", lambda systems, sets: 1.0)
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
    result = made(tmp_path, three_sets(), kinds)
    table = result.table
    scores = {trace.name: trace for trace in result.figure().data}
    assert list(scores["measured"].x) == table["UF1"].tolist()
    assert list(scores["shuffled labels"].x) == table["Null UF1"].tolist()
    assert list(scores["shuffled within subjects"].x) == table["Null within UF1"].tolist()
    assert "Null within UF1" in result_words(table)
    peeking = peeking_figure(table)
    bars = [(bar.x0, bar.x1) for bar in peeking.layout.shapes if bar.name == "gap"]
    assert bars == list(zip(table["UF1"], table["Oracle UF1"], strict=True))
    oracle = next(trace for trace in peeking.data if trace.name == "best test epoch")
    assert [text.strip() for text in oracle.text] == [f"{x:+.3f}" for x in table["Peeking adds"]]
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
    result = made(tmp_path, make_flowset(size=8), (HONEST, ORACLE))
    assert without_oracle(result) == []
    card = Card("flow maps", "Vapnik 1995", "adapted", estimator=True)
    monkeypatch.setitem(systems._entries, "vectors", Entry("system", "vectors", guess, card=card))
    del result.runs["vectors", ORACLE]
    assert without_oracle(result) == ["vectors"]
    assert without_oracle(comparison(result.in_column(HONEST))) == []
    page = render_comparison(result)
    assert "without epochs to choose from: vectors." in page
    table = result.table.set_index("System")
    assert table["Oracle UF1"].isna().tolist() == [name == "vectors" for name in table.index]
    assert len(peeking_figure(table.reset_index()).layout.shapes) == 3


def test_figures_say_why_they_are_empty(tmp_path: Path) -> None:
    table = made(tmp_path, make_flowset(size=8)).table
    assert "--oracle" in peeking_figure(table).layout.annotations[0].text.replace("<br>", " ")
    assert "1 data set;" in ranks_figure(ranking_over_sets(table)).layout.annotations[0].text
    empty = comparison({}, {"hmrm": "y"})
    assert "No system" in empty.figure().layout.annotations[0].text
    assert "No system" in parameters_figure(empty.table, ours="hmrm").layout.annotations[0].text


def test_the_files_hold_the_table_and_load_nothing(tmp_path: Path) -> None:
    result = made(tmp_path, three_sets(), (HONEST, ORACLE, NULL))
    result.left_out["watcher", HONEST] = "takes a clip, and these data have none"
    result.rows["<b>bad</b>"] = "<b>bad</b>"
    result.problems["<b>bad</b>", HONEST] = "a <script> that is none"
    result.unused["model.width=8"] = ["mlp"]
    monkey = Entry("system", "<b>bad</b>", guess)
    systems._entries["<b>bad</b>"] = monkey
    try:
        table = result.table
        files = result.write(tmp_path / "page")
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


def test_claims_are_those_of_the_paper() -> None:
    table = claims.published()
    assert not table.duplicated(["system", "variant", "data", "metric"]).any()
    assert table["value"].between(0, 1).all()
    assert (table["source"] != "").all()
    assert claims.claimed("hmrm", "M2", "casme2") == {"uf1": 0.9207, "uar": 0.9324}
    assert claims.claimed("hmrm", "full", "casme2") == claims.claimed("hmrm", "M4", "casme2")
    assert claims.claimed("hmrm", "M9", "casme2") == {}
    assert claims.claimed("ststnet") == {"uf1": 0.7353, "uar": 0.7605}
    assert claims.claimed("htnet", data="samm") == {"uf1": 0.8131, "uar": 0.8124}


def test_claims_of_compared_systems_are_whole_and_flagged() -> None:
    table = claims.published().query("system != 'hmrm'")
    sizes = table.groupby("system").size()
    assert (sizes == 4 * 2).all()  # composite and three sets; UF1 and UAR
    assert len(sizes) == 10
    peeking = table[table["note"].str.contains("best test epoch")]
    assert set(peeking["system"]) == {"capsulenet", "htnet"}
    precision = table[table["note"].str.contains("macro precision")]
    assert set(precision["system"] + precision["metric"]) == {"ststnetuar"}
    assert len(precision) == 4


def ablation(
    runs: dict[str, RunFolder],
    left_out: dict[str, str] | None = None,
    problems: dict[str, str] | None = None,
    **whose: str,
) -> AblationResult:
    cells = ({(name, ""): of for name, of in (by or {}).items()} for by in (left_out, problems))
    of_cells = {(name, ""): run for name, run in runs.items()}
    return AblationResult("toy", WORDS, {}, of_cells, *cells, **whose)


def test_an_ablation_pairs_variants_with_the_full_model(tmp_path: Path) -> None:
    flowset = make_flowset(subjects=8)
    runs = {
        "M4": make_run(tmp_path, flowset, right=0.9),
        "M2": make_run(tmp_path, flowset, "augment.motionmix=0", right=0.3),
        "M3": make_run(tmp_path, flowset, "model.fusion=none", right=0.85),
    }
    result = ablation(runs)
    table = result.table.set_index("Variant")
    full, mix = (collect_predictions(runs[name]) for name in ("M4", "M2"))
    difference, low, high = paired_difference(mix, full, "uf1")
    assert table.loc["M2", "Difference"] == difference < 0
    assert tuple(table.loc["M2", ["Difference low", "Difference high"]]) == (low, high)
    assert table.loc["M2", "p"] == permutation_test(mix, full).p_value
    assert table.loc["M2", "p (Holm)"] == 2 * table.loc["M2", "p"] < 0.05
    assert math.isnan(table.loc["M4", "Difference"])
    assert table.loc["M2", "Paper difference"] == pytest.approx(0.9207 - 0.9561)
    assert math.isnan(table.loc["M4", "Paper difference"])
    assert result.words["UF1 minus full [95 %]"].iloc[0] == "–"
    assert result.words["UF1 minus full [95 %]"].iloc[1].startswith("-0.")
    assert "nan" not in result.text()
    assert "flow dis: epoch rule last" in result.caption
    assert "claims are on CASME II" in result.caption
    other = ablation(runs, system="ammsm")
    assert other.table[["Paper UF1", "Paper UAR", "Paper difference"]].isna().all(axis=None)
    assert not [name for name in other.words if name.startswith("Paper")]
    assert "paper" not in other.caption
    assert ablation({}, system="ammsm").caption == "There are no figures of the full model yet."


def test_variants_without_figures_say_why(tmp_path: Path) -> None:
    flowset = make_flowset(subjects=3)
    runs = {
        "M4": make_run(tmp_path, flowset),
        "M2": make_run(tmp_path, flowset, "augment.motionmix=0", unfinished=1),
    }
    table = ablation(runs, {"M3": "no fusion here"}).table
    assert table["UF1"].notna().tolist() == [True, False, False]
    assert table["Note"].tolist() == ["", "INCOMPLETE 2/3", "no fusion here"]
    assert ablation({}).table["Note"].tolist() == ["not run yet"] * 3
    assert "no figures of the full model" in ablation({}).caption
    failed = ablation(runs, None, {"M2": "1 of 3 folds failed", "M3": "no memory"})
    notes = ["", "INCOMPLETE 2/3; 1 of 3 folds failed", "FAILED; no memory"]
    assert failed.table["Note"].tolist() == notes
    more = make_run(tmp_path, make_flowset(subjects=4), "model.fusion=none")
    table = ablation({**runs, "M3": more}).table
    assert table["Note"][2] == "other clips than the full model: not paired"
    assert math.isnan(table["Difference"][2])


def test_one_data_set_of_several(tmp_path: Path) -> None:
    runs = {"M4": make_run(tmp_path, two_sets(), right=0.7)}
    whole, part = ablation(runs), ablation(runs, part="toy")
    assert part.table["UF1"][0] == runs["M4"].metrics()["datasets"]["toy"]["uf1"]
    assert part.table["UF1"][0] != whole.table["UF1"][0]
    assert "3 subjects" in part.caption


COLUMNS = (
    *("Variant", "Model", "UF1", "Difference", "Difference low", "Difference high"),
    *("p", "p (Holm)", "Paper difference", "Note"),
)


FULL = ("M4", "all components", 0.8, NAN, NAN, NAN, NAN, NAN, NAN, "")
WORSE = ("M2", "no MotionMix", 0.7, -0.1, -0.2, 0.05, 0.04, 0.08, -0.035, "")
WAITING = ("M3", "no <fusion>", NAN, NAN, NAN, NAN, NAN, NAN, -0.039, "not run yet")


def forest(*rows: tuple[object, ...], full: str = "M4") -> go.Figure:
    return forest_figure(pd.DataFrame(rows, columns=list(COLUMNS)), full=full)


def test_the_forest_plot() -> None:
    figure = forest(FULL, WORSE, WAITING)
    ours, claimed = figure.data
    assert list(ours.x) == [-0.1]
    assert ours.x[0] + ours.error_x.array[0] == pytest.approx(0.05)
    assert ours.x[0] - ours.error_x.arrayminus[0] == pytest.approx(-0.2)
    assert list(claimed.x) == [-0.035, -0.039]
    assert len(figure.layout.yaxis.ticktext) == 2, "the full model is the line"
    low, high = figure.layout.xaxis.range
    assert low < -0.2 < 0.05 < high
    assert figure.layout.shapes[0].x0 == figure.layout.shapes[0].x1 == 0
    assert [a.text for a in figure.layout.annotations if a.name == "reason"] == ["not run yet"]
    assert "&lt;fusion&gt;" in figure.layout.yaxis.ticktext[1]
    unfinished = ("M4", "all components", NAN, NAN, NAN, NAN, NAN, NAN, NAN, "not run yet")
    assert len(forest(unfinished, WAITING).layout.yaxis.ticktext) == 1
    assert forest(FULL, WORSE, full="M2").layout.yaxis.ticktext == ("<b>M4</b><br>all components",)
    assert "no variant to compare" in forest(FULL).layout.annotations[0].text


def test_power_with_its_claims() -> None:
    power = pd.DataFrame(
        {
            "True difference": [0.0, 0.1],
            "Mean UF1 difference": [0.0, 0.11],
            "Found": [0.04, 0.7],
            "Studies": [50, 50],
        }
    )
    figure = power_figure(power, clips=145, claims={"M1": 0.05, "<M2>": 0.03})
    assert list(figure.data[0].y) == [0.04, 0.7]
    names = [a.text for a in figure.layout.annotations if a.name == "reference"]
    assert names == ["&lt;M2&gt;", "M1"]
    assert "145 clips" in figure.layout.title.text
