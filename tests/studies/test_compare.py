"""Comparisons: what is run, reused, left out and refused; a system that fails stops no other."""

import json
from pathlib import Path

import pytest
import torch
from test_cli import hmrm
from torch import Tensor, nn

from hmrm_lab.errors import ConfigError, DivergedError
from hmrm_lab.registry import Card, Entry, systems
from hmrm_lab.reporting.comparison import HONEST, NULL, NULL_WITHIN, ORACLE, comparison_table
from hmrm_lab.studies.compare import (
    plan_comparison,
    run_comparison,
)

QUICK = ("training.epochs=1", "data.subjects=2", "data.clips=6")


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


def test_all_systems_share_all_but_their_recipes() -> None:
    plan = plan_comparison(
        "smoke", overrides=QUICK, seeds=2, oracle=True, null=True, null_within_subjects=True
    )
    assert list(plan.configs) == [HONEST, ORACLE, NULL, NULL_WITHIN]
    honest = plan.configs[HONEST]
    assert list(honest) == list(systems)
    for part in ("data", "faces", "flow"):
        assert len({getattr(config, part).model_dump_json() for config in honest.values()}) == 1
    assert {config.evaluation.seeds for config in honest.values()} == {(0, 1)}
    assert {config.evaluation.epoch_rule for config in honest.values()} == {"last"}
    assert honest["ststnet"].training.optimizer == "adam", "the recipe is the system's own"
    for name, config in honest.items():
        oracle, null = (plan.configs[kind].get(name) for kind in (ORACLE, NULL))
        assert (oracle is None) == systems[name].is_estimator, "it would be the same training again"
        if oracle:
            peeks = config.evaluation.model_copy(update={"epoch_rule": "oracle_test"})
            assert oracle.evaluation == peeks
        assert null
        assert null.evaluation == config.evaluation.model_copy(
            update={"control": "shuffled_labels"}
        )
        within = plan.configs[NULL_WITHIN][name].evaluation
        assert within == null.evaluation.model_copy(update={"control": "shuffled_within_subjects"})


def test_the_name_of_the_folder_follows_the_settings() -> None:
    first, same, other = (
        plan_comparison("smoke", overrides=QUICK, seeds=count) for count in (1, 1, 2)
    )
    assert first.folder(Path("runs")) == same.folder(Path("runs")) != other.folder(Path("runs"))
    assert first.folder(Path("runs")).name.startswith("compare-synthetic-")


def test_frames_are_needed_only_by_those_that_take_them(
    more_systems: None, real_data: Path
) -> None:
    maps = real_data / "megc2019-flowmaps"
    plan = plan_comparison("smoke", data="flowmaps", root=maps)
    assert plan.left_out["watcher"] == "takes clips, and 'flowmaps' has no frames"
    assert {*plan.left_out, *plan.configs[HONEST]} == set(systems)
    assert all(systems[name].takes == "flow maps" for name in plan.configs[HONEST])
    with pytest.raises(ConfigError, match="nothing to compare: watcher takes clips"):
        plan_comparison("smoke", data="flowmaps", root=maps, systems=["watcher"])
    with_frames = plan_comparison("smoke", systems=["watcher", "hmrm"], overrides=QUICK)
    assert "watcher" in with_frames.configs[HONEST]
    assert with_frames.left_out == {}


def test_a_setting_that_some_have_no_use_for_is_told() -> None:
    changes = ["model.width=8", *QUICK]
    plan = plan_comparison("smoke", systems=["hmrm", "ststnet"], overrides=changes)
    assert plan.unused == {"model.width=8": ["ststnet"]}
    assert plan.configs[HONEST]["hmrm"].model.options["width"] == 8
    assert {config.training.epochs for config in plan.configs[HONEST].values()} == {1}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"systems": ["ststnot"]}, "did you mean 'ststnet'"),
        ({"epoch_rule": "oracle_test"}, "peeks at the test subject"),
        ({"epoch_rule": "lats"}, "epoch_rule"),
        ({"overrides": ["evaluation.control=shuffled_labels"]}, "cannot be ranked"),
        ({"overrides": ["training.epoch=1"]}, "did you mean 'training.epochs'"),
        ({"overrides": ["model.name=svm"], "systems": ["mlp"]}, "name them in --systems"),
        ({"overrides": ["model.widht=8"], "systems": ["hmrm"]}, "did you mean 'width'"),
    ],
)
def test_what_cannot_be_compared_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plan_comparison("smoke", **options)  # type: ignore[arg-type]


def test_a_failing_system_stops_no_other_and_is_shown(more_systems: None, tmp_path: Path) -> None:
    names = ["broken", "unbuildable", "uncarded", "ststnet"]
    plan = plan_comparison("smoke", systems=names, overrides=QUICK)
    outcome = run_comparison(plan, runs=tmp_path)
    assert set(outcome.complete(HONEST)) == {"uncarded", "ststnet"}
    assert "no such layer" in outcome.problems["unbuildable, honest"]
    assert "the loss is nan" in outcome.problems["broken, honest"]
    table = comparison_table(outcome).set_index("System")
    assert sorted(table.index) == sorted(names)
    assert table.loc["uncarded", "Fidelity"] == "not stated"
    assert "no such layer" in table.loc["unbuildable", "Note"]
    assert table["Rank"].notna().sum() == 2


def test_finished_runs_are_taken_up(tmp_path: Path) -> None:
    plan = plan_comparison("smoke", systems=["ststnet"], overrides=QUICK, oracle=True, null=True)
    outcome = run_comparison(plan, runs=tmp_path)
    files = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/folds/*.json")}
    assert len(files) == 3 * 2
    again = run_comparison(plan, runs=tmp_path)
    assert files == {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/folds/*.json")}
    assert {k: {n: run.path for n, run in runs.items()} for k, runs in again.runs.items()} == {
        k: {n: run.path for n, run in runs.items()} for k, runs in outcome.runs.items()
    }
    row = comparison_table(outcome).iloc[0]
    assert row["Peeking adds"] == pytest.approx(row["Oracle UF1"] - row["UF1"])
    assert row["Answer ms"] > 0
    assert row["Training s per fold"] > 0
    assert row["Parameters"] == 1683


def arguments(*more: object) -> list[object]:
    changes = [part for text in QUICK for part in ("--set", text)]
    return [
        "compare",
        "--preset",
        "smoke",
        "--systems",
        "hmrm,ststnet",
        "--jobs",
        1,
        *changes,
        *more,
    ]


def test_the_command(tmp_path: Path) -> None:
    done = hmrm(*arguments("--out", "here", "--json"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert {row["System"] for row in record["systems"]} == {"hmrm", "ststnet"}
    assert sorted(path.name for path in (tmp_path / "here").iterdir()) == [
        f"comparison.{suffix}" for suffix in ("csv", "html", "json", "tex")
    ]
    words = hmrm(*arguments(), cwd=tmp_path)
    assert "epoch rule last" in words.stdout
    assert list((tmp_path / "runs").glob("compare-synthetic-*/comparison.html"))
    assert len(list((tmp_path / "runs").glob("*/config.toml"))) == 2, "finished runs are taken up"


def test_the_command_fails_with_what_failed(more_systems: None, tmp_path: Path) -> None:
    done = hmrm(*arguments("--systems", "ststnet,unbuildable"), cwd=tmp_path)
    assert done.returncode == 1
    assert "no such layer" in done.stderr
    assert "Traceback" not in done.stderr
    page = next((tmp_path / "runs").glob("compare-*/comparison.html")).read_text(encoding="utf-8")
    assert "unbuildable (honest) failed" in page
    wrong = hmrm("compare", "--systems", "hmrn", cwd=tmp_path)
    assert wrong.returncode == 2
    assert "did you mean 'hmrm'" in wrong.stderr
