"""Progress of a run, read from its folder, whichever process works on it."""

import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Thread
from typing import Any, Literal

import numpy as np

from hmrm_lab.errors import InputError
from hmrm_lab.evaluation.metrics import confusion_by_subject, uf1
from hmrm_lab.evaluation.summary import stamp, stamp_fields
from hmrm_lab.records import Ints, Predictions
from hmrm_lab.runtime.processes import is_alive
from hmrm_lab.runtime.progress import Watcher, describe_speed
from hmrm_lab.runtime.store import RunFolder, read_json

WATCH_SECONDS = 1.0
SILENCE_SECONDS = 600.0  # a silent process on another machine counts as dead after this
State = Literal["waiting", "in work", "done", "failed"]
Fields = Mapping[str, Any]
Points = list[tuple[int, float]]  # epoch, training loss
Counts = tuple[list[str], list[int], Ints]  # of subjects and seeds


@dataclass(frozen=True)
class RunStatus:
    done: int
    failed: int
    expected: int
    in_work: tuple[dict[str, Any], ...]  # the status of each fold in a living process

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
    finished = {path.stem for path in run.folds.glob("*.json")}
    in_work = []
    for path in sorted(run.running.glob("*.json")):
        try:
            status = read_json(path)
        except (OSError, InputError):  # removed at this moment, or damaged
            continue
        if path.stem in finished or not isinstance(status, dict) or "epochs_per_s" not in status:
            continue
        here, silent = status["host"] == socket.gethostname(), time.time() - status["updated"]
        if is_alive(status["process"]) if here else silent < SILENCE_SECONDS:
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
            speed = describe_speed(status.epochs_per_s, status.seconds_left)
            watch(stage, status.folds, status.expected, speed)
        status = read_status(run)
        watch(stage, status.done, status.expected)

    thread = Thread(target=report, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@dataclass(frozen=True)
class FoldProgress:
    fold: str
    state: State
    share: float  # of the epochs of all seeds that are trained, 0 to 1
    clips: int = 0  # held out
    right: int = 0  # predicted correctly, over the seeds that are done
    answered: int = 0  # predicted, likewise
    reason: str = ""  # of a failure


@dataclass(frozen=True)
class RunSnapshot:
    folds: tuple[FoldProgress, ...]
    done: int  # folds times seeds
    expected: int
    classes: tuple[str, ...]
    counts: Ints  # (S, K, K): true by predicted class, for each seed with a finished fold
    finished: tuple[Points, ...]
    in_work: tuple[Points, ...]
    epochs: int
    stamp: str  # epoch rule, control, folds; empty before the run has begun

    @property
    def uf1(self) -> float | None:
        """UF1 so far, the mean over seeds; None before the first fold is done."""
        return float(uf1(self.counts).mean()) if len(self.counts) else None

    @property
    def score(self) -> str:
        """UF1 in words, with the stamp. Of an incomplete run it is no result."""
        if self.uf1 is None:
            return "No fold is done yet."
        so_far = "" if self.done == self.expected else " so far: not a result yet"
        return f"UF1 {self.uf1:.3f}{so_far}. {self.stamp}"


NOTHING = RunSnapshot((), 0, 0, (), np.zeros((0, 0, 0), np.int64), (), (), epochs=1, stamp="")


class SnapshotReader:
    """Reads a run folder repeatedly; a finished fold never changes, and is read once."""

    def __init__(self, run: RunFolder) -> None:
        self.run = run
        self._units: dict[str, Fields] = {}
        self._seen: dict[tuple[str, int], dict[int, float]] = {}  # the folder has the last epoch

    def read(self) -> RunSnapshot:
        if not self.run.config_file.is_file():
            return NOTHING
        config, data, status = self.run.config(), self.run.data(), read_status(self.run)
        files = {path.name: path for path in sorted(self.run.folds.glob("*.json"))}
        self._units = {n: self._units.get(n) or read_json(path) for n, path in files.items()}
        units, failures = list(self._units.values()), self.run.failures()
        rows = [row for unit in units for row in unit["predictions"]]
        k = len(data["classes"])
        found: Counts = ([], [], np.zeros((0, 0, k, k), np.int64))
        subjects, seeds, counts = confusion_by_subject(Predictions.of_rows(rows)) if rows else found
        metrics = stamp_fields(config, data, done=len(units), failed=len(failures))
        metrics |= {"all": {"subjects": len(subjects)}, "seeds": seeds}
        before, self._seen = self._seen, {}
        for one in status.in_work:
            key, now = (one["fold"], one["seed"]), one["epoch"]
            kept = {epoch: loss for epoch, loss in before.get(key, {}).items() if epoch < now}
            self._seen[key] = kept | {now: one["loss"]}
        return RunSnapshot(
            folds=tuple(
                _progress(name, clips, config.evaluation.seeds, units, status.in_work, failures)
                for name, clips in sorted(data["held_out"].items())
            ),
            done=len(units),
            expected=metrics["units_expected"],
            classes=tuple(data["classes"]),
            counts=counts.sum(0),
            finished=tuple(list(enumerate(u["losses"], 1)) for u in units if u["losses"]),
            in_work=tuple(sorted(points.items()) for points in self._seen.values()),
            epochs=config.training.epochs,
            stamp=stamp(metrics),
        )


def _progress(
    name: str, clips: int, seeds: Sequence[int], *records: Sequence[Fields]
) -> FoldProgress:
    units, in_work, failures = (
        [one for one in some if one["fold"] == name and one["seed"] in seeds] for some in records
    )
    rows = [row for unit in units for row in unit["predictions"]]
    state: State = "done" if len(units) == len(seeds) else "waiting"
    state = "in work" if in_work else "failed" if failures else state
    shares = sum(one["epoch"] / one["epochs"] for one in in_work)
    right = sum(row["truth"] == row["prediction"] for row in rows)
    reason = "; ".join(sorted({f"{one['kind']}: {one['reason']}" for one in failures}))
    share = (len(units) + shares) / len(seeds)
    return FoldProgress(name, state, share, clips, right, len(rows), reason)
