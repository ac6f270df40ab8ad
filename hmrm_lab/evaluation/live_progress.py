"""Live progress of a run: the state of its folds, its predictions and curves so far."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from hmrm_lab.config import ExperimentConfig
from hmrm_lab.evaluation.fold_progress import read_status
from hmrm_lab.evaluation.metrics import confusion_by_subject, uf1
from hmrm_lab.evaluation.summary import stamp, stamp_fields
from hmrm_lab.records import Ints, Predictions
from hmrm_lab.runtime.store import RunFolder, read_json

State = Literal["waiting", "in work", "done", "failed"]
Fields = Mapping[str, Any]
Points = list[tuple[int, float]]  # epoch, training loss


@dataclass(frozen=True)
class FoldProgress:
    """One fold, over all seeds."""

    fold: str
    state: State
    share: float  # of the epochs of all seeds that are trained, 0 to 1
    clips: int = 0  # held out
    right: int = 0  # predicted correctly, over the seeds that are done
    answered: int = 0  # predicted, likewise
    reason: str = ""  # of a failure


@dataclass(frozen=True)
class RunSnapshot:
    """The state of a run at one moment.

    Shapes
    ------
    classes : (K,), their names
    counts : (S, K, K); true class by predicted class, for each seed with a finished fold
    """

    folds: tuple[FoldProgress, ...]
    done: int  # folds times seeds
    expected: int
    classes: tuple[str, ...]
    counts: Ints
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
    """Reads a run folder repeatedly. A finished fold never changes, and is read once.

    The folder has only the last epoch of a fold in work, so that its curve has the points that this
    reader has seen.
    """

    def __init__(self, run: RunFolder) -> None:
        self.run = run
        self._units: dict[str, Fields] = {}
        self._seen: dict[str, dict[int, float]] = {}

    def read(self) -> RunSnapshot:
        """Read the present state: `NOTHING` before the run has begun."""
        if not self.run.config_file.is_file():
            return NOTHING
        config, data, status = self.run.config(), self.run.data(), read_status(self.run)
        files = {path.name: path for path in sorted(self.run.folds.glob("*.json"))}
        self._units = {n: self._units.get(n) or read_json(path) for n, path in files.items()}
        units, failures = list(self._units.values()), self.run.failures()
        rows = [row for unit in units for row in unit["predictions"]]
        k = len(data["classes"])
        nothing: tuple[list[str], list[int], Ints] = [], [], np.zeros((0, 0, k, k), np.int64)
        predictions = Predictions.of_rows(rows) if rows else None
        subjects, seeds, counts = confusion_by_subject(predictions) if predictions else nothing
        metrics = {
            **stamp_fields(config, data, done=len(units), failed=len(failures)),
            "all": {"subjects": len(subjects)},
            "seeds": seeds,
        }
        return RunSnapshot(
            folds=tuple(
                _progress(name, clips, config, units, status.in_work, failures)
                for name, clips in sorted(data["held_out"].items())
            ),
            done=len(units),
            expected=metrics["units_expected"],
            classes=tuple(data["classes"]),
            counts=counts.sum(0),
            finished=tuple(
                list(enumerate(unit["losses"], start=1)) for unit in units if unit["losses"]
            ),
            in_work=self._curves_in_work(status.in_work),
            epochs=config.training.epochs,
            stamp=stamp(metrics),
        )

    def _curves_in_work(self, in_work: Sequence[Fields]) -> tuple[Points, ...]:
        seen = {}
        for one in in_work:
            key = f"{one['fold']} {one['seed']}"
            before = self._seen.get(key, {})
            kept = {epoch: loss for epoch, loss in before.items() if epoch < one["epoch"]}
            seen[key] = kept | {one["epoch"]: one["loss"]}
        self._seen = seen
        return tuple(sorted(points.items()) for points in seen.values())


def _progress(
    name: str,
    clips: int,
    config: ExperimentConfig,
    units: Sequence[Fields],
    in_work: Sequence[Fields],
    failures: Sequence[Fields],
) -> FoldProgress:
    seeds = config.evaluation.seeds
    units, in_work, failures = (
        [one for one in some if one["fold"] == name and one["seed"] in seeds]
        for some in (units, in_work, failures)
    )
    rows = [row for unit in units for row in unit["predictions"]]
    state: State = "done" if len(units) == len(seeds) else "waiting"
    state = "in work" if in_work else "failed" if failures else state
    shares = sum(one["epoch"] / one["epochs"] for one in in_work)
    return FoldProgress(
        fold=name,
        state=state,
        share=(len(units) + shares) / len(seeds),
        clips=clips,
        right=sum(row["truth"] == row["prediction"] for row in rows),
        answered=len(rows),
        reason="; ".join(sorted({f"{one['kind']}: {one['reason']}" for one in failures})),
    )
