"""Ablations: what is run, what is left out, and what is refused."""

from pathlib import Path

import pytest
from conftest import quick_config

from hmrm_lab.errors import ConfigError, FailedFoldsError, InputError
from hmrm_lab.registry import systems
from hmrm_lab.studies import study as study_module
from hmrm_lab.studies.ablate import PAPER, WHOLE, finished_runs, plan_ablation
from hmrm_lab.studies.study import Variant

QUICK = ("training.epochs=1", "data.subjects=2", "data.clips=6")


def test_the_papers_variants_differ_from_the_full_model_in_one_thing_each() -> None:
    plan = plan_ablation(quick_config("hmrm"))
    assert list(plan.configs) == ["M4", "M1", "M2", "M3"]
    full = plan.configs["M4"]
    assert (full.flow.name, full.augment.motionmix) == ("gru_attention", 0.5)
    assert full.model.options["fusion"] == "attention"
    changed = {
        name: [
            part for part in type(full).model_fields if getattr(config, part) != getattr(full, part)
        ]
        for name, config in plan.configs.items()
    }
    assert changed == {"M4": [], "M1": ["flow"], "M2": ["augment"], "M3": ["model"]}
    assert plan.left_out == {}


def test_ammsm_is_taken_apart_into_what_a_search_has_found_and_what_it_reads() -> None:
    found = ("model.alpha=8", "model.ratios=[0.3,0.5,0.7,0.9]", "model.super_steps=4")
    plan = plan_ablation(quick_config("ammsm", *found))
    full = plan.full_config.model.options
    assert plan.full == "full"
    changed = {
        name: {k: v for k, v in config.model.options.items() if v != full[k]}
        for name, config in plan.configs.items()
    }
    own = systems["ammsm"].complete({})
    assert changed == {
        "full": {},
        "no magnifier": {"magnifier": "none"},
        "fixed alpha": {"alpha": own["alpha"], "super_steps": 0},
        "no sparsity": {"ratios": [1.0, 1.0, 1.0, 1.0], "super_steps": 0},
        "no search": {"alpha": own["alpha"], "ratios": own["ratios"], "super_steps": 0},
        "no spatial stream": {"spatial": False},
    }


def test_what_was_never_searched_cannot_be_missed() -> None:
    plan = plan_ablation(quick_config("ammsm_temporal"))
    assert list(plan.configs) == ["full", "no magnifier", "no sparsity"]
    same = "in this recipe it is the same as full"
    assert plan.left_out == {"fixed alpha": same, "no search": same}

    for system in ("meganet", "meganet_mesti"):
        plan = plan_ablation(quick_config(system))
        attention = [config.model.options["attention"] for config in plan.configs.values()]
        assert (list(plan.configs), attention) == (["full", "no attention"], ["gradient", "none"])


def test_of_a_system_whose_components_are_not_known_one_names_ones_own() -> None:
    config = quick_config("ststnet")
    with pytest.raises(ConfigError, match="the components of 'ststnet' are not listed"):
        plan_ablation(config)
    slow = Variant("slow", "a tenth of the rate", ("training.lr=1e-4",))
    assert list(plan_ablation(config, [slow]).configs) == ["full", "slow"]
    assert list(plan_ablation(config, []).configs) == ["full"]


def test_ready_made_maps_leave_the_flow_out(real_data: Path) -> None:
    plan = plan_ablation(quick_config("hmrm", "data.name=flowmaps"), root=maps_of(real_data))
    assert list(plan.configs) == ["M4", "M2", "M3"]
    assert "ready-made" in plan.left_out["M1"]
    assert plan.words["M1"], "left out visibly"


def maps_of(real_data: Path) -> Path:
    return real_data / "megc2019-flowmaps"


def test_what_changes_nothing_is_left_out() -> None:
    plan = plan_ablation(quick_config("hmrm", "augment.motionmix=0"))
    assert plan.left_out == {"M2": "in this recipe it is the same as M4"}


def test_a_variant_that_cannot_be_compared_is_refused() -> None:
    for overrides, message in (
        (("model.fusio=none",), "did you mean 'fusion'"),
        (("flow.name=tvl",), "did you mean 'tvl1'"),
        (("data.clips=9",), "changes data.clips"),
        (("evaluation.seeds=[1]",), "changes evaluation.seeds"),
        (("model.name=ststnet",), "changes model.name"),
        (("depth",), "not key=value"),
    ):
        with pytest.raises(ConfigError, match=message):
            plan_ablation(quick_config("hmrm"), [Variant("X", "x", overrides)])
    with pytest.raises(ConfigError, match="two variants are named 'M2'"):
        plan_ablation(quick_config("hmrm"), [PAPER[1], PAPER[1]])


def test_a_flow_that_was_asked_for_is_not_lost() -> None:
    asked = ["flow.name=farneback"]
    config = quick_config("hmrm", *asked)
    with pytest.raises(ConfigError, match=r"M4 has flow gru_attention .* flow.name=farneback"):
        plan_ablation(config, asked=asked)
    thin = Variant("thin", "", ("model.width=8",))
    plan = plan_ablation(config, [thin], full=WHOLE, asked=asked)
    assert {config.flow.name for config in plan.configs.values()} == {"farneback"}
    same = ["flow.name=gru_attention"]
    assert len(plan_ablation(quick_config("hmrm", *same), asked=same).configs) == 4


def test_a_part_that_the_data_lack_is_told_before_anything_is_trained(real_data: Path) -> None:
    with pytest.raises(ConfigError, match="unknown part 'casme2'; known are all, synthetic"):
        plan_ablation(quick_config("hmrm"), part="casme2")
    config, root = quick_config("hmrm", "data.name=flowmaps"), maps_of(real_data)
    with pytest.raises(ConfigError, match="did you mean 'casme2'"):
        plan_ablation(config, root=root, part="casme")
    assert plan_ablation(config, root=root, part="casme2").configs


def test_a_variant_that_fails_stops_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_one, shown = study_module.run_experiment, []

    def failing(config, **options):  # type: ignore[no-untyped-def]
        if config.model.options["depth"] == 2:
            raise ArithmeticError("no depth today")
        return run_one(config, **options)

    monkeypatch.setattr(study_module, "run_experiment", failing)
    variants = [Variant("deep", "", ("model.depth=2",)), Variant("thin", "", ("model.width=8",))]
    plan = plan_ablation(quick_config("hmrm", *QUICK), variants, full=WHOLE)
    result = plan.run(out=tmp_path, watch=lambda stage, *_: shown.append(stage))
    assert list(result.by_name) == ["full", "thin"]
    assert {"hmrm, full: folds", "hmrm, thin: folds"} <= set(shown)
    assert result.table["UF1"].notna().tolist() == [True, False, True]
    with pytest.raises(FailedFoldsError, match=r"deep: .*no depth today"):
        result.refuse_failures()


def test_it_runs_and_takes_up_finished_runs(tmp_path: Path) -> None:
    deeper = Variant("deep", "two blocks", ("model.depth=2",))
    full = Variant("M4", "all components")  # on the quick flow of the smoke preset
    plan = plan_ablation(quick_config("hmrm", *QUICK), [PAPER[2], deeper], full=full)
    assert finished_runs(plan, tmp_path) == {}
    runs = plan.run(out=tmp_path).by_name
    assert list(runs) == ["M4", "M3", "deep"]
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/folds/*.json")}
    assert len(before) == 3 * 2
    again = plan.run(out=tmp_path)
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/folds/*.json")}
    assert {n: r.path for n, r in again.by_name.items()} == {n: r.path for n, r in runs.items()}
    assert list(finished_runs(plan, tmp_path)) == ["M4", "M3", "deep"]
    assert again.table["UF1"].notna().all()
    assert len(again.figure().layout.yaxis.ticktext) == 2
    other = plan.run(out=tmp_path, part="casme")
    with pytest.raises(InputError, match="unknown part 'casme'"):
        other.figure()
