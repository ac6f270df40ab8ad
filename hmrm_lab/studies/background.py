"""A run in a process of its own, which outlives the notebook that started it.

Whoever makes a `BackgroundRun` of the same settings and folder, in whatever process, sees the same
run. Runs of one folder go one after another (`queue`).
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from hmrm_lab.config import ExperimentConfig
from hmrm_lab.errors import InputError
from hmrm_lab.evaluation.fold_progress import RunStatus, read_status
from hmrm_lab.runtime.store import RunFolder, to_toml, write_atomic
from hmrm_lab.studies.locks import Worker, guard, holder
from hmrm_lab.studies.queue import Place

Phase = Literal["absent", "waiting", "preparing", "running", "stopped", "failed", "complete"]
GOING: tuple[Phase, ...] = ("waiting", "preparing", "running")
LOOK_SECONDS = 0.1
NOTHING = RunStatus(done=0, failed=0, expected=0, in_work=())

_children: list["subprocess.Popen[bytes]"] = []  # to be asked for when they have ended


@dataclass(frozen=True)
class RunState:
    """How far a run is.

    `absent`: nothing is there. `waiting`: others of its folder go first. `preparing`: data and flow
    are being read or computed. `running`: folds are, and in the end the figures and the final
    model. `stopped`: nobody works on it; `start` goes on. `failed`: the same, and `problem` says
    why. `complete`: every fold and the figures are there.
    """

    phase: Phase
    done: int
    failed: int
    expected: int  # folds times seeds; 0 before the data have been read
    progress: float  # 0 to 1; parts of folds count
    epochs_per_s: float
    seconds_left: float | None
    problem: str = ""
    note: str = ""  # what it waits for, or how far the preparation is

    @property
    def going(self) -> bool:
        """Whether somebody works on it, or will without being asked."""
        return self.phase in GOING


class BackgroundRun:
    """A handle on one run folder, whoever works on it."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self._place = Place.of(folder)

    @classmethod
    def start(
        cls,
        config: ExperimentConfig,
        *,
        root: Path | None = None,
        out: Path = Path("runs"),
        jobs: int = 1,
    ) -> "BackgroundRun":
        """Start the run in a process of its own, or take up the one that is going.

        A complete run is not started again; one that was stopped, killed or that failed goes on.
        What the process prints goes to `log`.

        Parameters
        ----------
        root
            Folder of the data, where they need one.
        out
            Folder of run folders. Runs started into the same one go one after another.
        jobs
            Processes that compute folds; 0 is one per core.

        Raises
        ------
        InputError
            For a negative number of jobs, and on systems without file locks (Windows).
        """
        refuse_negative(jobs)
        run = cls.of(config, out)
        place = run._place
        with guard(place.folder):
            state = run._state(place.worker())
            if state.phase in ("absent", "stopped", "failed"):
                write_atomic(place.settings, to_toml(config.model_dump(mode="json")))
                _children.append(place.launch(_command(place, root, jobs)))
        return run

    @classmethod
    def of(cls, config: ExperimentConfig, out: Path = Path("runs")) -> "BackgroundRun":
        """The run of these settings, as it is; nothing is started."""
        return cls(RunFolder.of(config, out))

    @property
    def log(self) -> Path:
        """What the last process printed."""
        return self._place.log

    def state(self) -> RunState:
        """How it is at this moment."""
        return self._state(self._worker())

    def stop(self) -> None:
        """Ask the process to end (SIGTERM); what is finished is kept. Nothing if none is going.

        It returns at once; `wait` returns when the process has ended.

        Raises
        ------
        InputError
            If the run is going, but on another machine or not by `start`.
        """
        worker = self._worker()
        if worker is None and not self._state(None).going:
            return
        if worker is None or worker.host != socket.gethostname() or not worker.process:
            where = f"on {worker.host}" if worker else "by a command of its own"
            raise InputError(f"{self.folder.path} is run {where}", mend="stop it there")
        os.kill(worker.process, signal.SIGTERM)

    def wait(self, timeout_s: float | None = None, *, folds: int | None = None) -> RunState:
        """The state when nobody works on it any more, or earlier: see `watched`."""
        return watched(self.state, LOOK_SECONDS, timeout_s, folds)

    def _worker(self) -> Worker | None:
        """The process that `start` has started, here or elsewhere, if it lives."""
        return holder(self._place.lock)

    def _state(self, worker: Worker | None) -> RunState:
        _ask_for_children()
        said = self._place.said()
        status = read_status(self.folder) if self.folder.config_file.is_file() else NOTHING
        phase = self._phase(worker, said, status)
        waiting = phase in ("waiting", "preparing")
        return RunState(
            phase=phase,
            done=status.done,
            failed=status.failed,
            expected=status.expected,
            progress=status.folds / status.expected if status.expected else 0.0,
            epochs_per_s=status.epochs_per_s,
            seconds_left=status.seconds_left,
            problem=said.get("problem", "") if phase == "failed" else "",
            note=said.get("note", "") if waiting else "",
        )

    def _phase(self, worker: Worker | None, said: dict[str, str], status: RunStatus) -> Phase:
        if worker:
            at_work = status.in_work or said.get("phase") not in ("waiting", "preparing")
            return "running" if at_work else cast("Phase", said["phase"])
        if status.in_work:  # by a command that nobody has started here
            return "running"
        if status.expected and status.done == status.expected and self._has_figures():
            return "complete"
        if said.get("ended") == "failed":
            return "failed"
        begun = self.folder.config_file.is_file() or said.get("ended", "stopped") == "stopped"
        return "stopped" if begun and (said or status.expected) else "absent"

    def _has_figures(self) -> bool:
        file = self.folder.path / "metrics.json"
        return file.is_file() and bool(self.folder.metrics()["complete"])


def refuse_negative(jobs: int) -> None:
    """An `InputError` for a number of processes below 0."""
    if jobs < 0:
        raise InputError(f"{jobs} jobs", mend="take one or more, or 0 for one per core")


def watched(
    look: Callable[[], RunState], every_s: float, timeout_s: float | None, folds: int | None
) -> RunState:
    """Look until nobody works on the run, `folds` of it are done, or `timeout_s` are over."""
    end = time.monotonic() + (float("inf") if timeout_s is None else timeout_s)
    while (state := look()).going and (folds is None or state.done < folds):
        left = end - time.monotonic()
        if left <= 0:
            break
        time.sleep(min(every_s, left))
    return state


def _command(place: Place, root: Path | None, jobs: int) -> list[str]:
    """`background_child` with its arguments, but for the lock."""
    data = str(root.absolute()) if root else ""
    where = [str(place.folder.absolute()), place.name]
    return [
        sys.executable,
        "-P",
        "-m",
        "hmrm_lab.studies.background_child",
        *where,
        data,
        str(jobs),
    ]


def _ask_for_children() -> None:
    """An ended process that its parent has not asked for would still be listed as a living one."""
    _children[:] = [child for child in _children if child.poll() is None]
