"""A sweep in a process of its own.

`python -m hmrm_lab.studies.background_sweep ARGUMENTS` is the process.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from hmrm_lab.config import read_config
from hmrm_lab.studies.background import RunState, refuse_negative, watched
from hmrm_lab.studies.background_child import attend, load_maps
from hmrm_lab.studies.background_study import BackgroundStudy, read_plan
from hmrm_lab.studies.places import count_cores, count_jobs
from hmrm_lab.studies.queue import Place
from hmrm_lab.studies.sweep import Point, Sweep, run_cells

LOOK_SECONDS = 0.2
MODULE = "hmrm_lab.studies.background_sweep"


@dataclass(frozen=True)
class BackgroundSweep:
    """A handle on a sweep and the settings that it shall score, whoever works on it."""

    sweep: Sweep
    points: Sequence[Point]

    def start(self, *, root: Path | None = None, jobs: int = 1) -> None:
        """Score what is missing in a process of its own; nothing if that is going already.

        `jobs` are its processes; 0 is one per core, and a negative number an `InputError`.
        """
        refuse_negative(jobs)
        if self.missing():  # a mistyped setting is told here, and not in the log of a process
            plan = {"points": [dict(point) for point in self.points]}
            self._study.start(self.sweep.base, plan, root=root, jobs=jobs)

    def stop(self) -> None:
        """Ask the process to end; finished cells are kept. Nothing if none is going."""
        self._study.stop()

    def state(self) -> RunState:
        """How it is at this moment; `done` and `expected` count settings."""
        total = len(self.points)
        return self._study.state(total - len(self.missing()), total)

    def wait(self, timeout_s: float) -> RunState:
        """The state when nobody works on it any more, or after `timeout_s` seconds."""
        return watched(self.state, LOOK_SECONDS, timeout_s, None)

    def missing(self) -> list[Point]:
        """The settings that have no cell yet."""
        pairs = zip(self.points, self._files, strict=True)
        return [point for point, file in pairs if not file.is_file()]

    @cached_property
    def _files(self) -> list[Path]:
        return [self.sweep.file(point) for point in self.points]

    @property
    def _study(self) -> BackgroundStudy:
        return BackgroundStudy(self.sweep.folder, MODULE)


def main(folder: str, name: str, root: str, jobs: str, lock: str) -> int:
    """0 if every setting has its cell, 1 if it failed, 143 if it was stopped."""
    place, data = Place(Path(folder), name), Path(root) if root else None
    return attend(place, lock, lambda: _work(place, data, int(jobs)))


def _work(place: Place, root: Path | None, jobs: int) -> str:

    config = read_config(place.settings)
    processes = count_jobs(jobs, ("cpu",), count_cores())
    points = read_plan(place)["points"]
    flowset = load_maps(place, config, root, processes)
    sweep = Sweep.of(config, flowset, place.folder.parent)
    if sweep.folder.name != place.name:
        return "the data have changed since this sweep began; begin another"
    place.say(phase="running")
    run_cells(sweep, flowset, points, jobs=processes)
    return ""


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
