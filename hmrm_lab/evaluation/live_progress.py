"""What is there of a run while it is going: folds, predictions and curves, as they arrive."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from hmrm_lab.config import ExperimentConfig
from hmrm_lab.evaluation.epoch_rules import PEEKING, rule_of
from hmrm_lab.evaluation.fold_progress import read_status
from hmrm_lab.evaluation.metrics import confusion, uf1
from hmrm_lab.evaluation.summary import stamp, weights_note
from hmrm_lab.records import Ints
from hmrm_lab.runtime.store import RunFolder, read_json

State = Literal["waiting", "in work", "done", "failed"]
Points = list[tuple[int, float]]  # epoch, training loss


@dataclass(frozen=True)
class FoldProgress:
    """One held-out subject, over all seeds."""

    fold: str  # data set/subject; empty where an older run does not say who waits
    state: State
    share: float  # of the epochs of all seeds that are trained, 0 to 1
    clips: int = 0  # held out
    right: int = 0  # clips answered right, over the seeds that are done
    answered: int = 0
    reason: str = ""  # of a failure


@dataclass(frozen=True)
class Arrived:
    """All that has arrived.

    Shapes
    ------
    classes : (K,), their names
    counts : (S, K, K); true class by predicted class, for each seed that has answered
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
        """UF1 of what has arrived, the mean over seeds; None before the first fold is done."""
        return float(uf1(self.counts).mean()) if len(self.counts) else None

    @property
    def score(self) -> str:
        """UF1 with what it rests on. Of an incomplete run it is no result."""
        if self.uf1 is None:
            return "No fold is done yet."
        so_far = "" if self.done == self.expected else " so far: not a result yet"
        return f"UF1 {self.uf1:.3f}{so_far}. {self.stamp}"


NOTHING = Arrived(
    folds=(),
    done=0,
    expected=0,
    classes=(),
    counts=np.zeros((0, 0, 0), np.int64),
    finished=(),
    in_work=(),
    epochs=1,
    stamp="",
)


class ArrivalReader:
    """Reads a run folder again and again. A finished unit never changes, and is read once.

    Of a unit in work the folder tells the last epoch alone, so that its curve has the points that
    this reader has seen.
    """

    def __init__(self, run: RunFolder) -> None:
        self.run = run
        self._units: dict[str, dict[str, Any]] = {}
        self._seen: dict[str, dict[int, float]] = {}

    def read(self) -> Arrived:
        """What is there now: `NOTHING` before the run has begun."""
        if not self.run.config_file.is_file():
            return NOTHING
        config, data, status = self.run.config(), self.run.data(), read_status(self.run)
        self._read_units()
        units = list(self._units.values())
        failures = {(one["fold"], one["seed"]): one for one in self.run.failures()}
        shares = {
            (one["fold"], one["seed"]): one["epoch"] / one["epochs"] for one in status.in_work
        }
        held_out = data.get("held_out", {})  # older runs do not say it
        names = [*held_out, *(unit["fold"] for unit in units)]
        names += [fold for fold, _ in (*failures, *shares)]
        seeds = config.evaluation.seeds
        folds = [
            _progress(
                name,
                held_out.get(name, 0),
                [unit for unit in units if unit["fold"] == name],
                [shares[name, seed] for seed in seeds if (name, seed) in shares],
                [failures[name, seed] for seed in seeds if (name, seed) in failures],
                len(seeds),
            )
            for name in sorted(set(names))
        ]
        nameless = FoldProgress("", "waiting", 0.0)
        folds += [nameless] * (data["folds"] - len(folds))
        return Arrived(
            folds=tuple(folds),
            done=len(units),
            expected=data["folds"] * len(seeds),
            classes=tuple(data["classes"]),
            counts=_counts(units, len(data["classes"])),
            finished=tuple(
                list(enumerate(unit["losses"], start=1)) for unit in units if unit["losses"]
            ),
            in_work=self._curves_in_work(status.in_work),
            epochs=config.training.epochs,
            stamp=_stamp(config, units, data, len(failures)),
        )

    def _read_units(self) -> None:
        files = {path.name: path for path in sorted(self.run.folds.glob("*.json"))}
        self._units = {
            name: self._units.get(name) or read_json(path) for name, path in files.items()
        }

    def _curves_in_work(self, in_work: tuple[dict[str, Any], ...]) -> tuple[Points, ...]:
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
    units: list[dict[str, Any]],
    shares: list[float],
    failures: list[dict[str, Any]],
    seeds: int,
) -> FoldProgress:
    rows = [row for unit in units for row in unit["predictions"]]
    state: State = "done" if len(units) == seeds else "waiting"
    if shares:
        state = "in work"
    elif failures:
        state = "failed"
    return FoldProgress(
        fold=name,
        state=state,
        share=(len(units) + sum(shares)) / seeds,
        clips=clips,
        right=sum(row["truth"] == row["prediction"] for row in rows),
        answered=len(rows),
        reason="; ".join(sorted({f"{one['kind']}: {one['reason']}" for one in failures})),
    )


def _stamp(
    config: ExperimentConfig, units: list[dict[str, Any]], data: dict[str, Any], failed: int
) -> str:
    """As under every table and figure, for the units that are there."""
    expected = data["folds"] * len(config.evaluation.seeds)
    return stamp(
        {
            "preset": config.preset,
            "epoch_rule": rule_of(config),
            "peeking": rule_of(config) in PEEKING,
            "control": config.evaluation.control,
            **weights_note(config, data),
            "all": {"subjects": len({unit["fold"] for unit in units})},
            "seeds": sorted({unit["seed"] for unit in units}),
            "complete": len(units) == expected,
            "units_done": len(units),
            "units_expected": expected,
            "units_failed": failed,
        }
    )


def _counts(units: list[dict[str, Any]], classes: int) -> Ints:
    """(S, K, K)."""
    by_seed = []
    for seed in sorted({unit["seed"] for unit in units}):
        rows = [row for unit in units if unit["seed"] == seed for row in unit["predictions"]]
        truth = np.array([row["truth"] for row in rows], np.int64)
        prediction = np.array([row["prediction"] for row in rows], np.int64)
        by_seed.append(confusion(truth, prediction, classes))
    return np.array(by_seed, np.int64).reshape(-1, classes, classes)
