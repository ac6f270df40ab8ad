"""`hmrm evolve` as a person meets it, with a small system that can be searched."""

import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from searched_toy import NAME, registered
from test_cli import hmrm

from hmrm_lab.config import read_config

pytest.importorskip("optuna", reason="the extra 'sweep' is not installed")

QUICK = ("--preset", "smoke", "--jobs", 1, "--set", "data.clips=12")
SMALL = ("--system", NAME, *QUICK, "--population", 3, "--generations", 2)


@pytest.fixture(autouse=True)
def toys() -> Iterator[None]:
    with registered():
        yield


def test_evolve_ends_with_a_run(tmp_path: Path) -> None:
    done = hmrm("evolve", *SMALL, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "not a test result" in done.stdout
    assert "the fittest of 6 trials" in done.stdout
    record = json.loads(hmrm("evolve", *SMALL, "--unseal", "--json", cwd=tmp_path).stdout)
    assert record["command"] in done.stdout, "the same winner"
    assert len(record["trials"]) == 6
    assert any(trial["alpha"] % 1 for trial in record["trials"]), "1..16 is more than whole factors"
    best = max(record["trials"], key=lambda trial: (trial["UF1"], -trial["Cross-entropy"]))
    assert record["winner"]["model.alpha"] == best["alpha"]
    assert record["winner"]["model.ratios"] == [best[f"ratio {n}"] for n in (1, 2, 3, 4)]
    assert record["outer_score_seen"] == record["outer"]["seen"] == 1
    against = [path for path in tmp_path.glob("runs/*-*/config.toml") if "sweep" not in str(path)]
    steps = sorted(read_config(path).model.options["super_steps"] for path in against)
    assert steps == [0, record["winner"]["model.super_steps"]], "the recipe itself, and the winner"
    assert "all subjects" in record["outer"]["gains"]
    folder = tmp_path / record["sweep"]
    for name in ("trials.csv", "winner.json", "choices.html", "sweep.json"):
        assert (folder / name).is_file()
    words = shlex.split(record["command"])
    assert words[:2] == ["hmrm", "run"]
    again = hmrm(*words[1:], "--set", "data.clips=12", "--json", "--jobs", 1, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["runs"][0]["run"] == record["outer"]["run"], "that very run"
    assert "--out" not in words


def test_the_run_of_the_winner_goes_where_the_search_is(tmp_path: Path) -> None:
    record = json.loads(hmrm("evolve", *SMALL, "--out", "my runs", "--json", cwd=tmp_path).stdout)
    words = shlex.split(record["command"])
    assert words[words.index("--out") + 1] == "my runs"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--system", "hmrm", *QUICK), "no alpha, ratios, super_steps"),
        ((*SMALL, "--alpha", "1|2"), "alpha '1|2' is not a range; write LOW..HIGH, "),
        ((*SMALL, "--alpha", "1..x"), "alpha: 'x' is not a number; write LOW..HIGH, "),
        ((*SMALL, "--ratio", "1..0.2"), "range of ratio is empty; give low < high"),
        ((*SMALL, "--set", "model.alpah=3"), "did you mean 'alpha'"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    arguments: tuple[object, ...], message: str, tmp_path: Path
) -> None:
    done = hmrm("evolve", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--system", "hmrm"), "no alpha, ratios, super_steps"),
        (("--alpha", "1..99:log"), "ammsm draw from 1 to 16; search within"),
        (("--ratio", "0.5..1:0.6"), "step of ratio does not fit"),
    ],
)
def test_it_is_told_before_flow_is_computed(
    arguments: tuple[str, ...],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "hmrm_lab.api.clips.Clips.maps", lambda *_, **__: pytest.fail("flow was computed")
    )
    done = hmrm("evolve", *QUICK, *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr


def test_without_optuna_it_is_told_before_flow_is_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.setattr(
        "hmrm_lab.api.clips.Clips.maps", lambda *_, **__: pytest.fail("flow was computed")
    )
    done = hmrm("evolve", *SMALL, cwd=tmp_path)
    assert "install the extra" in done.stderr
