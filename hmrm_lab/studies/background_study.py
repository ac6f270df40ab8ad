"""What the process of a sweep and that of an evolutionary search have in common.

Both stand in the same queue as the runs of their folder.
"""

import os
import signal
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from hmrm_lab.config import ExperimentConfig
from hmrm_lab.errors import InputError
from hmrm_lab.runtime.store import read_json, to_json, to_toml, write_atomic
from hmrm_lab.studies.background import Phase, RunState
from hmrm_lab.studies.locks import Worker, guard, holder
from hmrm_lab.studies.queue import FOLDER, Place


@dataclass(frozen=True)
class BackgroundStudy:
    """The process that works on the study of this folder, whoever has started it.

    `module` is what it runs: `python -m MODULE FOLDER NAME ROOT JOBS LOCK`.
    """

    folder: Path
    module: str

    @property
    def place(self) -> Place:
        return Place(self.folder.parent / FOLDER, self.folder.name)

    def start(
        self, recipe: ExperimentConfig, plan: Mapping[str, Any], *, root: Path | None, jobs: int
    ) -> None:
        """Start it with this recipe and `plan`, what else it must know; nothing if it is going."""
        place = self.place
        with guard(place.folder):
            if place.worker() is not None:
                return
            write_atomic(plan_file(place), to_json(dict(plan)))
            write_atomic(place.settings, to_toml(recipe.model_dump(mode="json")))
            where = [str(place.folder.absolute()), place.name]
            data = str(root.absolute()) if root else ""
            place.launch([sys.executable, "-P", "-m", self.module, *where, data, str(jobs)])

    def stop(self) -> None:
        """Ask the process to end; what is finished is kept. Nothing if none is going."""
        worker = self._worker()
        if worker is None:
            return
        if worker.host != socket.gethostname() or not worker.process:
            raise InputError(f"{self.folder} is run on {worker.host}", mend="stop it there")
        os.kill(worker.process, signal.SIGTERM)

    def state(self, done: int, total: int) -> RunState:
        """How it is at this moment, when so much of all there is to do is done."""
        worker, said = self._worker(), self.place.said()
        phase = said.get("phase", "running") if worker else _at_rest(said, done, total)
        return RunState(
            phase=cast("Phase", phase),
            done=done,
            failed=0,
            expected=total,
            progress=done / total if total else 0.0,
            epochs_per_s=0.0,
            seconds_left=None,
            problem=said.get("problem", "") if phase == "failed" else "",
            note=said.get("note", "") if phase in ("waiting", "preparing") else "",
        )

    def _worker(self) -> Worker | None:
        return holder(self.place.lock)


def plan_file(place: Place) -> Path:
    return place.folder / f"{place.name}.plan"


def read_plan(place: Place) -> dict[str, Any]:
    """What the process was given besides its recipe."""
    return dict(read_json(plan_file(place)))


def _at_rest(said: Mapping[str, str], done: int, total: int) -> str:
    """The phase of a study that nobody works on."""
    if done >= total:
        return "complete"
    if said.get("ended") == "failed":
        return "failed"
    return "stopped" if said or done else "absent"
