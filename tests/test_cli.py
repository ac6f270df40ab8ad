"""The command line as a person meets it: words, files and exit status."""

import contextlib
import io
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from datasets.test_flowmaps import FIRST, THREE, write_tree
from datasets.test_images import UNFIT, write_unfit
from typer.main import get_command

from hmrm_lab import cli
from hmrm_lab.cli.shared import OPTIONS
from hmrm_lab.registry import datasets

COMMANDS: Any = get_command(cli.app)
SMOKE = ["--preset", "smoke", "--jobs", "1"]
REFUSED = tomllib.loads(Path(__file__).with_name("refused_commands.toml").read_text("utf-8"))


@dataclass
class Done:
    returncode: int
    stdout: str
    stderr: str


def hmrm(*arguments: object, cwd: Path) -> Done:
    """The entry point in this process, as a shell would see it."""
    out, err, status = io.StringIO(), io.StringIO(), 0
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        patch.setattr(sys, "argv", ["hmrm", *map(str, arguments)])
        patch.chdir(cwd)
        try:
            cli.main()
        except SystemExit as stop:
            status = int(stop.code or 0)
    return Done(status, out.getvalue(), err.getvalue())


def printed(*arguments: object, cwd: Path) -> str:
    """What a command that succeeds prints."""
    done = hmrm(*arguments, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


def files_under(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture(scope="module")
def flowmaps_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four subjects with six clips each, in the published layout."""
    rows = [("toy", f"s{who}", f"c{clip}", clip % 3) for who in range(4) for clip in range(6)]
    return write_tree(tmp_path_factory.mktemp("flowmaps"), rows)


def test_run_ends_with_table_and_report_and_goes_on(tmp_path: Path, flowmaps_tree: Path) -> None:
    command = ["run", *SMOKE, "--data", "flowmaps", "--root", flowmaps_tree]
    command += ["--system", "hmrm", "--system", "ststnet", "--out", tmp_path / "runs"]
    first = printed(*command, cwd=tmp_path)
    page = Path(first.split("report  ")[-1].strip())
    assert page.is_file()
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "runs").rglob("folds/*.json")}
    assert len(before) == 8
    result = json.loads(printed(*command, "--json", cwd=tmp_path))
    after = {p: p.stat().st_mtime_ns for p in (tmp_path / "runs").rglob("folds/*.json")}
    assert after == before
    assert [run["metrics"]["system"] for run in result["runs"]] == ["hmrm", "ststnet"]
    assert all(run["metrics"]["complete"] for run in result["runs"])
    ours, theirs = (run["metrics"]["all"]["uf1"] for run in result["runs"])
    (pair,) = result["paired"]
    assert pair["difference"] == pytest.approx(ours - theirs, abs=1e-5)
    assert pair["low"] <= pair["difference"] <= pair["high"]
    assert "hmrm - ststnet: UF1" in first


def test_peeking_is_stamped_and_a_report_is_made_again(tmp_path: Path, flowmaps_tree: Path) -> None:
    arguments = ["--data", "flowmaps", "--root", flowmaps_tree, "--system", "ststnet"]
    peek = ("--epoch-rule", "oracle_test", "--out", tmp_path)
    assert "PEEK" in printed("run", *SMOKE, *arguments, *peek, cwd=tmp_path)
    folder = next(tmp_path.glob("ststnet-*"))
    metrics = (folder / "metrics.json").read_bytes()
    assert json.loads(metrics)["peeking"] is True
    assert "PEEK" in (folder / "report.html").read_text().upper()
    for name in ("metrics.json", "report.html"):
        (folder / name).unlink()
    printed("report", folder, cwd=tmp_path)
    assert (folder / "metrics.json").read_bytes() == metrics
    assert (folder / "report.html").is_file()


def refused(folder: Path, *arguments: object) -> str:
    """The one sentence of a command that is refused and writes nothing."""
    before = files_under(folder)
    done = hmrm(*arguments, cwd=folder)
    assert (done.returncode, done.stdout) == (2, ""), (arguments, done.stderr)
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert files_under(folder) == before, arguments
    return done.stderr


def test_bad_arguments_are_one_sentence_and_write_nothing(tmp_path: Path) -> None:
    for arguments, words in REFUSED["run"].items():
        sentence = refused(tmp_path, "run", *SMOKE, "--out", "runs", *shlex.split(arguments))
        assert words in sentence, (words, sentence)


def test_places_that_cannot_be_written_are_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cv2.imwrite(str(tmp_path / "ok.png"), np.zeros((32, 32, 3), np.uint8))
    (tmp_path / "file").write_text("in the way")
    for place in ("file/new", "/proc/new"):
        for command in REFUSED["unwritable"]["commands"]:
            sentence = refused(tmp_path, *command.replace("BAD", place).split())
            assert "no file can be written here" in sentence, (command, sentence)
    monkeypatch.setenv("HMRM_CACHE", "/proc/new")
    sentence = refused(tmp_path, "run", *SMOKE, "--out", "runs")
    assert "set HMRM_CACHE to a folder that can be written" in sentence
    assert files_under(tmp_path) == ["file", "ok.png"]


UNKEPT = """
import os
import numba.core.caching as caching
for locator in caching.CacheImpl._locator_classes[1:]:
    locator.from_function = classmethod(lambda *_: None)
from hmrm_lab.models.scan import vector_math
folder = os.environ["NUMBA_CACHE_DIR"]
assert os.path.isdir(folder)
print(folder, vector_math.complement(vector_math.f32(0)))
"""


def test_machine_code_has_a_place_where_none_can_be_written(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", UNKEPT], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "set NUMBA_CACHE_DIR to a folder that can" in done.stderr
    folder, value = done.stdout.split()
    assert float(value) == 0
    assert not Path(folder).exists()


def test_notebooks_name_the_extra_where_it_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hmrm_lab.studies.notebooks.notebook.find_spec", lambda name: None)
    for command in ("list", "run 01"):
        sentence = refused(tmp_path, "notebooks", *command.split())
        assert "pip install 'hmrm-lab[jupyter]'" in sentence


def test_data_that_cannot_be_used_are_one_sentence(tmp_path: Path, flowmaps_tree: Path) -> None:
    run = ("run", *SMOKE, "--out", "runs", "--data", "flowmaps", "--root")
    damaged = write_tree(tmp_path / "damaged")
    os.truncate(damaged / FIRST, 2000)
    assert "sub01_EP01 .png: cut off or not a PNG image" in refused(tmp_path, *run, damaged)
    alone = write_tree(tmp_path / "one", THREE[:2])
    assert "at least two subjects" in refused(tmp_path, *run, alone)
    tuned = ("--set", "flow.name=gru_attention", "--set", "flow.finetune=true")
    words = "data set 'flowmaps' has no frames to fine-tune a flow on"
    assert words in refused(tmp_path, *run, flowmaps_tree, *tuned)


def test_flow_writes_what_was_asked_for(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    image = cv2.GaussianBlur(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8), (0, 0), 1.5)
    cv2.imwrite(str(tmp_path / "onset.png"), image)
    cv2.imwrite(str(tmp_path / "apex.png"), np.roll(image, 1, axis=1))
    asked = ("--method", "dis", "--out", "flow.flo", "--picture", "flow.png", "--json")
    told = json.loads(printed("flow", "onset.png", "apex.png", *asked, cwd=tmp_path))
    assert told["mean_px"] == pytest.approx(1.0, abs=0.2)
    assert (tmp_path / "flow.flo").stat().st_size == 12 + 8 * 64 * 64
    assert cv2.imread(str(tmp_path / "flow.png")).shape == (64, 64, 3)


def test_what_other_commands_cannot_do_is_one_sentence(tmp_path: Path) -> None:
    for name, shape in (("ok", (32, 32, 3)), ("small", (24, 32, 3)), ("tiny", (8, 8, 3))):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.zeros(shape, np.uint8))
    for command, words in REFUSED["others"].items():
        assert words in refused(tmp_path, *command.split()), command
    for name in UNFIT:
        words = write_unfit(tmp_path, name)
        outputs = ("--out", "a.flo", "--picture", "a.png")
        sentence = refused(tmp_path, "flow", "ok.png", name, *outputs)
        assert f"{name}: " in sentence
        assert words in sentence


def test_a_cut_off_frame_is_all_that_the_shell_hears_of(tmp_path: Path) -> None:
    """The libraries below us have ways of their own to complain."""
    for name in ("cut60.png", "huge.png"):
        words = write_unfit(tmp_path, name)
        command = [str(Path(sys.executable).with_name("hmrm")), "flow", name, name]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert done.stderr.startswith(f"hmrm: {name}: ")
        assert words in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_flow_eval_measures(tmp_path: Path) -> None:
    few = ("--pairs", "1", "--set-of-pairs", "faces", "--method", "dis", "--method", "farneback")
    cells = json.loads(printed("flow-eval", *few, "--json", cwd=tmp_path))["cells"]
    assert len(cells) == 6 * 4  # motions and noises
    assert all(cell["dis"] < cell["zero"] for cell in cells if cell["noise"] == 0)


def test_score(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text("a s1\nc1 0 0\nc2 1 1\nb s1\nc1 2 2\nc2 0 1\n")
    words = printed("score", "log.txt", cwd=tmp_path)
    assert "UF1" in words
    scores = json.loads(printed("score", "log.txt", "--json", cwd=tmp_path))
    assert scores["all"]["uf1"] == pytest.approx((2 / 3 + 2 / 3 + 1) / 3, abs=1e-6)
    assert set(scores["datasets"]) == {"a", "b"}
    assert all(f"read as  {line}\n" in words for line in scores["read_as"])
    assert "labels: 0 negative, 1 positive, 2 surprise" in scores["read_as"]


def test_doctor(tmp_path: Path) -> None:
    checks = json.loads(printed("doctor", "--json", cwd=tmp_path))["checks"]
    states = {check["name"]: check["state"] for check in checks}
    assert states["torch"] == states["python"] == states["cache"] == "ok"
    assert "torch" in printed("doctor", cwd=tmp_path)
    if states["cuda"] == "missing":
        done = hmrm("doctor", "--gpu", cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert "finds no CUDA device; `nvidia-smi` should list a card" in done.stderr


def test_help_names_every_command_once_and_cuts_no_line(tmp_path: Path) -> None:
    text = hmrm("--help", cwd=tmp_path).stdout
    commands = re.findall(r"^  ([a-z][a-z-]+)  .*\.$", text, re.MULTILINE)
    assert sorted(commands) == sorted(COMMANDS.commands)
    assert "..." not in text.partition("Options:")[2]
    assert hmrm("--version", cwd=tmp_path).stdout.startswith("hmrm-lab ")
    assert hmrm("run", "--no-such-option", cwd=tmp_path).returncode == 2


@pytest.mark.parametrize("name", OPTIONS["examples"])
def test_two_examples_of_every_command_are_understood(name: str) -> None:
    examples = OPTIONS["examples"][name]
    assert len(examples) == 2
    for example in examples:
        assert example.startswith(f"hmrm {name}")
        assert len(example) <= 76
        command: Any = COMMANDS
        for word in name.split():
            command = command.commands[word]
        command.make_context(name, shlex.split(example.removeprefix(f"hmrm {name}")))


def test_help_offers_every_data_set() -> None:
    offered = re.findall(r"\w+", OPTIONS["all"]["data"] + OPTIONS["predict"]["data"])
    assert set(datasets) <= set(offered)


def test_settings_and_systems_fit_a_terminal(tmp_path: Path) -> None:
    shown = hmrm("settings", "training", cwd=tmp_path).stdout
    assert "training.epochs = 24\n    a whole number, at least 1; passes over" in shown
    card = hmrm("systems", "ststnet", cwd=tmp_path).stdout
    assert "training.lr = 5e-05" in card
    shown += card + hmrm("systems", cwd=tmp_path).stdout
    *books, how = hmrm("notebooks", "list", cwd=tmp_path).stdout.splitlines()
    assert not [line for line in [*books, *shown.splitlines()] if len(line) > 80]
    assert "jupyter lab" in how and "affine_transformer  flow maps" in shown
    (card,) = json.loads(hmrm("systems", "svm", "--json", cwd=tmp_path).stdout)["systems"]
    assert (card["fidelity"], card["parameters"]) == ("faithful", None)


def test_a_full_disk_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", "runs/x")

    monkeypatch.setattr("hmrm_lab.config.load_config", full)
    done = hmrm("run", *SMOKE, cwd=tmp_path)
    assert done.returncode == 1
    assert "the disk is full" in done.stderr
    assert "what was finished is safe; the same command goes on" in done.stderr
