"""SIGKILL at any point: the same command goes on to the same bytes.

One run is killed at several points, one after the other; the full tier tries every point alone. A
point is `module attribute N moment`: at the N-th call, `before` or `after` it is made, or in its
`middle`, for calls that write bytes. A checkpoint is written after every epoch.
"""

import multiprocessing
import os
import signal
import sys
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
STORE, CHECKPOINT = "hmrm_lab.runtime.store", "hmrm_lab.training.checkpoint"
LOSO, EXPERIMENT = "hmrm_lab.evaluation.loso", "hmrm_lab.studies.experiment"
IN_TURN = (  # the moments at which a result could be lost or torn, as a run comes to them
    f"{STORE} Path.hardlink_to 1 before",
    f"{STORE} _neighbour 6 middle",
    f"{LOSO} RunningFold.clear 2 before",
    f"{EXPERIMENT} write_final_model 1 before",
)
ALONE = (
    *IN_TURN,
    *(f"{STORE} _neighbour {number} middle" for number in (1, 2, 12)),
    f"{STORE} Path.hardlink_to 3 after",
    f"{STORE} Path.replace 1 before",
    f"{STORE} Path.replace 2 after",
    f"{STORE} os.fsync 5 before",
    f"{STORE} _flush_folder 7 before",
    f"{CHECKPOINT} Path.replace 3 before",
    f"{CHECKPOINT} write_tensors 1 before",
    f"{CHECKPOINT} write_tensors 2 after",
    f"{LOSO} write_curves 1 before",
    *(f"{EXPERIMENT} {name} 1 before" for name in ("run_loso", "write_figures")),
    f"{EXPERIMENT} write_atomic 2 before",
    f"{EXPERIMENT} write_atomic 3 after",
    f"{EXPERIMENT} write_final_model 1 after",
)
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
    "points", [IN_TURN, *(pytest.param((point,), marks=pytest.mark.full) for point in ALONE)]
)
def test_killed_at_a_point_it_goes_on_to_the_same_bytes(
    tmp_path: Path, undisturbed: list[bytes], points: tuple[str, ...]
) -> None:
    for point in points:
        assert killed_by(tmp_path, point) == -9, point
    assert killed_by(tmp_path, jobs=2) == 0
    assert content(tmp_path) == undisturbed
