"""Progress file and checkpoint of a running fold, and the progress of a whole run.

Both are files in `running/` of the run folder, so that another process, such as a notebook opened
again, sees the progress of a run that it did not start. They are removed when the fold is done.
"""

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Any

from hmrm_lab.runtime.processes import is_alive
from hmrm_lab.runtime.progress import Watcher, describe_speed
from hmrm_lab.runtime.store import RunFolder, parse_json, refuse_full_disk
from hmrm_lab.training.checkpoint import EVERY_SECONDS, Checkpoint

WRITE_SECONDS = 0.5
WATCH_SECONDS = 1.0
SILENCE_SECONDS = 600.0  # a silent process on another machine counts as dead after this


@dataclass
class RunningFold:
    """The files of one running fold."""

    run: RunFolder
    fold: str
    seed: int
    every_s: float = EVERY_SECONDS
    _began: float = field(default_factory=time.time, init=False)
    _written: float = field(default=0.0, init=False)
    _first: int = field(default=-1, init=False)

    @property
    def status_file(self) -> Path:
        return self.run.running / self.run.fold_file(self.fold, self.seed).name

    def checkpoint(self, stage: str = "") -> Checkpoint:
        """Return the checkpoint of one training; one that another training follows has a stage."""
        return Checkpoint(self._file(stage), self.every_s, keep_end=bool(stage), tell=self._tell)

    def clear(self) -> None:
        for path in (self.status_file, self._file(""), self._file("inner")):
            path.unlink(missing_ok=True)

    def _file(self, stage: str) -> Path:
        return self.status_file.with_suffix(f"{'.' + stage if stage else ''}.safetensors")

    def _tell(self, done: int, epochs: int, loss: float) -> None:
        """Write the progress of the training, at most twice a second."""
        now = time.time()
        if self._first < 0 or done < self._first:  # resumed at a later epoch, or restarted
            self._first, self._began = done - 1, now if self._first >= 0 else self._began
        if now - self._written < WRITE_SECONDS and done < epochs:
            return
        self._written = now
        status = {
            "fold": self.fold,
            "seed": self.seed,
            "epoch": done,
            "epochs": epochs,
            "loss": round(loss, 6),
            "epochs_per_s": (done - self._first) / max(now - self._began, 1e-3),
            "process": os.getpid(),
            "host": socket.gethostname(),
            "updated": now,
        }
        self._write(json.dumps(status))

    def _write(self, status: str) -> None:
        """Replace the status, without a flush: it is read only while the machine is up."""
        beside = self.status_file.with_suffix(f".{os.getpid()}.part")
        try:
            beside.parent.mkdir(parents=True, exist_ok=True)
            beside.write_text(status, encoding="utf-8")
            beside.replace(self.status_file)
        except OSError as error:
            beside.unlink(missing_ok=True)
            refuse_full_disk(error, beside.parent)
            raise


@dataclass(frozen=True)
class RunStatus:
    """The progress of a run; `in_work` has the status of each fold in a living process."""

    done: int
    failed: int
    expected: int
    in_work: tuple[dict[str, Any], ...]

    @property
    def epochs_per_s(self) -> float:
        return float(sum(unit["epochs_per_s"] for unit in self.in_work))

    @property
    def folds(self) -> float:
        """Number of folds done, with the shares of those in work."""
        return self.done + float(sum(unit["epoch"] / unit["epochs"] for unit in self.in_work))

    @property
    def seconds_left(self) -> float | None:
        """Remaining time at the present speed; None while nothing is in work."""
        if not self.epochs_per_s:
            return None
        epochs = int(max(unit["epochs"] for unit in self.in_work))
        return max(0.0, self.expected - self.failed - self.folds) * epochs / self.epochs_per_s


def read_status(run: RunFolder) -> RunStatus:
    """Read the progress of a run, whichever process works on it."""
    finished = {path.stem for path in run.folds.glob("*.json")}
    in_work = []
    for path in sorted(run.running.glob("*.json")):
        status = _read(path)
        if status and path.stem not in finished and _alive(status):
            in_work.append(status)
    expected = run.data()["folds"] * len(run.config().evaluation.seeds)
    return RunStatus(len(finished), len(run.failures()), expected, tuple(in_work))


@contextmanager
def watching(run: RunFolder, watch: Watcher, stage: str) -> Iterator[None]:
    """Report the folds' progress once a second until the work inside ends, however it ends."""
    ended = Event()

    def report() -> None:
        while not ended.wait(WATCH_SECONDS):
            status = read_status(run)
            watch(stage, status.folds, status.expected, describe_speed(status))
        status = read_status(run)
        watch(stage, status.done, status.expected)

    thread = Thread(target=report, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _read(path: Path) -> dict[str, Any] | None:
    """A status; None if it is removed at this moment, or damaged."""
    try:
        status = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return status if isinstance(status, dict) and "epochs_per_s" in status else None


def _alive(status: dict[str, Any]) -> bool:
    known = is_alive(status["process"]) if status["host"] == socket.gethostname() else None
    recent = time.time() - status["updated"] < SILENCE_SECONDS
    return bool(recent if known is None else known)
