"""What one setting of a sweep has answered, and the figures computed from that."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from hmrm_lab.errors import HmrmError
from hmrm_lab.evaluation.metrics import confusion, confusion_of, uf1
from hmrm_lab.evaluation.significance import bootstrap_interval, pooled
from hmrm_lab.evaluation.summary import stamp, summarise
from hmrm_lab.records import Ints, Predictions, classes_of

NOT_A_TEST = "Inner folds of the development subjects, not a test result"


@dataclass(frozen=True)
class Cell:
    """A setting and the record of its trainings, one for each group and seed."""

    settings: dict[str, Any]
    record: dict[str, Any]

    @property
    def problem(self) -> str:
        """Why there is no score; empty if there is one."""
        return str(self.record["problem"])

    @cached_property
    def predictions(self) -> Predictions:
        """The answers for every development subject, each given by a model that had not met it."""
        rows = [row for unit in self.record["units"] for row in unit["predictions"]]
        return Predictions.of_rows(rows)

    @cached_property
    def score(self) -> float:
        """UF1 of the counts of all groups, the mean over seeds; NaN where training diverged."""
        return math.nan if self.problem else pooled(self.predictions, "uf1")

    @cached_property
    def interval(self) -> tuple[float, float]:
        """95 % bootstrap interval over the development subjects."""
        if self.problem:
            return math.nan, math.nan
        return bootstrap_interval(self.predictions, "uf1")

    @property
    def confusion(self) -> Ints:
        """Counts over all groups and seeds. (K, K)."""
        return confusion_of(self.predictions)

    @property
    def seconds(self) -> float:
        return float(sum(unit["seconds"] for unit in self.record["units"]))

    @property
    def seeds(self) -> list[int]:
        return sorted({int(unit["seed"]) for unit in self.record["units"]})

    def groups(self) -> pd.DataFrame:
        """One row for each group and seed: who was held out, and how the system did on them."""
        return pd.DataFrame([_group_row(unit) for unit in self.record["units"]])

    def history(self) -> pd.DataFrame:
        """Training loss per epoch: columns fold, seed, epoch, loss."""
        rows = [
            (unit["fold"], unit["seed"], epoch, loss)
            for unit in self.record["units"]
            for epoch, loss in enumerate(unit["losses"], start=1)
        ]
        return pd.DataFrame(rows, columns=["fold", "seed", "epoch", "loss"])

    def metrics(self) -> dict[str, Any]:
        """The same figures as those of a run, for the figures of a run."""
        return {
            **summarise(self.predictions),
            "epoch_rule": self.record["epoch_rule"],
            "control": self.record["control"],
            "preset": self.record.get("preset"),
            "peeking": False,
            "complete": True,
        }

    def caption(self) -> str:
        """What every figure of this cell says below it."""
        return f"{NOT_A_TEST}; {stamp(self.metrics())}"


def cells_table(cells: Iterable[Cell]) -> pd.DataFrame:
    """One row per cell: its settings by name, UF1 with its interval, and what it cost."""
    return pd.DataFrame([_row(cell) for cell in cells])


def on_front(table: pd.DataFrame) -> "pd.Series[bool]":
    """Whether a row is on the Pareto front of UF1 (up) and Parameters (down).

    No other row is better in one of the two and at least as good in the other. A row without a
    score is not on it.
    """
    score, cost = table["UF1"].to_numpy(float), table["Parameters"].to_numpy(float)
    no_worse = (score >= score[:, None]) & (cost <= cost[:, None])  # [i, j]: j beside i
    better = (score > score[:, None]) | (cost < cost[:, None])
    front = ~(no_worse & better).any(axis=1) & ~np.isnan(score)
    return pd.Series(front, index=table.index)


def best_cell(cells: Iterable[Cell]) -> Cell:
    """The one with the highest score, the first of equals; an `HmrmError` if none has a score."""
    scored = [cell for cell in cells if not cell.problem]
    if not scored:
        raise HmrmError("no setting has a score: every training failed")
    return max(scored, key=lambda cell: cell.score)


def _row(cell: Cell) -> dict[str, Any]:
    low, high = cell.interval
    return {
        **cell.settings,
        "UF1": cell.score,
        "UF1 low": low,
        "UF1 high": high,
        "Parameters": cell.record["parameters"],
        "Seeds": len(cell.seeds),
        "Seconds": round(cell.seconds, 1),
        "Note": cell.problem,
    }


def _group_row(unit: dict[str, Any]) -> dict[str, Any]:
    rows = unit["predictions"]
    truth = np.array([row["truth"] for row in rows], dtype=np.int64)
    answers = np.array([row["prediction"] for row in rows], dtype=np.int64)
    return {
        "Seed": unit["seed"],
        "Group": unit["fold"],
        "Subjects": len({(row["dataset"], row["subject"]) for row in rows}),
        "Clips": len(rows),
        "Right": int((truth == answers).sum()),
        "UF1": float(uf1(confusion(truth, answers, len(classes_of(rows[0]))))),
        "Seconds": unit["seconds"],
    }
