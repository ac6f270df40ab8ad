"""SIGKILL at any point: the same command goes on to the same bytes.

One run is killed at several points, one after the other; the full tier tries every point alone.
"""

import os
import random
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from evaluation import killable

TESTS = Path(__file__).parents[1]
FILES = ("metrics.json", "predictions.csv", "history.csv", "model.safetensors")
SETTINGS = ("evaluation.epoch_rule=inner_subjects", "data.subjects=5", "training.epochs=3")
STORE, DESK = "hmrm_lab.runtime.store", "hmrm_lab.evaluation.fold_progress"
CHECKPOINT = "hmrm_lab.training.checkpoint"
LOSO, EXPERIMENT = "hmrm_lab.evaluation.loso", "hmrm_lab.studies.experiment"
FINAL = "hmrm_lab.studies.experiment"
IN_TURN = (  # the moments at which a result could be lost or torn, as a run comes to them
    f"{STORE} Path.hardlink_to 1 before",
    f"{STORE} _neighbour 6 middle",
    f"{LOSO} RunningFold.clear 2 before",
    f"{FINAL} write_final_model 1 before",
)
ALONE = (
    f"{STORE} _neighbour 6 middle",
    f"{STORE} Path.hardlink_to 1 before",
    f"{STORE} Path.hardlink_to 3 after",
    f"{CHECKPOINT} write_tensors 2 after",
    f"{LOSO} RunningFold.clear 2 before",
    f"{EXPERIMENT} write_atomic 2 before",
    f"{FINAL} write_final_model 1 before",
    f"{STORE} _neighbour 1 middle",
    f"{STORE} _neighbour 2 middle",
    f"{STORE} _neighbour 12 middle",
    f"{STORE} Path.replace 1 before",
    f"{STORE} Path.replace 2 after",
    f"{STORE} os.fsync 5 before",
    f"{STORE} _flush_folder 7 before",
    f"{DESK} Path.replace 3 before",
    f"{CHECKPOINT} write_tensors 1 before",
    f"{LOSO} write_curves 1 before",
    f"{EXPERIMENT} run_loso 1 before",
    f"{EXPERIMENT} write_figures 1 before",
    f"{EXPERIMENT} write_atomic 3 after",
    f"{FINAL} write_final_model 1 after",
)
RANDOM_KILLS = 200
pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Reference:
    """What a command leaves that nobody disturbs, and the seconds that it takes."""

    content: list[bytes]
    seconds: float


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    place = tmp_path_factory.mktemp("undisturbed")
    started = time.monotonic()
    assert command(place).wait() == 0
    return Reference(content(place), time.monotonic() - started)


def command(place: Path, jobs: int = 1, point: str = "") -> "subprocess.Popen[bytes]":
    """The whole way, from frames to figures, in a process group of its own."""
    arguments = [sys.executable, "-m", "evaluation.killable", "run", "--preset", "smoke"]
    arguments += ["--out", str(place), "--jobs", str(jobs)]
    for setting in SETTINGS:
        arguments += ["--set", setting]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")]),
        "HMRM_CACHE": str(place / "cache"),
        killable.KILL: point,
    }
    return subprocess.Popen(
        arguments,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def content(place: Path) -> list[bytes]:
    (run,) = place.glob("hmrm-*")
    left = [*run.glob("*/.*.part")]  # of writers that were killed; swept up another day
    assert {*(run / "running").iterdir()} <= {*left}
    assert {file.suffix for file in {*(run / "folds").iterdir()} - {*left}} == {".json"}
    return [(run / name).read_bytes() for name in FILES]


def test_killed_again_and_again_it_goes_on_to_the_same_bytes(
    tmp_path: Path, undisturbed: Reference
) -> None:
    for point in IN_TURN:
        assert command(tmp_path, point=point).wait() == -9, point
    assert command(tmp_path).wait() == 0
    assert content(tmp_path) == undisturbed.content


@pytest.mark.full
@pytest.mark.parametrize("point", ALONE)
def test_killed_at_a_point_it_goes_on_to_the_same_bytes(
    tmp_path: Path, undisturbed: Reference, point: str
) -> None:
    assert command(tmp_path, point=point).wait() == -9
    assert command(tmp_path).wait() == 0
    assert content(tmp_path) == undisturbed.content


@pytest.mark.full
@pytest.mark.parametrize("number", range(RANDOM_KILLS))
def test_killed_at_any_time_it_goes_on_to_the_same_bytes(
    tmp_path: Path, undisturbed: Reference, number: int
) -> None:
    dice = random.Random(number)
    jobs = 1 + number % 2
    for _ in range(dice.randint(1, 3)):
        killed = command(tmp_path, jobs)
        try:
            killed.wait(timeout=dice.uniform(0, undisturbed.seconds))
        except subprocess.TimeoutExpired:
            os.killpg(killed.pid, 9)
            killed.wait()
    assert command(tmp_path, jobs).wait() == 0
    assert content(tmp_path) == undisturbed.content
