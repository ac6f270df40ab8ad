"""A sweep in a process of its own: `python -m hmrm_lab.studies.background_sweep ARGUMENTS` is it.

It stands in the same queue as the runs of its folder.
"""

import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from hmrm_lab.config import read_config
from hmrm_lab.errors import InputError
from hmrm_lab.preparation import load_flowset
from hmrm_lab.store import read_json, to_json, to_toml, write_atomic
from hmrm_lab.studies.background import Phase, RunState
from hmrm_lab.studies.background_child import attend
from hmrm_lab.studies.queue import FOLDER, Place, guard
from hmrm_lab.studies.sweep import Point, Sweep, run_cells

LOOK_SECONDS = 0.2


@dataclass(frozen=True)
class BackgroundSweep:
    """A handle on a sweep and the settings that it shall score, whoever works on it."""

    sweep: Sweep
    points: Sequence[Point]

    def start(self, *, root: Path | None = None, jobs: int = 1) -> None:
        """Score what is missing in a process of its own; nothing if that is going already."""
        left = self.missing()  # a mistyped setting is told here, and not in the log of a process
        with guard(self._place.folder):
            if self._place.worker() is None and left:
                record = {"points": [dict(point) for point in self.points]}
                write_atomic(self._points_file, to_json(record))
                recipe = self.sweep.base.model_dump(mode="json")
                write_atomic(self._place.settings, to_toml(recipe))
                where = [str(self._place.folder.absolute()), self._place.name]
                data = str(root.absolute()) if root else ""
                command = [sys.executable, "-P", "-m", __name__, *where, data, str(jobs)]
                self._place.launch(command)

    def stop(self) -> None:
        """Ask the process to end; finished cells are kept. Nothing if none is going."""
        with guard(self._place.folder):
            worker = self._place.worker()
        if worker is None:
            return
        if worker.host != socket.gethostname() or not worker.process:
            raise InputError(f"{self.sweep.folder} is run on {worker.host}", mend="stop it there")
        os.kill(worker.process, signal.SIGTERM)

    def state(self) -> RunState:
        """How it is at this moment; `done` and `expected` count settings."""
        with guard(self._place.folder):
            worker = self._place.worker()
        said = self._place.said()
        total, left = len(self.points), len(self.missing())
        ended = "stopped" if said and said.get("ended") != "failed" else said.get("ended", "absent")
        phase = said.get("phase", "running") if worker else ("complete" if not left else ended)
        return RunState(
            phase=cast("Phase", phase),
            done=total - left,
            failed=0,
            expected=total,
            progress=(total - left) / total if total else 0.0,
            epochs_per_s=0.0,
            seconds_left=None,
            problem=said.get("problem", "") if phase == "failed" else "",
            note=said.get("note", "") if phase == "waiting" else "",
        )

    def wait(self, timeout_s: float) -> RunState:
        """The state when nobody works on it any more, or after `timeout_s` seconds."""
        end = time.monotonic() + timeout_s
        while (state := self.state()).going and time.monotonic() < end:
            time.sleep(LOOK_SECONDS)
        return state

    def missing(self) -> list[Point]:
        """The settings that have no cell yet."""
        pairs = zip(self.points, self._files, strict=True)
        return [point for point, file in pairs if not file.is_file()]

    @cached_property
    def _files(self) -> list[Path]:
        return [self.sweep.file(point) for point in self.points]

    @property
    def _place(self) -> Place:
        return Place(self.sweep.folder.parent / FOLDER, self.sweep.folder.name)

    @property
    def _points_file(self) -> Path:
        return self._place.folder / f"{self._place.name}.points"


def main(folder: str, name: str, root: str, jobs: str, lock: str) -> int:
    """0 if every setting has its cell, 1 if it failed, 143 if it was stopped."""
    place, data = Place(Path(folder), name), Path(root) if root else None
    return attend(place, lock, lambda: _work(place, data, int(jobs)))


def _work(place: Place, root: Path | None, jobs: int) -> str:
    import hmrm_lab.models  # noqa: F401  registers the systems

    config = read_config(place.settings)
    points: list[dict[str, Any]] = read_json(place.folder / f"{place.name}.points")["points"]
    flowset = load_flowset(config, root, jobs=jobs)
    sweep = Sweep.of(config, flowset, place.folder.parent)
    if sweep.folder.name != place.name:
        return "the data have changed since this sweep began; begin another"
    place.say(phase="running")
    run_cells(sweep, flowset, points, jobs=jobs)
    return ""


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
