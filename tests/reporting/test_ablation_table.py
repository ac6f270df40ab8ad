"""The table of an ablation, from runs with made-up predictions."""

import math
from pathlib import Path

import pytest
from conftest import make_flowset
from made_runs import make_run, two_sets

from hmrm_lab.errors import InputError
from hmrm_lab.evaluation.significance import paired_difference, permutation_test
from hmrm_lab.evaluation.summary import collect_predictions
from hmrm_lab.reporting.ablation_table import ablation_caption, ablation_table, ablation_words
from hmrm_lab.reporting.system_cards import claimed, published

WORDS = {"M4": "all components", "M2": "no MotionMix", "M3": "no region fusion"}


def test_claims_are_those_of_the_paper() -> None:
    table = published()
    assert not table.duplicated(["system", "variant", "data", "metric"]).any()
    assert table["value"].between(0, 1).all()
    assert (table["source"] != "").all()
    assert claimed("hmrm", "M2", "casme2") == {"uf1": 0.9207, "uar": 0.9324}
    assert claimed("hmrm", "full", "casme2") == claimed("hmrm", "M4", "casme2")
    assert claimed("hmrm", "M9", "casme2") == {}
    assert claimed("ststnet") == {"uf1": 0.7353, "uar": 0.7605}
    assert claimed("htnet", data="samm") == {"uf1": 0.8131, "uar": 0.8124}


def test_claims_of_compared_systems_are_whole_and_flagged() -> None:
    table = published().query("system != 'hmrm'")
    sizes = table.groupby("system").size()
    assert (sizes == 4 * 2).all()  # composite and three sets; UF1 and UAR
    assert len(sizes) == 10
    peeking = table[table["note"].str.contains("best test epoch")]
    assert set(peeking["system"]) == {"capsulenet", "htnet"}
    precision = table[table["note"].str.contains("macro precision")]
    assert set(precision["system"] + precision["metric"]) == {"ststnetuar"}
    assert len(precision) == 4


def test_figures_differences_and_tests(tmp_path: Path) -> None:
    flowset = make_flowset(subjects=8)
    runs = {
        "M4": make_run(tmp_path, flowset, right=0.9),
        "M2": make_run(tmp_path, flowset, "augment.motionmix=0", right=0.3),
        "M3": make_run(tmp_path, flowset, "model.fusion=none", right=0.85),
    }
    table = ablation_table(WORDS, runs).set_index("Variant")
    full, mix = (collect_predictions(runs[name]) for name in ("M4", "M2"))
    difference, low, high = paired_difference(mix, full, "uf1")
    assert table.loc["M2", "Difference"] == difference < 0
    assert tuple(table.loc["M2", ["Difference low", "Difference high"]]) == (low, high)
    assert table.loc["M2", "p"] == permutation_test(mix, full).p_value
    assert table.loc["M2", "p (Holm)"] == 2 * table.loc["M2", "p"] < 0.05
    assert math.isnan(table.loc["M4", "Difference"])
    assert table.loc["M2", "Paper difference"] == pytest.approx(0.9207 - 0.9561)
    assert math.isnan(table.loc["M4", "Paper difference"])
    words = ablation_words(table.reset_index())
    assert words["UF1 minus full [95 %]"].iloc[0] == "–"
    assert words["UF1 minus full [95 %]"].iloc[1].startswith("-0.")
    assert "nan" not in words.to_string()
    caption = ablation_caption(runs)
    assert "flow dis: epoch rule last" in caption
    assert "claims are on CASME II" in caption


def test_nothing_is_claimed_of_another_system(tmp_path: Path) -> None:
    runs = {"full": make_run(tmp_path, make_flowset(subjects=3))}
    whose = {"full": "full", "system": "ammsm"}
    table = ablation_table({"full": "all components"}, runs, **whose)
    assert table[["Paper UF1", "Paper UAR", "Paper difference"]].isna().all(axis=None)
    assert not [name for name in ablation_words(table) if name.startswith("Paper")]
    assert "paper" not in ablation_caption(runs, **whose)
    assert ablation_caption({}, **whose) == "There are no figures of the full model yet."


def test_what_is_missing_or_incomplete_has_no_figures(tmp_path: Path) -> None:
    flowset = make_flowset(subjects=3)
    runs = {
        "M4": make_run(tmp_path, flowset),
        "M2": make_run(tmp_path, flowset, "augment.motionmix=0", unfinished=1),
    }
    table = ablation_table(WORDS, runs, left_out={"M3": "no fusion here"}).set_index("Variant")
    assert table["UF1"].notna().tolist() == [True, False, False]
    assert table["Note"].tolist() == ["", "INCOMPLETE 2/3", "no fusion here"]
    nothing = ablation_table(WORDS, {})
    assert nothing["Note"].tolist() == ["not run yet"] * 3
    assert "no figures of the full model" in ablation_caption({})
    problems = {"M2": "1 of 3 folds failed", "M3": "no memory"}
    failed = ablation_table(WORDS, runs, problems=problems)
    assert failed["Note"].tolist() == [
        "",
        "INCOMPLETE 2/3; 1 of 3 folds failed",
        "FAILED; no memory",
    ]


def test_one_data_set_of_several(tmp_path: Path) -> None:
    runs = {"M4": make_run(tmp_path, two_sets(), right=0.7)}
    whole = ablation_table(WORDS, runs)["UF1"].iloc[0]
    part = ablation_table(WORDS, runs, part="toy")["UF1"].iloc[0]
    assert part == pytest.approx(runs["M4"].metrics()["datasets"]["toy"]["uf1"], abs=1e-6)
    assert part != whole
    assert "3 subjects" in ablation_caption(runs, part="toy")


def test_other_clips_are_refused(tmp_path: Path) -> None:
    runs = {
        "M4": make_run(tmp_path, make_flowset(subjects=3)),
        "M2": make_run(tmp_path, make_flowset(subjects=4), "augment.motionmix=0"),
    }
    with pytest.raises(InputError, match="different persons"):
        ablation_table(WORDS, runs)
