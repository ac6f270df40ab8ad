"""SIGKILL at any point: the same command goes on to the same bytes.

One run is killed at several points, one after the other; the full tier tries every point alone. A
point is `module attribute N moment`: at the N-th call, `before` or `after` it is made, or in its
`middle`, for calls that write bytes. A checkpoint is written after every epoch.
"""

import multiprocessing
import os
import signal
import sys
import tomllib
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from hmrm_lab import cli
from hmrm_lab.evaluation import fold, loso
from hmrm_lab.training.checkpoint import RunningFold

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["hmrm_lab.studies.experiment"])  # once, and not by every command
FILES = ("metrics.json", "predictions.csv", "history.csv", "model.safetensors")
SETTINGS = ("evaluation.epoch_rule=inner_subjects", "data.subjects=5", "training.epochs=3")
POINTS = tomllib.loads(Path(__file__).with_name("killed_at.toml").read_text("utf-8"))
pytestmark = pytest.mark.slow


unit_as_ever = fold.run_fold


def hasty(*arguments: Any, **options: Any) -> dict[str, Any]:
    """A unit of work as ever, but for its checkpoints; imported by its name in workers."""
    fold.RunningFold = partial(RunningFold, every_s=0.0)
    return unit_as_ever(*arguments, **options)


def arm(module: str, attribute: str, number: str, moment: str) -> None:
    """Let the N-th call kill this process group `before`, `after` or in its `middle`."""
    *path, name = attribute.split(".")
    owner: Any = import_module(module)
    for part in path:
        owner = getattr(owner, part)
    original = getattr(owner, name)
    calls = 0

    def armed(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        fatal = calls == int(number)
        if fatal and moment == "middle":
            place, content = arguments
            arguments = place, content[: len(content) // 2]
        if fatal and moment == "before":
            os.killpg(0, signal.SIGKILL)
        result = original(*arguments, **options)
        if fatal:
            if moment == "middle":
                result.__enter__()
            os.killpg(0, signal.SIGKILL)
        return result

    setattr(owner, name, armed)


def run(place: Path, arguments: list[str], point: str) -> None:
    """Run the command in this process, which becomes the leader of a group."""
    os.setsid()
    os.environ["HMRM_CACHE"] = str(place / "cache")
    loso.run_fold = hasty
    if point:
        arm(*point.split())
    sys.argv = ["hmrm", *arguments]
    with Path(os.devnull).open("w") as nowhere:
        sys.stdout = sys.stderr = nowhere
        cli.main()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """What a command leaves that nobody disturbs."""
    place = tmp_path_factory.mktemp("undisturbed")
    assert killed_by(place) == 0
    return content(place)


def killed_by(place: Path, point: str = "", jobs: int = 1) -> int | None:
    """Run the whole way, from frames to figures, in a process group of its own: its exit code."""
    arguments = ["run", "--preset", "smoke", "--system", "mlp"]
    arguments += ["--out", str(place), "--jobs", str(jobs)]
    for setting in SETTINGS:
        arguments += ["--set", setting]
    command = FORKS.Process(target=run, args=(place, arguments, point))
    command.start()
    command.join()
    return command.exitcode


def content(place: Path) -> list[bytes]:
    (run,) = place.glob("mlp-*")
    left = [*run.glob("*/.*.part")]  # of writers that were killed; swept up another day
    assert {*(run / "running").iterdir()} <= {*left}
    assert {file.suffix for file in {*(run / "folds").iterdir()} - {*left}} == {".json"}
    return [(run / name).read_bytes() for name in FILES]


@pytest.mark.parametrize(
    "points",
    [
        POINTS["in_turn"],
        *(pytest.param([point], marks=pytest.mark.full) for point in POINTS["alone"]),
    ],
)
def test_killed_at_a_point_it_goes_on_to_the_same_bytes(
    tmp_path: Path, undisturbed: list[bytes], points: list[str]
) -> None:
    for point in points:
        assert killed_by(tmp_path, point) == -9, point
    assert killed_by(tmp_path, jobs=2) == 0
    assert content(tmp_path) == undisturbed
