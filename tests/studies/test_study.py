"""Comparisons, inputs, ablations and effects: what is run, reused, left out, refused and shown."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import make_flowset, quick_config

import hmrm_lab as lab
from hmrm_lab.config import ExperimentConfig, load_config
from hmrm_lab.datasets.classes import MEGC3
from hmrm_lab.errors import ConfigError, FailedFoldsError, InputError
from hmrm_lab.evaluation.significance import pooled
from hmrm_lab.preparation import load_flowset
from hmrm_lab.preparation.network_inputs import INPUTS
from hmrm_lab.records import Predictions, prediction_columns, probability_columns
from hmrm_lab.registry import systems
from hmrm_lab.reporting.study_figures import inputs_figure
from hmrm_lab.reporting.study_page import InputsResult
from hmrm_lab.reporting.study_table import HONEST, NULL, NULL_WITHIN, ORACLE
from hmrm_lab.reporting.study_words import effects_words, inputs_words, paired_words
from hmrm_lab.studies import study as study_module
from hmrm_lab.studies.ablate import PAPER, WHOLE, plan_ablation
from hmrm_lab.studies.effects import BASE, CHANGES, ENSEMBLE, ensemble, plan_effects
from hmrm_lab.studies.experiment import run_experiment
from hmrm_lab.studies.search import run_grid
from hmrm_lab.studies.study import (
    NETWORKS,
    Study,
    Variant,
    plan_comparison,
    plan_inputs,
    share_protocol,
)
from hmrm_lab.studies.trials import Sweep, changed

QUICK = ("training.epochs=1", "data.subjects=2", "data.clips=6")
MESTI = 'input.channels=["mesti"]'
NONE = "model.attention=none"
TUNED = ("flow.name=gru_attention", "flow.finetune=true")
SAME = "in this recipe it is the same as full"
NARROW = Variant("narrow", "model.width=8", ("model.width=8",))
CHANGED = {
    HONEST: {},
    ORACLE: {"epoch_rule": "oracle_test"},
    NULL: {"control": "shuffled_labels"},
    NULL_WITHIN: {"control": "shuffled_within_subjects"},
}
Made = tuple[Study, InputsResult, Path]


def smoke(system: str, *changes: str) -> ExperimentConfig:
    return load_config("smoke", system=system, overrides=changes)


def compared(names: Sequence[str] = (), changes: Sequence[str] = (), **how: Any) -> Any:
    return plan_comparison(share_protocol("smoke", names or list(systems), changes), **how)


def studied(names: Sequence[str] = NETWORKS, changes: Sequence[str] = (), **how: Any) -> Any:
    return plan_inputs(share_protocol("smoke", names, changes), **how)


def test_all_systems_share_all_but_their_recipes() -> None:
    two_seeds = (*QUICK, "evaluation.seeds=[0, 1]")
    study = compared(changes=two_seeds, kinds=list(CHANGED))
    assert list(study.columns) == [HONEST, ORACLE, NULL, NULL_WITHIN]
    honest = {name: config for (name, kind), config in study.configs.items() if kind == HONEST}
    assert list(honest) == list(systems)
    for part in ("data", "faces", "flow"):
        assert len({getattr(config, part).model_dump_json() for config in honest.values()}) == 1
    rules = {(config.evaluation.seeds, config.evaluation.epoch_rule) for config in honest.values()}
    assert rules == {((0, 1), "last")}
    assert honest["ststnet"].training.optimizer == "adam", "the recipe is the system's own"
    for (name, kind), config in study.configs.items():
        due = honest[name].evaluation.model_copy(update=CHANGED[kind])
        assert config.evaluation == due
    oracles = {name for name, kind in study.configs if kind == ORACLE}
    assert oracles == {name for name in systems if not systems[name].is_estimator}


def test_the_common_recipe_trains_every_network_as_hmrm_is() -> None:
    own, study = compared(), compared(recipe="common")
    ours = own.configs["hmrm", HONEST]
    for cell, config in study.configs.items():
        before, name = own.configs[cell], cell[0]
        assert (config.model, config.input.channels) == (before.model, before.input.channels)
        if systems[name].is_estimator or name == "hmrm":
            assert config == before
            continue
        unmixed = ours.augment.model_copy(update={"motionmix": 0.0})
        assert config.augment == (unmixed if config.input.has_pictures else ours.augment)
        taught = (config.loss, config.training, config.evaluation, config.input.normalise)
        assert taught == (ours.loss, ours.training, ours.evaluation, ours.input.normalise)
    names, raw = ["hmrm", "mlp", "ammsm_temporal"], ["data.name=flowmaps"]
    plain = share_protocol("paper-literal", names, raw)
    study = plan_comparison(plain, framed=False, recipe="common")
    assert list(study.configs) == [("hmrm", HONEST)]
    assert "magnitude means nothing" in study.left_out["mlp", HONEST]


def test_a_fusion_is_a_row_of_the_comparison(tmp_path: Path) -> None:
    names, clips = ["mlp", "svm"], lab.load(preset="smoke", clips=8)
    study = lab.compare(names, clips, fuse=names, seeds=1, out=tmp_path)
    table, fused = study.table.set_index("System"), lab.fuse(study)
    assert table.loc["mlp + svm", ["UF1", "UF1 low"]].tolist() == [
        *(fused.scores["uf1"], fused.scores["uf1_interval"][0])
    ]
    f1 = [table.loc["mlp + svm", f"F1 {name}"] for name in clips.classes]
    assert f1 == list(fused.scores["f1"].values())
    assert study.write()["html"].read_text("utf-8").count("mlp + svm")


def test_verbs_keep_the_settings_of_a_system_and_refuse_a_part(tmp_path: Path) -> None:
    clips, short = lab.load(preset="smoke", clips=6, subjects=2), lab.system("mlp", epochs=1)
    study = lab.inputs([short], clips, inputs=["flow"], seeds=1, out=tmp_path)
    assert study["mlp", "flow"].config.training.epochs == 1
    few = lab.compare([short], clips[:4], seeds=1, out=tmp_path)
    assert "-part-" in few["mlp"].folder.name
    for verb in (partial(lab.inputs, [short]), partial(lab.ablate, short)):
        with pytest.raises(InputError, match="4 clips that are a part"):
            verb(clips[:4])


def test_every_input_on_every_network_and_nothing_else_differs() -> None:
    plan = studied(changes=(*QUICK, "evaluation.seeds=[0, 1]"))
    assert not plan.left_out
    for system in NETWORKS:
        own = {name: plan.configs[system, name].model_dump(mode="json") for name in INPUTS}
        assert own["mesti"]["input"].pop("channels") == ["mesti"]
        assert own["dual_phase"]["flow"].pop("phases") == "both"
        for settings in own.values():
            settings["input"].pop("channels", None)
            settings["flow"].pop("phases", None)
        assert all(settings == own["flow"] for settings in own.values())
        assert own["flow"]["evaluation"]["seeds"] == [0, 1]
    assert len({config.digest() for config in plan.configs.values()}) == len(plan.configs)
    plan = studied(["hmrm", "ammsm", "ststnet"], QUICK)
    assert plan.left_out["hmrm", "mesti"].endswith("(run it with --set augment.motionmix=0)")
    assert "reads the channels u, v, onset, not u, v, strain" in plan.left_out["ammsm", "flow"]


def test_published_maps_have_no_frames_and_no_flow_to_choose(real_data: Path) -> None:
    maps = ["data.name=flowmaps"]
    root = real_data / "megc2019-flowmaps"
    study = compared(changes=maps, framed=False)
    assert study.left_out["lbp_top", HONEST] == "takes clips, and 'flowmaps' has no frames"
    published = lab.load("flowmaps", root, preset="smoke")
    with pytest.raises(ConfigError, match="nothing to compare: lbp_top takes clips"):
        lab.compare(["lbp_top"], published)
    cells = studied(["ststnet", "meganet"], maps, framed=False)
    assert list(cells.configs) == [("ststnet", "flow"), ("meganet", "flow")]
    assert cells.left_out["meganet", "mesti"] == "it takes mesti, and 'flowmaps' has no frames"
    config = smoke("hmrm", *maps)
    plan = plan_ablation(config, root=root, part="casme2")
    assert list(plan.configs)[3:] == ["no scan", "one length", "one encoder", "one head"]
    assert "ready-made" in plan.left_out["M1"]
    with pytest.raises(ConfigError, match="did you mean 'casme2'"):
        plan_ablation(config, root=root, part="casme")
    left_out = plan_effects(load_config("default", data="flowmaps")).left_out
    assert "magnitude means nothing" in left_out.pop("raw maps")
    assert left_out == {"normalised maps": "the same as recipe"}


def of_variants(plan: Callable[..., Any], *changes: str, **how: Any) -> Any:
    return plan(smoke("hmrm"), [Variant("X", "x", changes)], **how)


varied, tried = partial(of_variants, plan_ablation), partial(of_variants, plan_effects)
twice = partial(plan_ablation, smoke("hmrm"), [PAPER[1], PAPER[1]])
REFUSED: tuple[tuple[Callable[[], Any], str], ...] = (
    (partial(compared, changes=["evaluation.epoch_rule=oracle_test"]), "peeks at the test subject"),
    (partial(compared, changes=["evaluation.control=shuffled_labels"]), "cannot be ranked"),
    (partial(compared, changes=["model.name=svm"]), "name them in --systems"),
    (partial(compared, recipe="commen"), "did you mean 'common'"),
    (partial(compared, ["mlp", "svm"], recipe="common"), "hmrm, which takes no part; name hmrm"),
    (partial(compared, ["mlp", "svm"], fuse=["mlp", "hmrm"]), "system to fuse 'hmrm'"),
    (partial(compared, ["mlp", "svm"], fuse=["mlp"]), "nothing to fuse"),
    (partial(studied, inputs=["mest"]), "did you mean 'mesti'"),
    (partial(plan_ablation, smoke("ststnet")), "components of 'ststnet' are not listed"),
    (partial(varied, "flow.name=tvl"), "did you mean 'tvl1'"),
    (partial(varied, "data.clips=9"), "changes data.clips"),
    (partial(varied, "evaluation.seeds=[1]"), "changes evaluation.seeds"),
    (twice, "two variants are named 'M2'"),
    (partial(tried, "training.lr"), "'training.lr' is not key=value"),
    (partial(plan_effects, quick_config("hmrm"), [NARROW, NARROW]), "named 'narrow'"),
    *(
        (partial(share_protocol, "default", [first, "resnet18"], [change]), "did you mean|epochs")
        for first in ("svm", "lbp_top", "meganet")
        for change in ("training.epoch=1", "training.epochs=0", "flow.nmae=dis")
    ),
)


def test_what_cannot_be_compared_is_refused() -> None:
    for plan, message in REFUSED:
        with pytest.raises(ConfigError, match=message):
            plan()


def test_settings_that_some_systems_have_no_use_for(tmp_path: Path) -> None:
    for other, changes, unused in (
        ("ststnet", ["flow.name=farneback", "model.width=8"], {"model.width=8": ["ststnet"]}),
        # the picture is right together with its companions alone
        ("meganet", [MESTI, "augment.motionmix=0", NONE], {NONE: ["hmrm"]}),
    ):
        protocol = share_protocol("smoke", ["hmrm", other], changes)
        assert protocol.unused == unused
        assert list(protocol.configs) == ["hmrm", other]
        assert len({config.flow.model_dump_json() for config in protocol.configs.values()}) == 1
    protocol = share_protocol("default", ["resnet18", "meganet"], [MESTI])
    assert protocol.shared.input.channels != ("mesti",), "hmrm is not asked: it takes no part"
    preset = tmp_path / "pictures.toml"
    preset.write_text('[input]\nchannels = ["mesti"]\n', encoding="utf-8")
    protocol = share_protocol(str(preset), ["resnet18", "hmrm"])
    assert list(protocol.configs) == ["resnet18"]
    assert protocol.left_out["hmrm"].endswith("(run it with --set augment.motionmix=0)")


def test_a_recipe_that_the_shared_flow_breaks_is_left_out() -> None:
    why = "a flow is not fine-tuned beside the picture mesti"
    names = ["meganet", "meganet_mesti"]
    study = compared(names, TUNED)
    assert study.left_out["meganet_mesti", HONEST].startswith(f"refuses these settings: {why}")
    cells = studied(names, TUNED, inputs=["flow"])
    assert list(cells.configs) == [("meganet", "flow")]
    assert cells.left_out["meganet_mesti", "flow"].startswith(why)
    protocol = share_protocol("smoke", ["svm", "meganet"], TUNED)
    assert protocol.unused == {"flow.finetune=true": ["svm"]}


def test_one_that_fails_stops_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(config: Any, **options: Any) -> Any:
        if config.model.name == "mlp":
            raise ArithmeticError("no such layer")
        return run_experiment(config, **options)

    monkeypatch.setattr(study_module, "run_experiment", failing)
    names = ["mlp", "ststnet"]
    study = compared(names, QUICK, kinds=[HONEST, ORACLE, NULL])
    result = study.run(out=tmp_path)
    assert list(result.in_column(HONEST)) == ["ststnet"]
    table = result.table.set_index("System")
    assert "FAILED; " in table.loc["mlp", "Note"]
    with pytest.raises(FailedFoldsError, match=r"mlp, honest: .*no such layer"):
        result.refuse_failures()
    row = table.loc["ststnet"]
    assert row["Peeking adds"] == pytest.approx(row["Oracle UF1"] - row["UF1"])
    assert min(row["Answer ms"], row["Training s per fold"]) > 0
    files = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/folds/*.json")}
    again = study.run(out=tmp_path)
    assert len(files) == 3 * 2
    assert all(path.stat().st_mtime_ns == when for path, when in files.items())
    assert again.table["UF1"].equals(result.table["UF1"])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("inputs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HMRM_CACHE", str(folder / "cache"))
        study = studied(["ststnet"], QUICK, inputs=["apex", "mesti"])
        return study, study.run(out=folder / "runs"), folder / "runs"


def test_the_table_of_inputs_is_that_of_the_runs(made: Made) -> None:
    study, result, folder = made
    table = result.table.set_index("Input")
    for name, words in (("apex", "apex frame"), ("mesti", "MESTI")):
        metrics = result.runs["ststnet", name].metrics()["all"]
        assert table.loc[words, "UF1"] == metrics["uf1"]
        assert table.loc[words, ["UAR low", "UAR high"]].tolist() == metrics["uar_interval"]
    gap = table.loc["MESTI", "UF1"] - table.loc["apex frame", "UF1"]
    assert table.loc["apex frame", "Difference"] == pytest.approx(gap, abs=1e-5)
    assert math.isnan(table.loc["MESTI", "p"])
    protocol = "epoch rule last; 2 subjects, 1 seed; the same clips and folds for all"
    assert result.caption.endswith(protocol)
    assert len(paired_words(result.table)) == 1
    assert len(inputs_words(result.table)) == 1
    dots = [float(dot.x[0]) for dot in inputs_figure(result.table).data]
    assert dots == result.table["UF1"].tolist()
    assert not inputs_figure(result.table.assign(UF1=math.nan)).data
    shown: list[str] = []
    study.run(out=folder, watch=lambda stage, *_: shown.append(stage))
    assert {"ststnet, apex frame: folds", "ststnet, MESTI: folds"} <= set(shown)
    remarks = replace(result, unused={"model.width=8": ["svm", "mdmo"]}).remarks
    assert remarks == ["model.width=8: svm, mdmo have no use for it"]


def test_runs_on_other_clips_are_not_paired(made: Made, tmp_path: Path) -> None:
    """As where a frame is damaged that one input looks at, and MESTI does not."""
    study, result, _ = made
    config = study.configs["ststnet", "apex"]
    fewer = load_flowset(config).take(range(5))
    run = run_experiment(config, out=tmp_path, flowset=fewer, final_model=False)
    other = replace(result, runs={**result.runs, ("ststnet", "apex"): run})
    table = other.table.set_index("Input")
    assert table.loc["apex frame", "Note"] == "SMOKE; other clips than MESTI: not paired"
    assert table.loc["apex frame", ["Difference", "p", "p (Holm)"]].isna().all()
    assert not len(paired_words(other.table))
    assert other.caption.endswith("; NOT the same clips for all: others are not paired")


def test_a_variant_differs_from_the_full_model_in_what_it_names() -> None:
    plan = plan_ablation(smoke("hmrm"))
    full = plan.full_config
    assert (plan.full, full.flow.name, full.augment.motionmix) == ("M4", "gru_attention", 0.5)
    parts = {
        name: [part for part, value in config if value != getattr(full, part)]
        for name, config in plan.configs.items()
    }
    assert {name: parts[name] for name in list(parts)[:4]} == {
        **{"M4": [], "M1": ["flow"], "M2": ["augment"], "M3": ["model"]}
    }
    assert plan.left_out == {}
    found = ("model.alpha=8", "model.ratios=[0.3,0.5,0.7,0.9]", "model.super_steps=4")
    plan = plan_ablation(smoke("ammsm", *found))
    options = plan.full_config.model.options
    own = systems["ammsm"].complete({})
    changes = {
        name: {key: value for key, value in config.model.options.items() if value != options[key]}
        for name, config in plan.configs.items()
    }
    assert list(changes)[1:3] == ["no magnifier", "gated magnifier"]
    assert changes["no sparsity"] == {"ratios": [1.0, 1.0, 1.0, 1.0], "super_steps": 0}
    searched = {"alpha": own["alpha"], "ratios": own["ratios"]}
    assert changes["no search"] == {**searched, "super_steps": 0}
    assert changes["no spatial stream"] == {"spatial": False}
    plan = plan_ablation(smoke("meganet_mesti"))
    attention = {name: config.model.options["attention"] for name, config in plan.configs.items()}
    assert attention == {"full": "gradient", "no attention": "none"}


def test_what_changes_nothing_is_left_out_and_a_flow_that_was_asked_for_is_not_lost() -> None:
    plan = plan_ablation(smoke("ammsm_temporal"))
    assert list(plan.configs) == ["full", "no magnifier", "gated magnifier", "no sparsity"]
    assert plan.left_out == {"fixed alpha": SAME, "no search": SAME}
    plan = plan_ablation(smoke("hmrm", "augment.motionmix=0"))
    assert plan.left_out == {"M2": SAME.replace("full", "M4")}
    config = smoke("hmrm", "flow.name=farneback")
    with pytest.raises(ConfigError, match=r"M4 has flow gru_attention .* flow.name=farneback"):
        plan_ablation(config)
    plan = plan_ablation(config, [NARROW], full=WHOLE)
    assert {config.flow.name for config in plan.configs.values()} == {"farneback"}
    assert len(plan_ablation(smoke("hmrm", "flow.name=gru_attention")).configs) == 8


def test_every_effect_is_one_change_of_the_default_recipe() -> None:
    recipe = load_config("default")
    plan = plan_effects(recipe)
    assert plan.left_out == {"normalised maps": "the same as recipe"}
    for name, point in plan.points.items():
        config = changed(recipe, point)
        assert (config.digest() == recipe.digest()) == (name == BASE)
        assert (config.data, config.faces, config.flow) == (recipe.data, recipe.faces, recipe.flow)
        assert config.evaluation.seeds == recipe.evaluation.seeds
    page = Path(__file__).parents[2] / "docs" / "studies" / "effects.md"
    assert f"at a time, {len(CHANGES)} of them" in page.read_text(encoding="utf-8")
    changes = ('input.channels=["u","v","strain"]', " training.lr = 1e-3")
    point = plan_effects(quick_config("hmrm"), [Variant("list", "", changes)]).points["list"]
    config = changed(quick_config("hmrm"), point)
    assert (config.input.channels, config.training.lr) == (("u", "v", "strain"), 1e-3)


def test_figures_of_effects(tmp_path: Path) -> None:
    flowset = make_flowset(subjects=8, per_subject=3)
    few = [NARROW, Variant("mean", "of the last epochs", ("evaluation.readout=mean",))]
    plan = plan_effects(quick_config("hmrm", "training.epochs=1", "evaluation.seeds=[0, 1]"), few)
    sweep = Sweep.of(plan.recipe, flowset, tmp_path)
    run_grid(sweep, flowset, [plan.points[BASE], plan.points["narrow"]])
    table = plan.table(sweep).set_index("Change")
    assert list(table.index) == [BASE, "narrow", "mean", ENSEMBLE]
    base, narrow = sweep.trial({}), sweep.trial(plan.points["narrow"])
    assert table.loc["narrow", "Difference"] == pytest.approx(narrow.score - base.score)
    assert table.loc["mean", "Note"] == "not tried yet"
    assert table.loc[[BASE, "mean"], "p"].isna().all()
    assert table.loc[ENSEMBLE, "UF1"] == pooled(ensemble(base.predictions), "uf1")
    assert effects_words(table.reset_index())["Change"].iloc[0] == BASE


def test_the_mean_of_seeds_is_one_answer() -> None:
    answers = [[0.5, 0.3, 0.2], [0.1, 0.8, 0.1], [0.4, 0.4, 0.2]]  # a clip under three seeds
    rows = [
        ("toy", "s01", clip, "toy/s01", seed, 1, 1, int(np.argmax(p[seed])), *p[seed])
        for clip, p in (("a", answers), ("b", [[0.2, 0.2, 0.6]] * 3))
        for seed in range(3)
    ]
    given = Predictions(pd.DataFrame(rows, columns=prediction_columns(MEGC3.classes)))
    mean = ensemble(given).table
    columns = probability_columns(MEGC3.classes)
    np.testing.assert_allclose(mean[columns].to_numpy()[:3], [[1 / 3, 0.5, 0.5 / 3]] * 3)
    assert mean["prediction"].tolist() == [1, 1, 1, 2, 2, 2]
