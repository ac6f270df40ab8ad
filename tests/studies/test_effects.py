"""One change at a time: what is tried, what is left out, and what the table says."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import make_flowset, quick_config

from hmrm_lab.config import load_config
from hmrm_lab.datasets.classes import MEGC3
from hmrm_lab.errors import ConfigError
from hmrm_lab.evaluation.significance import pooled
from hmrm_lab.records import Predictions, prediction_columns, probability_columns
from hmrm_lab.reporting.study_words import effects_words
from hmrm_lab.studies.effects import BASE, CHANGES, ENSEMBLE, ensemble, plan_effects
from hmrm_lab.studies.search import run_grid
from hmrm_lab.studies.study import Variant
from hmrm_lab.studies.trials import Sweep, changed

FEW = [
    Variant("narrow", "model.width=8", ("model.width=8",)),
    Variant("as before", "model.width=16", ("model.width=16",)),
    Variant("mean", "evaluation.readout=mean", ("evaluation.readout=mean",)),
]


def test_every_change_is_one_of_the_default_recipe() -> None:
    recipe = load_config("default")
    plan = plan_effects(recipe)
    assert list(plan.words) == [BASE, *(change.name for change in CHANGES)]
    assert plan.left_out == {"normalised maps": "the same as recipe"}
    for name, point in plan.points.items():
        config = changed(recipe, point)
        assert (config.digest() == recipe.digest()) == (name == BASE)
        assert len(point) <= 2
        assert (config.data, config.faces, config.flow) == (recipe.data, recipe.faces, recipe.flow)
        assert config.evaluation.seeds == recipe.evaluation.seeds


def test_what_published_maps_cannot_give_is_left_out_with_its_reason() -> None:
    left_out = plan_effects(load_config("default", data="flowmaps")).left_out
    assert "magnitude means nothing" in left_out.pop("raw maps")
    assert left_out == {"normalised maps": "the same as recipe"}


def test_a_change_may_be_a_list() -> None:
    channels = Variant("strain", "", ('input.channels=["u","v","strain"]', " training.lr = 1e-3"))
    point = plan_effects(quick_config("hmrm"), [channels]).points["strain"]
    config = changed(quick_config("hmrm"), point)
    assert config.input.channels == ("u", "v", "strain")
    assert config.training.lr == 1e-3


def test_the_page_counts_the_changes() -> None:
    page = Path(__file__).parents[2] / "docs" / "studies" / "effects.md"
    assert f"at a time, {len(CHANGES)} of them" in page.read_text(encoding="utf-8")


def test_figures_of_a_study(tmp_path: Path) -> None:
    flowset = make_flowset(subjects=8, per_subject=3)
    plan = plan_effects(quick_config("hmrm", "training.epochs=1", "evaluation.seeds=[0, 1]"), FEW)
    assert plan.left_out == {"as before": "the same as recipe"}
    sweep = Sweep.of(plan.recipe, flowset, tmp_path)
    run_grid(sweep, flowset, [plan.points[BASE], plan.points["narrow"]])
    table = plan.table(sweep).set_index("Change")
    assert list(table.index) == [BASE, "narrow", "as before", "mean", ENSEMBLE]
    base, narrow = sweep.trial({}), sweep.trial(plan.points["narrow"])
    assert table.loc["narrow", "Difference"] == pytest.approx(narrow.score - base.score)
    low, difference, high = table.loc["narrow", ["Difference low", "Difference", "Difference high"]]
    assert low <= difference <= high
    assert table.loc["as before", "Note"] == "the same as recipe"
    assert table.loc["mean", "Note"] == "not tried yet"
    untold = table.loc[[BASE, "as before", "mean"], ["Difference", "p", "p (Holm)"]]
    assert untold.isna().all(axis=None)
    assert (table["p (Holm)"].dropna() >= table["p"].dropna()).all()
    assert table.loc[ENSEMBLE, "UF1"] == pooled(ensemble(base.predictions), "uf1")
    words = effects_words(table.reset_index())
    assert words["Change"].iloc[0] == BASE
    told = words["Change"].iloc[1:3].tolist()
    order = table.loc[told, "Difference"]
    assert order.is_monotonic_decreasing


def test_the_mean_of_seeds_is_one_answer() -> None:
    answers = [[0.5, 0.3, 0.2], [0.1, 0.8, 0.1], [0.4, 0.4, 0.2]]  # a clip under three seeds
    other = [[0.2, 0.2, 0.6]] * 3
    rows = [
        ("toy", "s01", clip, "toy/s01", seed, 1, 1, int(np.argmax(p[seed])), *p[seed])
        for clip, p in (("a", answers), ("b", other))
        for seed in range(3)
    ]
    mean = ensemble(
        Predictions(pd.DataFrame(rows, columns=prediction_columns(MEGC3.classes)))
    ).table
    columns = probability_columns(MEGC3.classes)
    np.testing.assert_allclose(mean[columns].to_numpy()[:3], [[1 / 3, 0.5, 0.5 / 3]] * 3)
    assert mean["prediction"].tolist() == [1, 1, 1, 2, 2, 2]
    assert mean["seed"].tolist() == [0, 1, 2, 0, 1, 2]


def test_what_cannot_be_compared_is_refused() -> None:
    for variants, message in (
        ([Variant("thin", "", ("model.widht=8",))], "did you mean 'width'"),
        ([Variant("other", "", ("data.clips=9",))], "cannot vary data.clips"),
        ([Variant("seeds", "", ("evaluation.seeds=[7]",))], "cannot vary evaluation.seeds"),
        ([Variant("rate", "", ("training.lr",))], "'training.lr' is not key=value"),
        ([FEW[0], FEW[0]], "two changes are named 'narrow'"),
        ([Variant(BASE, "", ("model.width=8",))], "two changes are named 'recipe'"),
    ):
        with pytest.raises(ConfigError, match=message):
            plan_effects(quick_config("hmrm"), variants)
