"""Tables, figures and files of studies, from runs with made-up predictions."""

import io
import math
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import make_flowset
from made_runs import make_run, two_sets
from reporting.shown import by_name, words_of

from hmrm_lab.datasets.classes import scheme_names
from hmrm_lab.errors import InputError
from hmrm_lab.evaluation import significance
from hmrm_lab.evaluation.summary import collect_predictions
from hmrm_lab.records import ClipKey, FlowSet
from hmrm_lab.registry import Card, Entry, systems
from hmrm_lab.reporting import study_figures, study_table
from hmrm_lab.reporting.study_page import AblationResult, ComparisonResult, render_comparison
from hmrm_lab.reporting.study_table import HONEST, NULL, NULL_WITHIN, ORACLE, ranking_over_sets
from hmrm_lab.reporting.study_words import claim_words, lead, parameter_statement
from hmrm_lab.runtime.store import RunFolder, read_json, to_json

RIGHT = {"hmrm": 0.8, "ststnet": 0.75, "guess": 0.4, "vectors": 0.6}
WORDS = {"M4": "all components", "M2": "no MotionMix", "M3": "no region fusion"}
Words = Mapping[str, str]
NONE: Words = {}
KINDS = {
    HONEST: ((), 0.0),
    ORACLE: (("evaluation.epoch_rule=oracle_test",), 0.15),
    NULL: (("evaluation.control=shuffled_labels",), -0.3),
    NULL_WITHIN: (("evaluation.control=shuffled_within_subjects",), -0.2),
}
NAN = math.nan


def guess(channels: int, size: int, classes: int, *, width: int = 2) -> None:
    """Stands in for a system: nothing here is trained."""


@pytest.fixture(autouse=True)
def more_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    cards = {
        "guess": Card("flow maps", "A & B, <i>Guessing</i>, 2020", "sketch", ("no layers",)),
        "vectors": Card("flow maps", "Vapnik 1995", "adapted"),
        "<b>bad</b>": None,
    }
    for name, card in cards.items():
        monkeypatch.setitem(systems._entries, name, Entry("system", name, guess, card=card))


def three_sets() -> FlowSet:
    """The names of the composite, on maps that are none of its own."""
    flowset = make_flowset(subjects=9, size=8)
    names = ("smic", "casme2", "samm")
    keys = [ClipKey(names[n // 18], key.subject, key.clip) for n, key in enumerate(flowset.keys)]
    return replace(flowset, keys=tuple(keys))


def comparison(runs: dict[str, RunFolder], **problems: str) -> ComparisonResult:
    """Honest runs by system."""
    failed = {(name, HONEST): why for name, why in problems.items()}
    rows = {name: name for name in [*runs, *problems]}
    cells = {(name, HONEST): run for name, run in runs.items()}
    return ComparisonResult("x", rows, {HONEST: HONEST}, cells, problems=failed)


def made(out: Path, flowset: FlowSet, *kinds: str) -> ComparisonResult:
    """Runs of all four systems; the one named vectors has no parameters."""
    runs = {}
    for kind in kinds or (HONEST,):
        overrides, more = KINDS[kind]
        for name, right in RIGHT.items():
            run = make_run(out, flowset, *overrides, system=name, right=right + more)
            if name == "vectors":
                data = run.data() | {"parameters": None, "flops": None}
                (run.path / "data.json").write_text(to_json(data))
            runs[name, kind] = run
    columns = {kind: kind for kind in kinds or (HONEST,)}
    return ComparisonResult("synthetic", {name: name for name in RIGHT}, columns, runs)


def test_ranks_intervals_and_tests_are_those_of_the_runs(tmp_path: Path) -> None:
    result = made(tmp_path, make_flowset(subjects=9, size=8))
    table, runs = result.table, result.in_column(HONEST)
    assert table["UF1"].is_monotonic_decreasing
    assert table["Rank"].tolist() == [1, 2, 3, 4]
    best, *others = table["System"]
    figures = runs[best].metrics()["all"]
    names = ["UF1", "UF1 low", "UF1 high"]
    assert table.loc[0, names].tolist() == [figures["uf1"], *figures["uf1_interval"]]
    theirs = collect_predictions(runs[best])
    p_values = [
        significance.permutation_test(collect_predictions(runs[name]), theirs).p_value
        for name in others
    ]
    assert table["p"].tolist()[1:] == p_values
    assert table["p (Holm)"].tolist()[1:] == significance.holm(p_values)
    assert table.loc[0, ["p", "Answer ms"]].isna().all(), "made-up runs have measured no time"
    assert table.set_index("System").loc["vectors", ["Parameters", "FLOPs"]].isna().all()
    assert best in lead(table)[0]
    assert "1 data set;" in str(ranking_over_sets(table))


def test_what_cannot_be_compared_says_why(tmp_path: Path) -> None:
    flowset = make_flowset(subjects=3, size=8)
    runs = {
        "hmrm": make_run(tmp_path, make_flowset(subjects=4, size=8), right=0.9),
        "vectors": make_run(tmp_path, flowset, system="vectors", right=0.3),
        "ststnet": make_run(tmp_path, flowset, system="ststnet", unfinished=1),
    }
    table = comparison(runs).table.set_index("System")
    assert table.loc["ststnet", ["UF1", "Rank"]].isna().all()
    assert table.loc["ststnet", "Note"] == "INCOMPLETE 2/3"
    assert table.loc["vectors", "Note"] == "other clips than the best: not paired"
    assert table.loc["hmrm", "Note"] == ""
    nothing = comparison({}, hmrm="no memory")
    assert nothing.table["Note"].tolist() == ["FAILED; no memory"]
    assert "nothing to rank" in lead(nothing.table)[0]
    assert "nan" not in nothing.text().lower()
    assert "No system" in words_of(nothing.figure())
    assert "No system" in words_of(study_figures.parameters_figure(nothing.table, ours="hmrm"))


def test_the_statement_follows_from_the_table() -> None:
    rows = [("ours", 0.8, 1e5), ("big", 0.78, 1e7), ("small", 0.75, 2e3), ("none", 0.74, NAN)]
    table = pd.DataFrame([*rows, ("far", 0.5, 1e9)], columns=["System", "UF1", "Parameters"])
    ends = {"UF1 low": table["UF1"] - 0.1, "UF1 high": table["UF1"] + 0.1}
    table = table.assign(Rank=range(5), Note="", **ends)
    assert parameter_statement(table, "ours") == (
        "ours has 100k parameters."
        " Of 4 other systems 3 reach a UF1 within its 95 % interval of 0.700 to 0.900."
        " With more parameters: big (10M, 100 times)."
        " With fewer parameters: small (2k, 0.02 times). Without parameters to count: none."
    )
    assert parameter_statement(table, "absent") == parameter_statement(table, "none") == ""


def test_claims_are_of_the_same_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        ("hmrm", "full", "all", "megc3", "uf1", 0.9, "peeks", "Table 1"),
        ("hmrm", "full", "samm", "megc3", "uf1", 0.8, "peeks", "Table 2"),
        ("hmrm", "M1", "all", "megc3", "uf1", 0.1, "", "Table 3"),
        ("hmrm", "full", "samm", "samm-5", "f1", 0.7, "", "Table 4"),
    ]
    columns = ["system", "variant", "data", "classes", "metric", "value", "note", "source"]
    monkeypatch.setattr(study_table, "_claims", lambda: pd.DataFrame(rows, columns=columns))
    composite = three_sets()
    own = tuple(k._replace(dataset="own") if k.dataset == "smic" else k for k in composite.keys)
    for name, flowset, uf1, claim in (
        ("composite", composite, 0.9, "peeks; Table 1"),
        ("samm", composite.take(np.arange(36, 54)), 0.8, "peeks; Table 2"),
        ("toy", make_flowset(size=8), NAN, ""),
        ("mixed", replace(composite, keys=own), NAN, ""),
        ("elsewhere", two_sets(), NAN, ""),
    ):
        row = comparison({"hmrm": make_run(tmp_path / name, flowset)}).table.iloc[0]
        assert row["Claimed UF1"] == pytest.approx(uf1, nan_ok=True), name
        assert row["Claim"] == claim
    run = make_run(tmp_path / "five", composite.take(np.arange(36, 54)), "data.classes=samm-5")
    finer = comparison({"hmrm": run})
    assert "0.700" in finer.words["Claimed F1"].tolist()
    row = finer.table.iloc[0]
    assert (row["Claimed F1"], row["Claim"]) == (0.7, "Table 4") and math.isnan(row["Claimed UF1"])
    assert claim_words(finer.table, ["samm"], finer.classes)["Claimed"].tolist() == ["0.700"]


def test_claims_are_whole_and_flagged() -> None:
    table = study_table.published()
    assert not table.duplicated(["system", "variant", "data", "classes", "metric"]).any()
    assert set(table["classes"]) <= {*scheme_names(), "not stated"}
    assert set(table["metric"]) <= set(study_table.CLAIMED)
    assert table["value"].between(0, 1).all()
    assert (table["source"] != "").all()
    assert study_table.claimed("hmrm", "M2", "casme2") == {"uf1": 0.9207, "uar": 0.9324}
    assert study_table.claimed("hmrm", "M9", "casme2") == {}
    others = table.query("system != 'hmrm'")
    peeking = others[others["note"].str.contains("best test epoch")]
    assert set(peeking["system"]) == {"capsulenet", "htnet"}


def test_ranks_over_data_sets(tmp_path: Path) -> None:
    table = made(tmp_path, three_sets()).table
    ranking = ranking_over_sets(table)
    assert sorted(ranking.sets) == ["casme2", "samm", "smic"]
    means = table[[f"{part} UF1" for part in ranking.sets]].rank(ascending=False).mean(axis=1)
    expected = dict(zip(table["System"], means, strict=True))
    assert dict(zip(ranking.names, ranking.ranks, strict=True)) == pytest.approx(expected)
    told = words_of(study_figures.ranks_figure(ranking))
    assert "sets of one jointly trained composite are not" in told
    few = ranking_over_sets(made(tmp_path / "few", two_sets()).table)
    assert few.endswith(f"a ranking over data sets needs {significance.LEAST_SETS} at least.")


def test_groups_and_the_test_of_friedman() -> None:
    for count, q in ((2, 1.960), (3, 2.343), (5, 2.728), (10, 3.164)):  # Demsar 2006, Table 5
        expected = q * math.sqrt(count * (count + 1) / 60)
        assert significance.nemenyi(count, 10) == pytest.approx(expected, abs=2e-3)
    sets = [f"set{n}" for n in range(12)]
    ranking = significance.rank_systems(list("abcd"), sets, np.tile([0.9, 0.8, 0.3, 0.2], (12, 1)))
    assert ranking.ranks == (1, 2, 3, 4)
    assert ranking.p_value < 0.001
    assert ranking.groups == ((0, 1), (1, 2), (2, 3)), "1 apart, and the difference is 1.35"
    equal = significance.rank_systems(list("abcd"), sets, np.ones((12, 4)))
    assert (equal.p_value, equal.groups) == (1, ((0, 3),))


def test_figures_show_what_the_table_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = made(tmp_path, three_sets(), *KINDS)
    table, scores = result.table, by_name(result.figure())
    assert list(scores["measured"].x) == table["UF1"].tolist()
    assert list(scores["shuffled labels"].x) == table["Null UF1"].tolist()
    assert {"Oracle UF1", "Null UF1", "Null within UF1"} <= {*result.words}
    peeking = study_figures.peeking_figure(table)
    added = [text.strip() for text in by_name(peeking)["best test epoch"].text]
    assert added == [f"{x:+.3f}" for x in table["Peeking adds"]]
    counts = study_figures.parameters_figure(table, ours="hmrm").data
    assert sum(len(trace.x) for trace in counts) == 3, "one has none to count"
    assert study_table.without_oracle(result) == []
    card = Card("flow maps", "Vapnik 1995", "adapted", estimator=True)
    monkeypatch.setitem(systems._entries, "vectors", Entry("system", "vectors", guess, card=card))
    del result.runs["vectors", ORACLE]
    assert study_table.without_oracle(result) == ["vectors"]
    assert study_table.without_oracle(comparison(result.in_column(HONEST))) == []
    table = replace(result).table
    assert table["Oracle UF1"].isna().tolist() == (table["System"] == "vectors").tolist()
    assert "without epochs to choose from: vectors." in render_comparison(replace(result))


def test_the_files_hold_the_table_and_load_nothing(tmp_path: Path) -> None:
    result = made(tmp_path, three_sets(), HONEST, ORACLE, NULL)
    result.left_out["watcher", HONEST] = "takes a clip, and these data have none"
    result.rows["<b>bad</b>"] = "<b>bad</b>"
    result.problems["<b>bad</b>", HONEST] = "a <script> that is none"
    result.unused["model.width=8"] = ["mlp"]
    table = result.table
    files = {suffix: file.read_text("utf-8") for suffix, file in result.write(tmp_path).items()}
    rows = pd.read_csv(io.StringIO(files["csv"]))
    assert rows["System"].tolist() == table["System"].tolist()
    assert rows["UF1"].iloc[0] == table["UF1"].iloc[0]
    record = read_json(tmp_path / "comparison.json")
    assert record["systems"][-1]["UF1"] is None
    assert record["left_out"]["watcher"]
    assert files["tex"].count(r"\\") == len(table) + 1
    head, _, scripts = files["html"].partition("<script>")
    assert not re.search(r"""(src|href)=["']?https?:""", head)
    assert "<b>bad</b>" not in head
    for words in (
        *("default-src 'none'", "a &lt;script&gt; that is none", "A &amp; B, &lt;i&gt;Guessing"),
        *("watcher is left out", "mlp has no use for it.", "Null: trained on shuffled labels"),
    ):
        assert words in head
    assert files["html"].count('<script type="application/json">') == 4
    assert "plotly.js v" in scripts


def ablation(
    runs: dict[str, RunFolder], left_out: Words = NONE, problems: Words = NONE, **whose: str
) -> AblationResult:
    cells = ({(name, ""): of for name, of in by.items()} for by in (runs, left_out, problems))
    return AblationResult("toy", WORDS, {}, *cells, **whose)


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
    names = ["Difference", "Difference low", "Difference high"]
    assert table.loc["M2", names].tolist() == list(significance.paired_difference(mix, full, "uf1"))
    assert table.loc["M2", "p"] == significance.permutation_test(mix, full).p_value
    assert table.loc["M2", "p (Holm)"] == 2 * table.loc["M2", "p"] < 0.05
    assert table.loc["M2", "Paper difference"] == pytest.approx(0.9207 - 0.9561)
    assert table.loc["M4", ["Difference", "Paper difference"]].isna().all()
    assert result.words["UF1 minus full [95 %]"].iloc[1].startswith("-0.")
    assert "nan" not in result.text()
    assert "claims are on CASME II" in result.caption
    other = ablation(runs, system="ammsm")
    assert not [name for name in other.words if name.startswith("Paper")]
    assert "paper" not in other.caption


def test_variants_without_figures_say_why(tmp_path: Path) -> None:
    flowset = make_flowset(subjects=3)
    without = make_run(tmp_path, flowset, "augment.motionmix=0", unfinished=1)
    runs = {"M4": make_run(tmp_path, flowset), "M2": without}
    other = make_run(tmp_path, make_flowset(subjects=4), "model.fusion=none")
    unpaired = "other clips than the full model: not paired"
    failed = {"M2": "1 failed", "M3": "no memory"}
    for result, notes in (
        (ablation(runs, {"M3": "no fusion here"}), ["", "INCOMPLETE 2/3", "no fusion here"]),
        (ablation({}), ["not run yet"] * 3),
        (ablation(runs, problems=failed), ["", "INCOMPLETE 2/3; 1 failed", "FAILED; no memory"]),
        (ablation({**runs, "M3": other}), ["", "INCOMPLETE 2/3", unpaired]),
    ):
        assert result.table["Note"].tolist() == notes
        assert result.table["Difference"].isna().all()
    assert "no figures of the full model" in ablation({}).caption
    several = {"M4": make_run(tmp_path / "several", two_sets(), right=0.7)}
    with pytest.raises(InputError, match="unknown part 'tou'"):
        assert ablation(several, part="tou").table
    part = ablation(several, part="toy")
    assert part.table["UF1"][0] == several["M4"].metrics()["datasets"]["toy"]["uf1"]
    assert "3 subjects" in part.caption


def test_the_forest_plot() -> None:
    names = ["Variant", "Model", "UF1", "Difference", "Difference low", "Difference high"]
    columns = [*names, "Paper difference", "Note"]
    rows = [
        ("M4", "all components", 0.8, NAN, NAN, NAN, NAN, ""),
        ("M2", "no MotionMix", 0.7, -0.1, -0.2, 0.05, -0.035, ""),
        ("M3", "no <fusion>", NAN, NAN, NAN, NAN, -0.039, "not run yet"),
    ]
    table = pd.DataFrame(rows, columns=columns).assign(**{"p": 0.04, "p (Holm)": 0.08})
    figure = study_figures.forest_figure(table)
    ours, claimed = figure.data
    ends = (ours.x[0] - ours.error_x.arrayminus[0], ours.x[0] + ours.error_x.array[0])
    assert (ours.x[0], *ends) == pytest.approx((-0.1, -0.2, 0.05))
    assert list(claimed.x) == [-0.035, -0.039]
    assert [a.text for a in figure.layout.annotations if a.name == "reason"] == ["not run yet"]
    assert "&lt;fusion&gt;" in figure.layout.yaxis.ticktext[1]
    other = study_figures.forest_figure(table.head(2), full="M2")
    assert other.layout.yaxis.ticktext == ("<b>M4</b><br>all components",)
    assert "no variant to compare" in words_of(study_figures.forest_figure(table.head(1)))


def test_power_with_its_claims() -> None:
    columns = ["True difference", "Mean UF1 difference", "Found", "Studies"]
    power = pd.DataFrame([(0.0, 0.0, 0.04, 50), (0.1, 0.11, 0.7, 50)], columns=columns)
    figure = study_figures.power_figure(power, clips=145, claims={"M1": 0.05, "<M2>": 0.03})
    assert list(figure.data[0].y) == [0.04, 0.7]
    assert words_of(figure).startswith("&lt;M2&gt; M1 50 simulated studies")
