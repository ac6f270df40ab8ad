"""Jobs: work in a process of its own, which outlives the notebook that started it.

A job fills one folder of results: an evaluation, a sweep or a search. Whoever makes a `Job` of the
same folder sees the same job. Those whose folders lie side by side go one after another.

```
OUT/.background/
    guard               locked while a process is found or started
    NAME.lock           locked by the process of the job as long as it lives
    NAME.lock.json      which process that is
    NAME.plan.json      settings, data, number of processes
    NAME.status.json    what the process reports
    NAME.log            what it prints
```
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, cast

import psutil

from hmrm_lab.config import ExperimentConfig
from hmrm_lab.errors import HmrmError, InputError, Stopped, stoppable
from hmrm_lab.evaluation.live_progress import read_status
from hmrm_lab.records import FlowSet
from hmrm_lab.runtime import processes
from hmrm_lab.runtime.store import RunFolder, read_json, to_json, write_atomic

Phase = Literal["absent", "waiting", "preparing", "running", "stopped", "failed", "complete"]
POLL_S, QUEUE_S, REPORT_S = 0.1, 0.5, 0.5
PROGRAM = "from hmrm_lab.studies.jobs import main; main()"

_started: list["subprocess.Popen[bytes]"] = []  # an ended process is listed until it is asked for


@dataclass(frozen=True)
class JobState:
    """How far a job is.

    `waiting`: others of its folder go first. `preparing`: data and flow are read or computed.
    `stopped`: nobody works on it, and `start` goes on. `failed`: the same, and `problem` says why.
    """

    phase: Phase
    done: int = 0
    failed: int = 0
    expected: int = 0  # folds times seeds, settings or trials; 0 before the data have been read
    progress: float = 0.0  # 0 to 1; parts of folds count
    epochs_per_s: float = 0.0
    seconds_left: float | None = None
    problem: str = ""
    note: str = ""  # what it waits for, or how far the preparation is
    by_command: bool = False  # a process works on it that was not started as a job

    @classmethod
    def of(cls, done: int, expected: int) -> "JobState":
        """A folder that nobody works on, by how much of it is done."""
        phase: Phase = "complete" if done >= expected else "stopped" if done else "absent"
        return cls(phase, done, 0, expected, done / expected if expected else 0.0)

    @property
    def going(self) -> bool:
        """Whether somebody works on it, or will without being asked."""
        return self.phase in ("waiting", "preparing", "running")


@dataclass(frozen=True)
class JobFiles:
    """The files of one job, among those of the jobs beside it."""

    folder: Path
    name: str

    @classmethod
    def of(cls, results: Path) -> "JobFiles":
        return cls(results.parent / ".background", results.name)

    def file(self, suffix: str) -> Path:
        return self.folder / f"{self.name}.{suffix}"

    def write_status(self, **status: str) -> None:
        """Report `phase` and `note`, or in the end `ended` and `problem`."""
        write_atomic(self.file("status.json"), to_json(status))

    def read_status(self) -> dict[str, str]:
        file = self.file("status.json")
        return dict(read_json(file)) if file.is_file() else {}

    def workers(self) -> dict[str, processes.Worker]:
        """The living processes of all jobs of the folder, by name. Under the guard."""
        locks = [file.with_suffix("") for file in sorted(self.folder.glob("*.lock.json"))]
        return {lock.stem: worker for lock in locks if (worker := processes.worker_of(lock))}


@dataclass(frozen=True)
class Job:
    """Work on one folder of results, whoever does it. `Job.of` makes that of an evaluation.

    `look` says how far the folder is without the job: `preparing` or `running` where a command
    works on it. `work` is the `module:function` that the process calls with a `Task`; it returns
    what went wrong, or "". `plan` is what it needs besides the settings, as JSON has it.
    """

    folder: Path
    look: Callable[[], JobState]
    work: str
    recipe: ExperimentConfig | None
    plan: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, run: RunFolder, config: ExperimentConfig | None = None) -> "Job":
        """The evaluation of this run folder; one that has not begun needs its settings."""
        known = run.config() if config is None and run.config_file.is_file() else config
        return cls(run.path, lambda: _look_at_run(run), f"{__name__}:evaluate", known)

    @property
    def log(self) -> Path:
        return self._files.file("log")

    def start(self, *, root: Path | None = None, jobs: int = 1) -> "Job":
        """Start the work in a process of its own, or take up the process that is going.

        What is complete is not started again; what was stopped, killed or has failed goes on.
        `root` is the folder of the data, and `jobs` the number of processes that compute; 0 is one
        per core. Raises `InputError` for a negative number, or a disk without file locks.
        """
        processes.count_jobs(jobs)
        if self.recipe is None:
            raise InputError(f"{self.folder} has not begun", hint="start it with its settings")
        files = self._files
        with processes.guard(files.folder):
            state = self._state(processes.worker_of(files.file("lock")))
            if state.phase in ("absent", "stopped", "failed"):
                recipe = self.recipe.model_dump(mode="json")
                data = str(root.absolute()) if root else ""
                plan = {**self.plan, "recipe": recipe, "root": data, "jobs": jobs}
                write_atomic(files.file("plan.json"), to_json(plan))
                _launch(files, self.work)
        return self

    def state(self) -> JobState:
        return self._state(processes.holder(self._files.file("lock")))

    def stop(self) -> None:
        """Ask the process to end, and return at once; what is finished is kept.

        Raises `InputError` if it is going on another machine, or was not started as a job.
        """
        worker = processes.holder(self._files.file("lock"))
        if worker is None and not self._state(None).going:
            return
        if worker is None or not worker.is_here:
            where = f"on {worker.host}" if worker else "by a command of its own"
            raise InputError(f"{self.folder} is run {where}", hint="stop it there")
        if worker.lives():
            psutil.Process(worker.process).terminate()

    def wait(self, timeout_s: float | None = None, *, done: int | None = None) -> JobState:
        """Wait until nobody works on it, `done` parts are done, or the time is over."""
        return wait_for(self.state, POLL_S, timeout_s, done)

    @property
    def _files(self) -> JobFiles:
        return JobFiles.of(self.folder)

    def _state(self, worker: processes.Worker | None) -> JobState:
        _started[:] = [process for process in _started if process.poll() is None]
        status, state = self._files.read_status(), self.look()
        reported = cast("Phase", status.get("phase"))
        if worker and reported in ("waiting", "preparing") and state.phase != "running":
            return replace(state, phase=reported, note=status.get("note", ""))
        if worker:
            return replace(state, phase="running")
        if state.going:
            return replace(state, by_command=True)
        if state.phase != "complete" and status.get("ended") == "failed":
            return replace(state, phase="failed", problem=status["problem"])
        if state.phase == "absent" and status and status.get("ended", "stopped") == "stopped":
            return replace(state, phase="stopped")
        return state


@dataclass(frozen=True)
class Task:
    """What the process of a job was given; `out` is the folder of folders of results."""

    files: JobFiles
    recipe: ExperimentConfig
    plan: Mapping[str, Any]
    root: Path | None
    jobs: int

    @classmethod
    def of(cls, files: JobFiles) -> "Task":
        plan = dict(read_json(files.file("plan.json")))
        recipe = ExperimentConfig.model_validate(plan.pop("recipe"))
        root, jobs = plan.pop("root"), processes.count_jobs(plan.pop("jobs"))
        return cls(files, recipe, plan, Path(root) if root else None, jobs)

    @property
    def out(self) -> Path:
        return self.files.folder.parent

    def report(self, phase: Phase, note: str = "") -> None:
        self.files.write_status(phase=phase, note=note)

    def load_maps(self) -> FlowSet:
        """The maps of the settings; it reports how far they are computed."""
        from hmrm_lab.preparation import load_flowset

        reported = 0.0

        def report(stage: str, done: float, total: int, note: str = "", /) -> None:
            nonlocal reported
            if time.monotonic() - reported > REPORT_S:
                reported = time.monotonic()
                self.report("preparing", f"{stage} of {done} of {total} clips")

        flowset = load_flowset(self.recipe, self.root, jobs=self.jobs, watch=report)
        processes.end_preparation_workers()
        return flowset


def wait_for(
    look: Callable[[], JobState], every_s: float, timeout_s: float | None, done: int | None = None
) -> JobState:
    """Look until nobody works on it, `done` parts of it are done, or `timeout_s` are over."""
    end = time.monotonic() + (float("inf") if timeout_s is None else timeout_s)
    while (state := look()).going and (done is None or state.done < done):
        left = end - time.monotonic()
        if left <= 0:
            break
        time.sleep(min(every_s, left))
    return state


def evaluate(task: Task) -> str:
    """Run an experiment as `hmrm run` does; what is wrong with the folds that failed, or ""."""
    from hmrm_lab.evaluation.summary import describe_failures
    from hmrm_lab.studies.experiment import run_experiment

    flowset = task.load_maps()
    task.report("running")
    run = run_experiment(task.recipe, out=task.out, jobs=task.jobs, flowset=flowset)
    return describe_failures(run)


def main() -> None:
    """Do the work of a job: 0 if it is complete, 1 if it failed, 143 if it was stopped."""
    folder, name, work, number = sys.argv[1:]
    files = JobFiles(Path(folder), name)
    with processes.held(files.file("lock"), int(number)):
        sys.exit(_attend(files, work, int(number)))


def _attend(files: JobFiles, work: str, number: int) -> int:
    """Do the work when its turn comes, and report how it ended."""
    module, function = work.split(":")
    try:
        with stoppable():
            _wait_for_turn(files, number)
            problem = getattr(import_module(module), function)(Task.of(files))
    except Stopped as stop:
        files.write_status(ended="stopped")
        return stop.exit_status
    except HmrmError as error:
        problem = str(error)
    except Exception as error:
        log = files.file("log")
        problem = f"{type(error).__name__}: {error} (see {log})"
        files.write_status(ended="failed", problem=problem)
        raise
    files.write_status(ended="failed" if problem else "done", problem=problem)
    if problem:
        sys.stderr.write(f"{problem}\n")
    return 1 if problem else 0


def _wait_for_turn(files: JobFiles, number: int) -> None:
    """Wait until no job of this folder is left that was started earlier."""
    while True:
        with processes.guard(files.folder):
            workers = files.workers().items()
        ahead = [name for name, worker in workers if worker.number < number]
        if not ahead:
            break
        runs = "run" if len(ahead) == 1 else "runs"
        files.write_status(phase="waiting", note=f"{len(ahead)} {runs} ahead: {', '.join(ahead)}")
        time.sleep(QUEUE_S)
    files.write_status(phase="preparing")


def _look_at_run(run: RunFolder) -> JobState:
    if not run.config_file.is_file():
        return JobState("absent")
    status, evaluated = read_status(run), (run.path / "metrics.json").is_file()
    all_there = evaluated and 0 < status.expected == status.done
    complete = all_there and run.metrics()["complete"]
    return JobState(
        phase="running" if status.in_work else "complete" if complete else "stopped",
        done=status.done,
        failed=status.failed,
        expected=status.expected,
        progress=status.folds / status.expected if status.expected else 0.0,
        epochs_per_s=status.epochs_per_s,
        seconds_left=status.seconds_left,
    )


def _launch(files: JobFiles, work: str) -> None:
    """Start the detached process of a job at the end of the queue; under the guard."""
    number = 1 + max((worker.number for worker in files.workers().values()), default=0)
    files.write_status(phase="preparing" if number == 1 else "waiting")
    where = [str(files.folder.absolute()), files.name, work, str(number)]
    detached: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        flags = subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP
        detached = {"creationflags": flags}
    with files.file("log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", PROGRAM, *where],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            **detached,
        )
    processes.write_worker(files.file("lock"), processes.Worker.of(process.pid, number))
    _started.append(process)
