"""Sweeps over hyper-parameters that never look at a leave-one-subject-out score (paper 4.4.4).

The subjects are dealt into two halves. Only the first, the development half, takes part: its
subjects are dealt into groups, a system is trained on all groups but one and answers for that one,
and the counts of all groups are pooled into one UF1. The other half has no say in what is chosen
(decision 0013).

```
OUT/sweep-<digest8>/
    sweep.json             the recipe, the data, the subjects of the development half
    cells/<digest>.json    one setting: its answers and losses; written once, never replaced
    optuna.journal         what a search has tried
    search-<digest8>.lock  held by the process that works on it
    unsealed/<digest>.json     an outer score that was looked at; see `unseal`
```
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from joblib import delayed

from hmrm_lab.config import ExperimentConfig, override
from hmrm_lab.errors import ConfigError, DivergedError, InputError
from hmrm_lab.evaluation.cost import cost_of
from hmrm_lab.evaluation.epoch_rules import PEEKING, rule_of
from hmrm_lab.evaluation.fold import Unit, run_unit
from hmrm_lab.evaluation.splits import inner_subject_folds
from hmrm_lab.records import FlowSet
from hmrm_lab.runtime.processes import workers
from hmrm_lab.runtime.store import read_json, to_json, write_once
from hmrm_lab.studies.cells import Cell

Point = Mapping[str, Any]  # settings by name, such as {"model.width": 64, "model.depth": 4}

PAPER_GRID = {
    "model.width": tuple(range(64, 385, 64)),
    "model.depth": tuple(range(2, 13, 2)),
}  # Figure 7
GROUPS = 5
DEAL = 0  # of the two halves
SWEPT = (
    *("input.", "model.", "augment.", "loss.", "training."),
    *("evaluation.readout", "evaluation.tta_"),  # how a trained model is asked
)


@dataclass(frozen=True)
class Sweep:
    """One recipe on one data set, and the folder that keeps what its settings score."""

    base: ExperimentConfig
    folder: Path

    @classmethod
    def of(cls, base: ExperimentConfig, flowset: FlowSet, out: Path = Path("runs")) -> "Sweep":
        """The sweep of this recipe on these maps. Nothing is written.

        Raises `ConfigError` for an epoch rule that looks at the subjects held out.
        """
        refuse_peeking(base)
        text = f"{base.digest()} {flowset.fingerprint()} {GROUPS} {DEAL}"
        return cls(base, out / f"sweep-{hashlib.sha256(text.encode()).hexdigest()[:8]}")

    def config(self, point: Point) -> ExperimentConfig:
        """The recipe with these settings, or a `ConfigError`."""
        return changed(self.base, point)

    def file(self, point: Point) -> Path:
        return self.folder / "cells" / f"{self.config(point).digest()}.json"

    def cell(self, point: Point) -> Cell | None:
        """What this setting scores, if it has been tried."""
        file = self.file(point)
        return Cell(dict(point), read_json(file)) if file.is_file() else None


def refuse_peeking(recipe: ExperimentConfig) -> None:
    """A `ConfigError` for an epoch rule that looks at the subjects held out."""
    if recipe.evaluation.epoch_rule in PEEKING:
        raise ConfigError(
            f"epoch rule {recipe.evaluation.epoch_rule} would choose what peeks best",
            mend="take last or inner_subjects",
        )


def changed(recipe: ExperimentConfig, point: Point) -> ExperimentConfig:
    """The recipe with these settings; a `ConfigError` for what a sweep may not vary."""
    for key in point:
        if not key.startswith(SWEPT) or key == "model.name":
            raise ConfigError(
                f"a sweep cannot vary {key}",
                mend=f"it varies settings of {', '.join(part.rstrip('._') for part in SWEPT)}",
            )
    return override(recipe, overrides_of(point))


def overrides_of(point: Point) -> list[str]:
    """The settings as `--set` takes them."""
    structured = (bool, list, tuple)  # whose Python form is no TOML
    return [
        f"{key}={json.dumps(value) if isinstance(value, structured) else value}"
        for key, value in point.items()
    ]


def grid(values: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Every combination, the first setting slowest."""
    return [
        dict(zip(values, combination, strict=True)) for combination in product(*values.values())
    ]


def whole_numbers(name: str, text: str) -> tuple[int, ...]:
    """`"64 128"` as (64, 128); a `ConfigError` that names the setting for anything else."""
    if not text.split() or not all(word.isdigit() and int(word) for word in text.split()):
        raise ConfigError(f"{name}: '{text}' are not whole numbers", mend="write them as 64 128")
    return tuple(sorted({int(word) for word in text.split()}))


def development_half(flowset: FlowSet) -> FlowSet:
    """The clips of the subjects that may be looked at while settings are chosen."""
    if len(set(flowset.persons)) < 4:
        raise InputError(
            f"{len(set(flowset.persons))} subjects are too few for a sweep",
            mend="take data of four subjects at least",
        )
    return flowset.take(next(inner_subject_folds(flowset, 2, DEAL)).test)


def run_cells(
    sweep: Sweep,
    flowset: FlowSet,
    points: Sequence[Point],
    *,
    jobs: int = 1,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Score every setting that has no cell yet, `jobs` at a time.

    A cell is kept as soon as it is done, so that a sweep that was cut off goes on where it was.
    """
    files = [sweep.file(point) for point in points]  # tells a mistyped setting before any work
    half = begin(sweep, flowset)
    missing = [point for point, file in zip(points, files, strict=True) if not file.is_file()]
    done = len(points) - len(missing)
    on_progress(done, len(points))
    pool = workers(min(jobs, len(missing)), "generator_unordered")
    for _ in pool(delayed(make_cell)(sweep, half, point) for point in missing):
        done += 1
        on_progress(done, len(points))


def begin(sweep: Sweep, flowset: FlowSet) -> FlowSet:
    """Write down what the sweep rests on; the development half."""
    half = development_half(flowset)
    record = {
        "recipe": sweep.base.model_dump(mode="json"),
        "fingerprint": flowset.fingerprint(),
        "development_subjects": sorted(set(half.persons)),
        "other_subjects": sorted(set(flowset.persons) - set(half.persons)),
    }
    write_once(sweep.folder / "sweep.json", to_json(record))
    return half


def make_cell(sweep: Sweep, half: FlowSet, point: Point) -> Cell:
    """Train and answer for every group under every seed, and keep it.

    A setting whose training diverges has a cell as well: it says so, and has no score.
    """
    config = sweep.config(point)
    record: dict[str, Any] = {
        "settings": dict(point),
        "parameters": cost_of(config, half.maps.shape[-1], len(half.classes))["parameters"],
        "epoch_rule": rule_of(config),
        "control": config.evaluation.control,
        "preset": config.preset,
        "units": [],
        "problem": "",
    }
    groups = min(GROUPS, len(set(half.persons)))
    try:
        for seed in config.evaluation.seeds:
            for fold in inner_subject_folds(half, groups, seed):
                record["units"].append(run_unit(config, half, Unit(fold, seed)))
    except DivergedError as error:
        record["problem"] = str(error)
    write_once(sweep.file(point), to_json(record))
    return Cell(dict(point), read_json(sweep.file(point)))
