"""Accidents of a real command: Ctrl-C, SIGTERM, SIGKILL, a full disk, a twin in its folder."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

HMRM = str(Path(sys.executable).with_name("hmrm"))
LONG_S = 600  # it is a matter of seconds; so that a fault ends the test
pytestmark = pytest.mark.slow


RUN = ("run", "--system", "ststnet", "--set", f"evaluation.seeds={list(range(500))}")
SWEEP = ("sweep", "--widths", " ".join(map(str, range(8, 328, 8))), "--depths", "1")


@pytest.mark.parametrize(
    ("command", "kept_in", "number"),
    [
        (RUN, "folds", signal.SIGTERM),
        (RUN, "folds", signal.SIGKILL),
        (SWEEP, "cells", signal.SIGINT),
        pytest.param(RUN, "folds", signal.SIGINT, marks=pytest.mark.full),
        pytest.param(SWEEP, "cells", signal.SIGKILL, marks=pytest.mark.full),
    ],
)
def test_a_stopped_command_keeps_what_it_has_and_leaves_no_process(
    tmp_path: Path, command: tuple[str, ...], kept_in: str, number: signal.Signals
) -> None:
    words = [HMRM, *command, "--preset", "smoke", "--jobs", "2"]
    piped = {"stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    with subprocess.Popen(words, cwd=tmp_path, **piped) as running:
        try:
            while not (kept := list(tmp_path.glob(f"runs/*/{kept_in}/*.json"))):
                assert running.poll() is None, running.stderr.read()
                time.sleep(0.01)
            family = psutil.Process(running.pid).children(recursive=True)
            assert len(family) >= 2
            if number == signal.SIGINT:  # a terminal tells the whole group
                os.killpg(running.pid, number)
            else:
                running.send_signal(number)
            _, said = running.communicate(timeout=LONG_S)
            _, alive = psutil.wait_procs(family, timeout=LONG_S)
            assert alive == []
        finally:
            running.kill()
    assert "Traceback" not in said
    for file in tmp_path.glob(f"runs/*/{kept_in}/*.json"):
        assert json.loads(file.read_text())
    if number == signal.SIGKILL:
        assert running.returncode == -signal.SIGKILL
        return
    assert running.returncode == 128 + number
    last = said.splitlines()[-1]
    assert last.startswith("hmrm: stopped; ")
    assert last.endswith("the same command goes on")
    if command == RUN:
        assert last.endswith(" of 2000 folds are kept; the same command goes on")
        assert len(kept) <= int(last.split()[2]) < 2000


def start(out: Path, cwd: Path, *more: str) -> "subprocess.Popen[str]":
    command = [HMRM, "run", "--preset", "smoke", "--system", "ststnet", "--jobs", "1", *more]
    return subprocess.Popen([*command, "--out", out], cwd=cwd, stderr=subprocess.PIPE, text=True)


def test_two_commands_fill_one_folder(tmp_path: Path) -> None:
    both = [start(tmp_path / "runs", tmp_path) for _ in range(2)]
    for one in both:
        _, said = one.communicate(timeout=LONG_S)
        assert one.returncode == 0, said
    (run,) = (tmp_path / "runs").glob("ststnet-*")
    assert json.loads((run / "metrics.json").read_text())["complete"]
    assert not list(run.rglob("*.part"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 kB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.call(mount, stderr=subprocess.DEVNULL):
        pytest.skip("no disk can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.full
def test_a_full_disk_keeps_what_is_there_and_the_same_command_goes_on(
    tmp_path: Path, small_disk: Path
) -> None:
    seeds = ("--set", "evaluation.seeds=[0, 1, 2, 3, 4, 5, 6, 7]")
    full = start(small_disk, tmp_path, *seeds)
    _, said = full.communicate(timeout=LONG_S)
    assert full.returncode == 1
    (run,) = small_disk.glob("ststnet-*")
    before = {file: file.read_bytes() for file in (run / "folds").iterdir()}
    assert 0 < len(before) < 32
    assert all(json.loads(content)["predictions"] for content in before.values())
    last = said.splitlines()[-1]
    assert last.startswith(f"hmrm: {run}")
    assert "the disk is full (0.0 MiB free)" in last
    assert last.endswith(f"; {len(before)} of 32 folds are kept; the same command goes on")
    assert "Traceback" not in said
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    again = start(small_disk, tmp_path, *seeds)
    assert again.communicate(timeout=LONG_S) and again.returncode == 0
    assert json.loads((run / "metrics.json").read_text())["complete"]
    assert {file: file.read_bytes() for file in before} == before
