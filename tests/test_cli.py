"""The command line as a person meets it: words, files and exit status."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from datasets.test_flowmaps import truncate, write_tree
from datasets.test_images import SOUND, UNFIT, write_unfit

from hmrm_lab import cli

SMOKE = ["--preset", "smoke", "--jobs", "1"]


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


def files_under(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture(scope="module")
def flowmaps_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four subjects with six clips each, in the published layout."""
    root = tmp_path_factory.mktemp("flowmaps")
    (root / "maps").mkdir()
    rng = np.random.default_rng(0)
    rows = ["dataset,sub,filename_o,label"]
    for subject in range(4):
        for clip in range(6):
            image = rng.integers(0, 256, (28, 28, 3), dtype=np.uint8)
            cv2.imwrite(str(root / "maps" / f"s{subject}_c{clip} .png"), image)
            rows.append(f"toy,s{subject},c{clip},{clip % 3}")
    (root / "labels.csv").write_text("\n".join(rows) + "\n")
    return root


def test_run_ends_with_table_and_report_and_goes_on(tmp_path: Path, flowmaps_tree: Path) -> None:
    command = ["run", *SMOKE, "--data", "flowmaps", "--root", flowmaps_tree]
    command += ["--system", "hmrm", "--system", "ststnet", "--out", tmp_path / "runs"]
    first = hmrm(*command, cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert "hmrm" in first.stdout
    assert "ststnet" in first.stdout
    page = Path(first.stdout.split("report  ")[-1].strip())
    assert page.is_file()
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "runs").rglob("folds/*.json")}
    assert len(before) == 8
    again = hmrm(*command, "--json", cwd=tmp_path)
    after = {p: p.stat().st_mtime_ns for p in (tmp_path / "runs").rglob("folds/*.json")}
    assert after == before
    result = json.loads(again.stdout)
    assert [run["metrics"]["system"] for run in result["runs"]] == ["hmrm", "ststnet"]
    assert all(run["metrics"]["complete"] for run in result["runs"])
    ours, theirs = (run["metrics"]["all"]["uf1"] for run in result["runs"])
    (pair,) = result["paired"]
    assert pair["difference"] == pytest.approx(ours - theirs, abs=1e-5)
    assert pair["low"] <= pair["difference"] <= pair["high"]
    assert "hmrm - ststnet: UF1" in first.stdout


@pytest.mark.full
@pytest.mark.parametrize("units_before", [1, 3])
def test_killed_and_started_again_it_ends_with_the_same_bytes(
    units_before: int, tmp_path: Path, flowmaps_tree: Path
) -> None:
    """SIGKILL while folds are being trained, by two processes, in the middle of a unit."""
    arguments = ["run", "--preset", "smoke", "--data", "flowmaps", "--root", str(flowmaps_tree)]
    arguments += ["--set", "training.epochs=20", "--set", "evaluation.seeds=[0,1]", "--out"]
    whole = hmrm(*arguments, tmp_path / "whole", "--jobs", 2, cwd=tmp_path)
    assert whole.returncode == 0, whole.stderr
    command = [str(Path(sys.executable).with_name("hmrm")), *arguments, "cut", "--jobs", "2"]
    victim = subprocess.Popen(
        command, cwd=tmp_path, stderr=subprocess.DEVNULL, start_new_session=True
    )
    while len(list(tmp_path.glob("cut/*/folds/*.json"))) < units_before:
        assert victim.poll() is None, "it ended before it could be killed"
        time.sleep(0.005)
    os.killpg(victim.pid, signal.SIGKILL)
    victim.wait()
    assert len(list(tmp_path.glob("cut/*/folds/*.json"))) < 8
    assert not list(tmp_path.glob("cut/*/metrics.json"))
    again = hmrm(*arguments, tmp_path / "cut", "--jobs", 1, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    for name in ("metrics.json", "predictions.csv", "history.csv"):
        first, second = (next(tmp_path.glob(f"{run}/*/{name}")) for run in ("whole", "cut"))
        assert first.read_bytes() == second.read_bytes()


def test_run_with_a_flow_that_is_fine_tuned(tmp_path: Path) -> None:
    done = hmrm(
        *("run", *SMOKE, "--data", "synthetic", "--system", "hmrm", "--out", "runs", "--json"),
        *("--set", "flow.name=gru_attention", "--set", "flow.finetune=true"),
        *("--set", "flow.finetune_side_px=56"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    (run,) = json.loads(done.stdout)["runs"]
    assert run["metrics"]["flow"] == "gru_attention, fine-tuned"
    assert run["metrics"]["complete"]
    assert len(list((tmp_path / "runs").glob("hmrm-*/folds/*.json"))) == 4


def test_peeking_is_stamped_everywhere(tmp_path: Path, flowmaps_tree: Path) -> None:
    done = hmrm(
        *("run", *SMOKE, "--data", "flowmaps", "--root", flowmaps_tree, "--system", "ststnet"),
        *("--epoch-rule", "oracle_test", "--out", tmp_path),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "PEEK" in done.stdout
    folder = next(tmp_path.glob("ststnet-*"))
    assert json.loads((folder / "metrics.json").read_text())["peeking"] is True
    assert "PEEK" in (folder / "report.html").read_text().upper()


def test_report_is_made_again(tmp_path: Path, flowmaps_tree: Path) -> None:
    arguments = ["--data", "flowmaps", "--root", flowmaps_tree, "--system", "ststnet"]
    hmrm("run", *SMOKE, *arguments, "--out", tmp_path, cwd=tmp_path)
    folder = next(tmp_path.glob("ststnet-*"))
    metrics = (folder / "metrics.json").read_bytes()
    for name in ("metrics.json", "report.html"):
        (folder / name).unlink()
    done = hmrm("report", folder, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (folder / "metrics.json").read_bytes() == metrics
    assert (folder / "report.html").is_file()


BAD = {
    "missing folder": (["--data", "flowmaps", "--root", "absent"], ["absent", "no such folder"]),
    "no root": (["--data", "flowmaps"], ["--root"]),
    "root for the embedded set": (["--data", "synthetic", "--root", "."], ["takes no --root"]),
    "unknown system": (["--system", "hmrn"], ["unknown system 'hmrn'", "did you mean 'hmrm'"]),
    "unknown data": (["--data", "flowmap"], ["did you mean 'flowmaps'"]),
    "mistyped override": (["--set", "training.epoch=3"], ["did you mean 'training.epochs'"]),
    "no override": (["--set", "training.epochs"], ["not key=value"]),
    "unknown preset": (["--preset", "smok"], ["did you mean 'smoke'"]),
    "a flow that cannot learn": (
        ["--data", "synthetic", "--set", "flow.finetune=true"],
        ["'dis' has nothing that could be fine-tuned", "flow.name=gru_attention"],
    ),
    "unknown rule": (["--epoch-rule", "best"], ["epoch_rule"]),
    "unknown device": (["--devices", "tpu"], ["no device 'tpu'"]),
    "unknown executor": (["--executor", "dusk"], ["did you mean 'dask'"]),
    "a scheduler of nothing": (["--scheduler", "tcp://a:1"], ["add --executor dask"]),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments_are_one_sentence_and_write_nothing(case: str, tmp_path: Path) -> None:
    arguments, words = BAD[case]
    done = hmrm("run", *SMOKE, "--out", "runs", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    for word in words:
        assert word in done.stderr
    assert files_under(tmp_path) == []


UNWRITABLE = (
    *(
        "run --preset smoke --out BAD",
        "demo --out BAD",
        "flow ok.png ok.png --method dis --out BAD.flo",
    ),
    *("compare --preset smoke --runs BAD", "compare --preset smoke --out BAD"),
    *("inputs --preset smoke --runs BAD", "sweep --preset smoke --out BAD", "flow-train BAD"),
    *("sweep --preset smoke --sampler tpe --out BAD", "evolve --preset smoke --out BAD"),
    *("ablate --preset smoke --out BAD", "effects --preset smoke --out BAD"),
    *("data check casme2 --root . --html BAD.html", "prepare casme2 --root . --sheet BAD.html"),
    *("predict ok.png --picture BAD.png", "flow ok.png ok.png --method dis --picture BAD.png"),
    *("notebooks run 01 --out BAD",),
)


def test_places_that_cannot_be_written_are_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cv2.imwrite(str(tmp_path / "ok.png"), np.zeros((32, 32, 3), np.uint8))
    (tmp_path / "file").write_text("in the way")
    for place in ("file/new", "/proc/new"):
        for command in UNWRITABLE:
            done = hmrm(*command.replace("BAD", place).split(), cwd=tmp_path)
            assert (done.returncode, done.stdout) == (2, ""), command
            assert len(done.stderr.strip().splitlines()) == 1, done.stderr
            assert "no file can be written here" in done.stderr, (command, done.stderr)
    monkeypatch.setenv("HMRM_CACHE", "/proc/new")
    done = hmrm("run", *SMOKE, "--out", "runs", cwd=tmp_path)
    assert done.returncode == 2
    assert "set HMRM_CACHE to a folder that can be written" in done.stderr
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
    monkeypatch.setattr("hmrm_lab.studies.notebooks.finding.find_spec", lambda name: None)
    for command in ("list", "run 01"):
        done = hmrm("notebooks", *command.split(), cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert "pip install 'hmrm-lab[jupyter]'" in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1


def test_bad_data_is_one_sentence_and_writes_nothing(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "data")
    truncate(root)
    before = files_under(tmp_path)
    done = hmrm("run", *SMOKE, "--data", "flowmaps", "--root", root, "--out", "runs", cwd=tmp_path)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "sub01_EP01 .png, row 2" in done.stderr
    assert files_under(tmp_path) == before


def test_maps_without_frames_cannot_fine_tune_a_flow(tmp_path: Path, flowmaps_tree: Path) -> None:
    done = hmrm(
        *("run", *SMOKE, "--data", "flowmaps", "--root", flowmaps_tree, "--out", "runs"),
        *("--set", "flow.name=gru_attention", "--set", "flow.finetune=true"),
        cwd=tmp_path,
    )
    assert done.returncode == 2
    assert "data set 'flowmaps' has no frames to fine-tune a flow on" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert files_under(tmp_path) == []


def test_one_subject_with_all_clips(tmp_path: Path) -> None:
    root = write_tree(tmp_path, ["casme2,sub01,EP01,1", "casme2,sub01,EP02,0"])
    done = hmrm("run", *SMOKE, "--data", "flowmaps", "--root", root, "--out", "runs", cwd=tmp_path)
    assert done.returncode == 2
    assert "at least two subjects" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_flow_writes_what_was_asked_for(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    image = cv2.GaussianBlur(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8), (0, 0), 1.5)
    cv2.imwrite(str(tmp_path / "onset.png"), image)
    cv2.imwrite(str(tmp_path / "apex.png"), np.roll(image, 1, axis=1))
    done = hmrm(
        *("flow", "onset.png", "apex.png", "--method", "dis", "--out", "flow.flo"),
        *("--picture", "flow.png", "--json"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["mean_px"] == pytest.approx(1.0, abs=0.2)
    assert (tmp_path / "flow.flo").stat().st_size == 12 + 8 * 64 * 64
    assert cv2.imread(str(tmp_path / "flow.png")).shape == (64, 64, 3)


def test_flow_turns_pictures_upright(tmp_path: Path) -> None:
    for name in ("plain.jpg", "portrait.jpg", "upside_down.jpg"):
        content, upright = SOUND[name]
        (tmp_path / name).write_bytes(content)
        cv2.imwrite(str(tmp_path / "upright.png"), upright[..., ::-1])
        done = hmrm("flow", name, "upright.png", "--method", "dis", "--json", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["largest_px"] < 0.1


def refuse_flow(folder: Path, *arguments: str) -> str:
    """The one sentence of a `hmrm flow` that is refused and leaves nothing behind."""
    cv2.imwrite(str(folder / "ok.png"), np.zeros((32, 32, 3), np.uint8))
    before = files_under(folder)
    done = hmrm("flow", *arguments, cwd=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert files_under(folder) == before
    return done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["absent.png", "absent.png"], "absent.png: no such frame"),
        ([".", "ok.png"], ".: a folder, not an image"),
        (["ok.png", "small.png"], "small.png: onset (32x32 pixels) and apex (32x24) differ in"),
        (["tiny.png", "tiny.png"], "tiny.png: a frame of 8x8 pixels; give at least 16x16"),
        (["ok.png", "ok.png", "--method", "tvl"], "did you mean 'tvl1'"),
        (["ok.png", "ok.png", "--out", "a.npy"], "unknown flow file"),
        (["ok.png", "ok.png", "--picture", "a.bmp"], "name a .png file"),
    ],
)
def test_flow_refuses_in_one_sentence(tmp_path: Path, arguments: list[str], words: str) -> None:
    cv2.imwrite(str(tmp_path / "small.png"), np.zeros((24, 32, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "tiny.png"), np.zeros((8, 8, 3), np.uint8))
    assert words in refuse_flow(tmp_path, *arguments)


def test_frames_that_are_none_are_refused(tmp_path: Path) -> None:
    for name in UNFIT:
        words = write_unfit(tmp_path, name)
        said = refuse_flow(tmp_path, "ok.png", name, "--out", "a.flo", "--picture", "a.png")
        assert f"{name}: " in said
        assert words in said


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


def test_flow_eval_measures_and_refuses(tmp_path: Path) -> None:
    few = ["flow-eval", "--pairs", "1", "--set-of-pairs", "faces", "--method"]
    done = hmrm(*few, "dis", "--method", "farneback", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    cells = json.loads(done.stdout)["cells"]
    assert len(cells) == 6 * 4  # motions and noises
    assert all(cell["dis"] < cell["zero"] for cell in cells if cell["noise"] == 0)
    assert "did you mean 'dis'" in hmrm(*few, "diss", cwd=tmp_path).stderr
    assert hmrm("flow-eval", "absent", "--method", "dis", cwd=tmp_path).returncode == 2


def test_flow_train_refuses_what_it_cannot_do(tmp_path: Path) -> None:
    unnamed = hmrm("flow-train", "out", "--preset", "paper", cwd=tmp_path)
    assert unnamed.returncode == 2
    assert "learns from FlyingChairs" in unnamed.stderr
    assert (
        "did you mean 'cpu'" in hmrm("flow-train", "out", "--preset", "cpus", cwd=tmp_path).stderr
    )
    assert files_under(tmp_path) == []


def test_score(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text("a s1\nc1 0 0\nc2 1 1\nb s1\nc1 2 2\nc2 0 1\n")
    done = hmrm("score", "log.txt", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "UF1" in done.stdout
    scores = json.loads(hmrm("score", "log.txt", "--json", cwd=tmp_path).stdout)
    assert scores["all"]["uf1"] == pytest.approx((2 / 3 + 2 / 3 + 1) / 3, abs=1e-6)
    assert set(scores["datasets"]) == {"a", "b"}
    assert hmrm("score", "absent.txt", cwd=tmp_path).returncode == 2


def test_doctor(tmp_path: Path) -> None:
    done = hmrm("doctor", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    states = {check["name"]: check["state"] for check in json.loads(done.stdout)["checks"]}
    assert states["torch"] == states["python"] == states["cache"] == "ok"
    assert "torch" in hmrm("doctor", cwd=tmp_path).stdout


def test_help_and_usage(tmp_path: Path) -> None:
    assert hmrm("--help", cwd=tmp_path).returncode == 0
    assert hmrm("run", "--no-such-option", cwd=tmp_path).returncode == 2


def test_the_installed_command_keeps_to_the_exit_status(tmp_path: Path) -> None:
    command = [str(Path(sys.executable).with_name("hmrm")), "score", "absent.txt"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "hmrm: absent.txt: no such file; check the path\n"


def test_a_full_disk_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", "runs/x")

    monkeypatch.setattr("hmrm_lab.config.load_config", full)
    done = hmrm("run", *SMOKE, cwd=tmp_path)
    assert done.returncode == 1
    assert "the disk is full" in done.stderr
    assert "what was finished is safe; the same command goes on" in done.stderr
