"""The study of inputs: which cells there are, that only the input differs, and the table."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from test_cli import hmrm

from hmrm_lab.errors import ConfigError
from hmrm_lab.preparation import load_flowset
from hmrm_lab.preparation.network_inputs import INPUTS
from hmrm_lab.reporting.study_figures import inputs_figure
from hmrm_lab.reporting.study_page import InputsResult
from hmrm_lab.reporting.study_words import inputs_words, paired_words
from hmrm_lab.studies import study as study_module
from hmrm_lab.studies.experiment import run_experiment
from hmrm_lab.studies.study import NETWORKS, Study, plan_inputs

QUICK = ("training.epochs=1", "data.subjects=2", "data.clips=6")
DIFFERENCES = ["Difference", "Difference low", "Difference high", "p", "p (Holm)"]
TWO = {"systems": ["ststnet"], "inputs": ["apex", "mesti"]}
Made = tuple[Study, InputsResult, Path]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("inputs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HMRM_CACHE", str(folder / "cache"))
        study = plan_inputs("smoke", overrides=QUICK, **TWO)
        return study, study.run(out=folder / "runs"), folder / "runs"


def test_every_input_on_every_network_and_nothing_else_differs() -> None:
    plan = plan_inputs("smoke", overrides=QUICK, seeds=2)
    assert list(plan.configs) == [(system, name) for system in NETWORKS for name in INPUTS]
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


def test_a_system_that_cannot_read_an_input_is_left_out_and_says_why() -> None:
    plan = plan_inputs("smoke", systems=["hmrm", "ammsm", "ststnet"], overrides=QUICK)
    assert ("hmrm", "flow") in plan.configs
    assert "MotionMix exchanges flow" in plan.left_out["hmrm", "mesti"]
    assert plan.left_out["hmrm", "mesti"].endswith("(run it with --set augment.motionmix=0)")
    own = plan.left_out["ammsm", "flow"]
    assert own == "system 'ammsm' reads the channels u, v, onset, not u, v, strain"
    assert {name for system, name in plan.configs if system == "ststnet"} == set(INPUTS)


def test_without_frames_flow_alone_is_left(real_data: Path) -> None:
    maps = real_data / "megc2019-flowmaps"
    plan = plan_inputs("smoke", data="flowmaps", root=maps, systems=["ststnet", "meganet"])
    assert list(plan.configs) == [("ststnet", "flow"), ("meganet", "flow")]
    assert plan.left_out["meganet", "mesti"] == "it takes mesti, and 'flowmaps' has no frames"
    with pytest.raises(ConfigError, match="nothing to compare: it takes mesti"):
        plan_inputs("smoke", data="flowmaps", root=maps, inputs=["mesti"])


def test_what_cannot_be_studied_is_refused() -> None:
    for options, message in (
        ({"inputs": ["mest"]}, "did you mean 'mesti'"),
        ({"systems": ["vgg91"]}, "did you mean 'vgg19'"),
        ({"overrides": ['input.channels=["u"]']}, "is what this study changes"),
        ({"overrides": ["flow.phases=both"]}, "is what this study changes"),
        ({"overrides": ["evaluation.epoch_rule=oracle_test"]}, "peeks at the test subject"),
        ({"overrides": ["model.name=svm"]}, "name them in --systems"),
    ):
        with pytest.raises(ConfigError, match=message):
            plan_inputs("smoke", **options)  # type: ignore[arg-type]


def test_the_table_is_that_of_the_runs(made: Made) -> None:
    study, result, folder = made
    table = result.table.set_index("Input")
    for name, words in (("apex", "apex frame"), ("mesti", "MESTI")):
        metrics = result.runs["ststnet", name].metrics()["all"]
        assert table.loc[words, "UF1"] == metrics["uf1"]
        ends = [table.loc[words, f"UAR {end}"] for end in ("low", "high")]
        assert ends == metrics["uar_interval"]
    gap = table.loc["MESTI", "UF1"] - table.loc["apex frame", "UF1"]
    assert table.loc["apex frame", "Difference"] == pytest.approx(gap, abs=1e-5)
    assert math.isnan(table.loc["MESTI", "p"])
    weights = [result.runs["ststnet", name].data()["parameters"] for name in ("apex", "mesti")]
    assert table["Parameters"].tolist() == weights
    assert result.caption.endswith(
        "epoch rule last; 2 subjects, 1 seed; the same clips and folds for all"
    )
    assert len(paired_words(result.table)) == 1
    files = {path: path.stat().st_mtime_ns for path in folder.glob("*/folds/*.json")}
    assert len(files) == 2 * 2
    shown: list[str] = []
    again = study.run(out=folder, watch=lambda stage, *_: shown.append(stage))
    assert files == {path: path.stat().st_mtime_ns for path in folder.glob("*/folds/*.json")}
    assert again.runs.keys() == result.runs.keys()
    assert {"ststnet, apex frame: folds", "ststnet, MESTI: folds"} <= set(shown)


def test_a_cell_that_fails_stops_no_other(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    study, _, folder = made
    run_one = study_module.run_experiment

    def failing(config, **options):  # type: ignore[no-untyped-def]
        if config.input.channels == ("apex",):
            raise ArithmeticError("no apex today")
        return run_one(config, **options)

    monkeypatch.setattr(study_module, "run_experiment", failing)
    result = study.run(out=folder)
    assert list(result.runs) == [("ststnet", "mesti")]
    table = result.table.set_index("Input")
    assert "no apex today" in table.loc["apex frame", "Note"]
    assert table["Best"].tolist() == [False, True]
    assert "apex frame: FAILED" in result.remarks[0]
    unused = {"training.epochs=1": ["lbp_top"], "model.width=8": ["svm", "mdmo"]}
    assert InputsResult("synthetic", {}, {}, {}, unused=unused).remarks == [
        "training.epochs=1: lbp_top has no use for it",
        "model.width=8: svm, mdmo have no use for it",
    ]


def test_runs_on_other_clips_are_not_paired(made: Made, tmp_path: Path) -> None:
    """As where a frame is damaged that one input looks at, and MESTI does not."""
    study, result, _ = made
    config = study.configs["ststnet", "apex"]
    fewer = load_flowset(config).take(range(5))
    run = run_experiment(config, out=tmp_path, flowset=fewer, final_model=False)
    other = replace(result, runs={**result.runs, ("ststnet", "apex"): run})
    table = other.table.set_index("Input")
    assert table.loc["apex frame", "Note"] == "SMOKE; other clips than MESTI: not paired"
    assert table.loc["apex frame", DIFFERENCES].isna().all()
    assert table.loc["MESTI", "Note"] == result.table["Note"].iloc[1] == "SMOKE"
    assert not len(paired_words(other.table))
    assert other.caption.endswith("; NOT the same clips for all: others are not paired")


SCORED = {"UF1": 0.6, "UF1 low": 0.5, "UF1 high": 0.7, "Best": False, "Parameters": 1683.0}


def test_words_and_figure() -> None:
    rows = [
        {"System": "a", "Input": "flow", **SCORED},
        {"System": "a", "Input": "MESTI", **SCORED, "UF1": 0.65, "Best": True, "Parameters": 4995},
        {"System": "<b>", "Input": "flow", **SCORED},
        {"System": "<b>", "Input": "MESTI", **dict.fromkeys(SCORED, math.nan), "Best": False},
    ]
    table = pd.DataFrame(rows)
    words = inputs_words(table)
    assert words.to_numpy().tolist() == [
        ["a", "0.600 [0.500, 0.700]", "0.650 [0.500, 0.700] *", "1.68k to 5k"],
        ["<b>", "0.600 [0.500, 0.700]", "–", "1.68k"],
    ]
    figure = inputs_figure(table, caption="epoch rule last")
    flow, mesti = figure.data
    assert list(flow.x) == [0.6, 0.6]
    assert list(mesti.x) == [0.65], "a cell without figures has no dot"
    assert mesti.x[0] - mesti.error_x.arrayminus[0] == pytest.approx(0.5)
    assert flow.y[0] < mesti.y[0]
    assert figure.layout.yaxis.ticktext == ("a", "&lt;b&gt;")
    assert not inputs_figure(table[3:]).data


def test_the_command(tmp_path: Path) -> None:
    changes = [part for text in QUICK for part in ("--set", text)]
    options = ("--preset", "smoke", "--systems", "ststnet", "--inputs", "flow,mesti", "--jobs", 1)
    done = hmrm("inputs", *options, *changes, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert [cell["Input"] for cell in record["cells"]] == ["onset-apex flow", "MESTI"]
    assert record["cells"][0]["p (Holm)"] == record["cells"][0]["p"]
    assert sorted(record["files"]) == ["csv", "html", "json"]
    assert all((tmp_path / path).is_file() for path in record["files"].values())
    words = hmrm("inputs", *options, *changes, cwd=tmp_path).stdout
    assert "epoch rule last; 2 subjects, 1 seed" in words
    assert "MESTI minus" in words
    assert len(list((tmp_path / "runs").glob("*/config.toml"))) == 2, "finished runs are taken up"
