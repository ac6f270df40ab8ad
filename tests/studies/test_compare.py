"""Comparisons: what is run, reused, left out and refused; a system that fails stops no other."""

import json
from pathlib import Path

import pytest
import torch
from test_cli import hmrm
from torch import Tensor, nn

from hmrm_lab.config import override
from hmrm_lab.config.sections import FlowConfig
from hmrm_lab.errors import ConfigError, DivergedError, FailedFoldsError
from hmrm_lab.evaluation.summary import flow_of
from hmrm_lab.registry import Card, Entry, systems
from hmrm_lab.reporting.study_table import HONEST, NULL, NULL_WITHIN, ORACLE
from hmrm_lab.studies.study import Study, plan_comparison, plan_inputs, share_protocol

QUICK = ("training.epochs=1", "data.subjects=2", "data.clips=6")
MESTI = 'input.channels=["mesti"]'
TUNED = ("flow.name=gru_attention", "flow.finetune=true")


class Broken(nn.Module):
    """Can be built and counted, and not trained."""

    def __init__(self, channels: int, size: int, classes: int, *, width: int = 2) -> None:
        super().__init__()
        self.line = nn.Linear(channels * size * size, classes)

    def forward(self, maps: Tensor) -> Tensor:
        if maps.device.type != "meta":
            raise DivergedError("the loss is nan in epoch 1")
        return self.line(maps.flatten(1))[:, None]


def unbuildable(channels: int, size: int, classes: int, *, width: int = 2) -> nn.Module:
    raise ValueError("no such layer")


class Uncarded(Broken):
    """Has no card, and says nothing of its recipe."""

    def forward(self, maps: Tensor) -> Tensor:
        return torch.relu(self.line(maps.flatten(1)))[:, None]


@pytest.fixture
def more_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    cards = {
        "broken": (Broken, Card("flow maps", "Nobody, 2026", "sketch")),
        "unbuildable": (unbuildable, Card("flow maps", "Nobody, 2026", "faithful")),
        "watcher": (Uncarded, Card("clip", "Nobody, 2026", "adapted")),
        "uncarded": (Uncarded, None),
    }
    for name, (build, card) in cards.items():
        monkeypatch.setitem(systems._entries, name, Entry("system", name, build, card=card))


def of_kind(study: Study, kind: str) -> dict[str, object]:
    return {name: config for (name, of), config in study.configs.items() if of == kind}


def test_all_systems_share_all_but_their_recipes() -> None:
    study = plan_comparison(
        "smoke", overrides=QUICK, seeds=2, oracle=True, null=True, null_within_subjects=True
    )
    assert list(study.columns) == [HONEST, ORACLE, NULL, NULL_WITHIN]
    honest = of_kind(study, HONEST)
    assert list(honest) == list(systems)
    for part in ("data", "faces", "flow"):
        assert len({getattr(config, part).model_dump_json() for config in honest.values()}) == 1
    assert {config.evaluation.seeds for config in honest.values()} == {(0, 1)}
    assert {config.evaluation.epoch_rule for config in honest.values()} == {"last"}
    assert honest["ststnet"].training.optimizer == "adam", "the recipe is the system's own"
    for name, config in honest.items():
        assert override(config, []).digest() == config.digest(), "settings are complete"
        for kind, change in (
            (ORACLE, {"epoch_rule": "oracle_test"}),
            (NULL, {"control": "shuffled_labels"}),
            (NULL_WITHIN, {"control": "shuffled_within_subjects"}),
        ):
            beside = study.configs.get((name, kind))
            assert (beside is None) == (kind == ORACLE and systems[name].is_estimator)
            assert beside is None or beside.evaluation == config.evaluation.model_copy(
                update=change
            )
    first, same, other = (
        plan_comparison("smoke", systems=["mlp"], overrides=QUICK, seeds=count)
        for count in (1, 1, 2)
    )
    assert first.folder(Path("runs")) == same.folder(Path("runs")) != other.folder(Path("runs"))
    assert first.folder(Path("runs")).name.startswith("compare-synthetic-")


def test_frames_are_needed_only_by_those_that_take_them(
    more_systems: None, real_data: Path
) -> None:
    maps = real_data / "megc2019-flowmaps"
    study = plan_comparison("smoke", data="flowmaps", root=maps)
    assert study.left_out["watcher", HONEST] == "takes clips, and 'flowmaps' has no frames"
    kept = of_kind(study, HONEST)
    assert {*(name for name, _ in study.left_out), *kept} == set(systems)
    assert all(systems[name].takes == "flow maps" for name in kept)
    with pytest.raises(ConfigError, match="nothing to compare: watcher takes clips"):
        plan_comparison("smoke", data="flowmaps", root=maps, systems=["watcher"])
    with_frames = plan_comparison("smoke", systems=["watcher", "hmrm"], overrides=QUICK)
    assert "watcher" in of_kind(with_frames, HONEST)
    assert with_frames.left_out == {}


def test_what_cannot_be_compared_is_refused() -> None:
    for options, message in (
        ({"systems": ["ststnot"]}, "did you mean 'ststnet'"),
        ({"epoch_rule": "oracle_test"}, "peeks at the test subject"),
        ({"epoch_rule": "lats"}, "epoch_rule"),
        ({"overrides": ["evaluation.control=shuffled_labels"]}, "cannot be ranked"),
        ({"overrides": ["training.epoch=1"]}, "did you mean 'training.epochs'"),
        ({"overrides": ["model.name=svm"], "systems": ["mlp"]}, "name them in --systems"),
        ({"overrides": ["model.widht=8"], "systems": ["hmrm"]}, "did you mean 'width'"),
    ):
        with pytest.raises(ConfigError, match=message):
            plan_comparison("smoke", **options)  # type: ignore[arg-type]
    for first in ("svm", "lbp_top", "meganet"):
        for change in ("training.epoch=1", "training.epochs=0", "flow.nmae=dis"):
            with pytest.raises(ConfigError, match=r"did you mean|training\.epochs"):
                share_protocol("default", [first, "resnet18"], [change])


def test_settings_that_some_systems_have_no_use_for(tmp_path: Path) -> None:
    for names, changes, unused in (
        (["hmrm", "ststnet"], ["model.width=8"], {"model.width=8": ["ststnet"]}),
        (
            ["hmrm", "meganet"],  # the picture is right together with its companions alone
            [MESTI, "augment.motionmix=0", "model.attention=none"],
            {"model.attention=none": ["hmrm"]},
        ),
        (
            ["hmrm", "ststnet"],
            ["flow.name=farneback", "flow.window_px=21", "model.width=8"],
            {"model.width=8": ["ststnet"]},
        ),
    ):
        protocol = share_protocol("smoke", names, changes)
        assert protocol.unused == unused
        assert list(protocol.configs) == names
        assert len({config.flow.model_dump_json() for config in protocol.configs.values()}) == 1
    protocol = share_protocol("default", ["resnet18", "meganet"], [MESTI])
    assert {config.input.channels for config in protocol.configs.values()} == {("mesti",)}
    assert protocol.shared.input.channels != ("mesti",), "hmrm is not asked: it takes no part"
    preset = tmp_path / "pictures.toml"
    preset.write_text('[input]\nchannels = ["mesti"]\n', encoding="utf-8")
    protocol = share_protocol(str(preset), ["resnet18", "hmrm"])
    assert list(protocol.configs) == ["resnet18"]
    assert protocol.left_out["hmrm"].endswith("(run it with --set augment.motionmix=0)")


def test_a_recipe_that_the_shared_flow_breaks_is_left_out() -> None:
    why = (
        "a flow is not fine-tuned beside the picture mesti (run it with --set flow.finetune=false)"
    )
    names = ["meganet", "meganet_mesti"]
    study = plan_comparison("smoke", systems=names, overrides=TUNED)
    assert study.configs["meganet", HONEST].flow.finetune
    assert study.left_out == {("meganet_mesti", HONEST): f"refuses these settings: {why}"}
    cells = plan_inputs("smoke", systems=names, inputs=["flow"], overrides=TUNED)
    assert list(cells.configs) == [("meganet", "flow")]
    assert cells.left_out == {("meganet_mesti", "flow"): why}
    with pytest.raises(ConfigError, match="nothing to compare: meganet_mesti refuses"):
        plan_comparison("smoke", systems=["meganet_mesti"], overrides=TUNED)
    protocol = share_protocol("smoke", ["svm", "meganet"], TUNED)
    assert protocol.unused == {"flow.finetune=true": ["svm"]}
    flows = {name: flow_of(config, {"unit": "px"}) for name, config in protocol.configs.items()}
    assert flows == {"svm": "gru_attention", "meganet": "gru_attention, fine-tuned"}
    tuned = {"flow": FlowConfig(name="gru_attention", finetune=True)}
    svm = protocol.configs["svm"].model_copy(update=tuned)
    assert flow_of(svm, {"unit": "px"}) == "gru_attention", "an estimator leaves its flow alone"


def test_a_failing_system_stops_no_other_and_is_shown(more_systems: None, tmp_path: Path) -> None:
    names = ["broken", "unbuildable", "uncarded", "ststnet"]
    study = plan_comparison("smoke", systems=names, overrides=QUICK)
    result = study.run(out=tmp_path)
    assert set(result.in_column(HONEST)) == {"uncarded", "ststnet"}
    assert "no such layer" in result.problems["unbuildable", HONEST]
    assert "the loss is nan" in result.problems["broken", HONEST]
    table = result.table.set_index("System")
    assert sorted(table.index) == sorted(names)
    assert table.loc["uncarded", "Fidelity"] == "not stated"
    assert "no such layer" in table.loc["unbuildable", "Note"]
    assert table["Rank"].notna().sum() == 2
    with pytest.raises(FailedFoldsError, match=r"unbuildable, honest: .*no such layer"):
        result.refuse_failures()


def test_finished_runs_are_taken_up(tmp_path: Path) -> None:
    study = plan_comparison("smoke", systems=["ststnet"], overrides=QUICK, oracle=True, null=True)
    result = study.run(out=tmp_path)
    files = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/folds/*.json")}
    assert len(files) == 3 * 2
    again = study.run(out=tmp_path)
    assert files == {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/folds/*.json")}
    assert {cell: run.path for cell, run in again.runs.items()} == {
        cell: run.path for cell, run in result.runs.items()
    }
    row = result.table.iloc[0]
    assert row["Peeking adds"] == pytest.approx(row["Oracle UF1"] - row["UF1"])
    assert row["Answer ms"] > 0
    assert row["Training s per fold"] > 0
    assert row["Parameters"] == 1683


def test_the_command(more_systems: None, tmp_path: Path) -> None:
    changes = [part for text in QUICK for part in ("--set", text)]
    command = ["compare", "--preset", "smoke", "--systems", "hmrm,ststnet", "--jobs", 1, *changes]
    done = hmrm(*command, "--out", "here", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert {row["System"] for row in record["systems"]} == {"hmrm", "ststnet"}
    assert sorted(path.name for path in (tmp_path / "here").iterdir()) == [
        f"comparison.{suffix}" for suffix in ("csv", "html", "json", "tex")
    ]
    words = hmrm(*command, cwd=tmp_path)
    assert "epoch rule last" in words.stdout
    assert list((tmp_path / "runs").glob("compare-synthetic-*/comparison.html"))
    assert len(list((tmp_path / "runs").glob("*/config.toml"))) == 2, "finished runs are taken up"
    failed = hmrm(*command, "--systems", "ststnet,unbuildable", "--out", "failed", cwd=tmp_path)
    assert failed.returncode == 1
    assert "no such layer" in failed.stderr
    assert "Traceback" not in failed.stderr
    page = (tmp_path / "failed" / "comparison.html").read_text(encoding="utf-8")
    assert "unbuildable (honest) failed" in page
    wrong = hmrm("compare", "--systems", "hmrn", cwd=tmp_path)
    assert (wrong.returncode, "did you mean 'hmrm'" in wrong.stderr) == (2, True)
