"""The process of a background run: `python -m hmrm_lab.studies.background_child ARGUMENTS`.

It waits for its turn, does what `run_experiment` does, and says how far it is and how it ended. It
is started by `BackgroundRun.start`, with the lock that says that it lives.
"""

import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from hmrm_lab.errors import HmrmError, Stopped
from hmrm_lab.studies.locks import guard
from hmrm_lab.studies.queue import Place
from hmrm_lab.studies.stopping import stoppable

if TYPE_CHECKING:
    from hmrm_lab.config import ExperimentConfig
    from hmrm_lab.records import FlowSet

QUEUE_SECONDS = 0.5
TELL_SECONDS = 0.5


def main(folder: str, name: str, root: str, jobs: str, lock: str) -> int:
    """0 if the run is complete, 1 if it failed, 143 if it was stopped."""
    place, data = Place(Path(folder), name), Path(root) if root else None
    return attend(place, lock, lambda: work(place, data, int(jobs)))


def attend(place: Place, lock: str, work: Callable[[], str]) -> int:
    """Do the work when its turn comes, and say how it ended; the exit status of the process."""
    os.set_inheritable(int(lock), False)  # no process but this one shall hold it
    try:
        with stoppable():
            wait_for_turn(place)
            problem = work()
    except Stopped as stop:
        place.say(ended="stopped")
        return stop.exit_status
    except HmrmError as error:
        problem = str(error)
    except Exception as error:
        traceback.print_exc()
        place.say(ended="failed", problem=f"{type(error).__name__}: {error} (see {place.log})")
        raise
    place.say(ended="failed" if problem else "done", problem=problem)
    if problem:
        sys.stderr.write(f"{problem}\n")
    return 1 if problem else 0


def wait_for_turn(place: Place) -> None:
    """Until no run of this folder is left that was started earlier."""
    while ahead := _ahead(place):
        runs = "run" if len(ahead) == 1 else "runs"
        place.say(phase="waiting", note=f"{len(ahead)} {runs} ahead: {', '.join(ahead)}")
        time.sleep(QUEUE_SECONDS)
    place.say(phase="preparing")


def work(place: Place, root: Path | None, jobs: int) -> str:
    """What is wrong with the folds that failed; empty if none did."""
    from hmrm_lab.config import read_config
    from hmrm_lab.evaluation.summary import describe_failures
    from hmrm_lab.studies.experiment import run_experiment
    from hmrm_lab.studies.places import count_cores, count_jobs

    config = read_config(place.settings)
    processes = count_jobs(jobs, ("cpu",), count_cores())
    flowset = load_maps(place, config, root, processes)
    place.say(phase="running")
    run = run_experiment(config, out=place.folder.parent, jobs=processes, flowset=flowset)
    return describe_failures(run)


def load_maps(place: Place, config: "ExperimentConfig", root: Path | None, jobs: int) -> "FlowSet":
    """The maps of these settings, computed by so many processes where needed; it says how far."""
    from hmrm_lab.preparation import load_flowset
    from hmrm_lab.studies.places import end_preparation_workers

    told = 0.0

    def tell(stage: str, done: int, total: int) -> None:
        nonlocal told
        if time.monotonic() - told > TELL_SECONDS:
            told = time.monotonic()
            place.say(phase="preparing", note=f"{stage} of {done} of {total} clips")

    flowset = load_flowset(
        config,
        root,
        jobs=jobs,
        on_faces=lambda done, total: tell("faces", done, total),
        on_progress=lambda done, total: tell("flow", done, total),
    )
    end_preparation_workers()
    return flowset


def _ahead(place: Place) -> list[str]:
    with guard(place.folder):
        return place.ahead()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
