"""Trials: settings scored on inner folds, without looking at a leave-one-subject-out score (4.4.4).

Only one half of the subjects takes part, the development half: a system is trained on all groups
of them but one and tested on that one, and the counts of all groups are pooled into one UF1. The
other half is not used for selection (decision 0013).

`OUT/sweep-<digest>/` has the recipe and the halves in `sweep.json`, each trial in `cells/`, written
once, what a search has tried in `optuna.journal`, and in `outer_scores/` the leave-one-subject-out
scores of settings that were chosen. They are computed on request and counted, for each is one more
choice that the score may enter.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hmrm_lab.config import ExperimentConfig, override
from hmrm_lab.config.sections import LOSO
from hmrm_lab.errors import ConfigError, DivergedError, FailedFoldsError, InputError
from hmrm_lab.evaluation.cost import cost_of
from hmrm_lab.evaluation.fold import PEEKING, FoldRun, history_of, rule_of, run_fold
from hmrm_lab.evaluation.ledger import Evaluations, count_evaluations
from hmrm_lab.evaluation.metrics import confusion_of
from hmrm_lab.evaluation.protocols import inner_subject_folds
from hmrm_lab.evaluation.significance import bootstrap_interval, paired_test, pooled
from hmrm_lab.evaluation.summary import collect_predictions, describe_failures, stamp, summarise
from hmrm_lab.records import FlowSet, Ints, Predictions
from hmrm_lab.runtime.progress import UNWATCHED, Watcher
from hmrm_lab.runtime.store import RunFolder, read_json, to_json, write_once
from hmrm_lab.studies.experiment import run_experiment
from hmrm_lab.training.action_units import units_to_learn

Point = Mapping[str, Any]  # settings by name, such as {"model.width": 64, "model.depth": 4}

GROUPS = 5
DEAL = 0  # seed of the two halves
SWEPT = (
    *("input.", "model.", "augment.", "loss.", "training."),
    *("evaluation.readout", "evaluation.tta_"),  # how a trained model is asked
)
ALL = "all subjects"
HELD_OUT = "held-out half, not used for selection"
DEVELOPMENT = "development half, used for selection"
NOT_A_TEST = "Inner folds of the development subjects, not a test result"


@dataclass(frozen=True)
class Trial:
    """A setting and the record of its trainings, one for each group and seed."""

    settings: dict[str, Any]
    record: dict[str, Any]

    @property
    def problem(self) -> str:
        return str(self.record["problem"])

    @cached_property
    def predictions(self) -> Predictions:
        """Predictions for every development subject, by models that were not trained on it."""
        rows = [row for unit in self.record["units"] for row in unit["predictions"]]
        return Predictions.of_rows(rows)

    @cached_property
    def score(self) -> float:
        """UF1 of the counts of all groups, the mean over seeds; NaN where training diverged."""
        return math.nan if self.problem else pooled(self.predictions, "uf1")

    @cached_property
    def interval(self) -> tuple[float, float]:
        """95 % bootstrap interval over the development subjects."""
        return (math.nan,) * 2 if self.problem else bootstrap_interval(self.predictions, "uf1")

    @property
    def confusion(self) -> Ints:
        return confusion_of(self.predictions)

    @property
    def seconds(self) -> float:
        return float(sum(unit["seconds"] for unit in self.record["units"]))

    def groups(self) -> pd.DataFrame:
        """One row for each group and seed: subjects held out, clips, and how many are right."""
        rows = []
        for unit in self.record["units"]:
            answers = Predictions.of_rows(unit["predictions"])
            right = int((answers.table["truth"] == answers.table["prediction"]).sum())
            counts = answers.subjects.nunique(), len(answers), right
            uf1 = pooled(answers, "uf1")
            rows.append((unit["seed"], unit["fold"], *counts, uf1, unit["seconds"]))
        columns = ["Seed", "Group", "Subjects", "Clips", "Right", "UF1", "Seconds"]
        return pd.DataFrame(rows, columns=columns)

    def history(self) -> pd.DataFrame:
        """Training loss per epoch: columns fold, seed, epoch, loss."""
        return history_of(self.record["units"])

    def metrics(self) -> dict[str, Any]:
        sets = self.record["train_on"]
        return {
            **summarise(self.predictions),
            "epoch_rule": self.record["epoch_rule"],
            "control": self.record["control"],
            "preset": self.record["preset"],
            "protocol": f"inner folds trained on {sets}" if sets else LOSO,
            "peeking": False,
            "complete": True,
        }

    def caption(self) -> str:
        return f"{NOT_A_TEST}; {stamp(self.metrics())}"


@dataclass(frozen=True)
class Sweep:
    """One recipe on one data set, and the folder that keeps what its settings score."""

    base: ExperimentConfig
    folder: Path

    @classmethod
    def of(
        cls, base: ExperimentConfig, flowset: FlowSet, out: Path = Path("runs"), kind: str = "sweep"
    ) -> "Sweep":
        """The sweep of this recipe on these maps. Nothing is written."""
        refuse_peeking(base)
        text = f"{base.digest()} {flowset.fingerprint()} {GROUPS} {DEAL}"
        return cls(base, out / f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:8]}")

    def config(self, point: Point) -> ExperimentConfig:
        return changed(self.base, point)

    def file(self, point: Point) -> Path:
        return self.folder / "cells" / f"{self.config(point).digest()}.json"

    def trial(self, point: Point) -> Trial | None:
        """What this setting scores, if it has been tried."""
        file = self.file(point)
        return Trial(dict(point), read_json(file)) if file.is_file() else None


def refuse_peeking(recipe: ExperimentConfig) -> None:
    """A `ConfigError` for an epoch rule that looks at the subjects held out."""
    if recipe.evaluation.epoch_rule in PEEKING:
        problem = f"epoch rule {recipe.evaluation.epoch_rule} would choose what peeks best"
        raise ConfigError(problem, hint="take last or inner_subjects")


def changed(recipe: ExperimentConfig, point: Point) -> ExperimentConfig:
    """The recipe with these settings; a `ConfigError` for what a sweep may not vary."""
    for key in point:
        if not key.startswith(SWEPT) or key == "model.name":
            hint = f"it varies settings of {', '.join(part.rstrip('._') for part in SWEPT)}"
            raise ConfigError(f"a sweep cannot vary {key}", hint=hint)
    return override(recipe, overrides_of(point))


def overrides_of(point: Point) -> list[str]:
    structured = (bool, list, tuple)  # whose Python form is no TOML
    return [
        f"{key}={json.dumps(value) if isinstance(value, structured) else value}"
        for key, value in point.items()
    ]


def development_half(flowset: FlowSet) -> FlowSet:
    """The clips of the subjects that may be looked at while settings are chosen."""
    if len(set(flowset.subjects)) < 4:
        problem = f"{len(set(flowset.subjects))} subjects are too few for a sweep"
        raise InputError(problem, hint="take data of four subjects at least")
    return flowset.take(next(inner_subject_folds(flowset, 2, DEAL)).test)


def begin(sweep: Sweep, flowset: FlowSet) -> FlowSet:
    """Record what the sweep rests on, and return the development half."""
    half = development_half(flowset)
    record = {
        "recipe": sweep.base.model_dump(mode="json"),
        "fingerprint": flowset.fingerprint(),
        "development_subjects": sorted(set(half.subjects)),
        "other_subjects": sorted(set(flowset.subjects) - set(half.subjects)),
    }
    write_once(sweep.folder / "sweep.json", to_json(record))
    return half


def run_trial(sweep: Sweep, half: FlowSet, point: Point) -> Trial:
    """Train and test on every group under every seed, and keep the predictions.

    A setting whose training diverges has a trial as well, without a score.
    """
    config = sweep.config(point)
    outputs = len(half.classes) + len(units_to_learn(config, half))
    record: dict[str, Any] = {
        "settings": dict(point),
        "parameters": cost_of(config, half.maps.shape[-1], outputs)["parameters"],
        "epoch_rule": rule_of(config),
        "control": config.evaluation.control,
        "preset": config.preset,
        "train_on": "+".join(config.evaluation.train_on),
        "units": [],
        "problem": "",
    }
    groups = min(GROUPS, len(set(half.subjects)))
    try:
        for seed in config.evaluation.seeds:
            for fold in inner_subject_folds(half, groups, seed, config.evaluation.train_on):
                record["units"].append(run_fold(config, half, FoldRun(fold, seed)))
    except DivergedError as error:
        record["problem"] = str(error)
    write_once(sweep.file(point), to_json(record))
    return Trial(dict(point), read_json(sweep.file(point)))


def trials_table(trials: Iterable[Trial]) -> pd.DataFrame:
    return pd.DataFrame([figures_of(trial) for trial in trials])


def on_front(table: pd.DataFrame) -> "pd.Series[bool]":
    """Whether a row is on the Pareto front of UF1 (up) and Parameters (down).

    No other row is better in one of the two and at least as good in the other.
    """
    score, cost = table["UF1"].to_numpy(float), table["Parameters"].to_numpy(float)
    no_worse = (score >= score[:, None]) & (cost <= cost[:, None])  # [i, j]: j beside i
    better = (score > score[:, None]) | (cost < cost[:, None])
    front = ~(no_worse & better).any(axis=1) & ~np.isnan(score)
    return pd.Series(front, index=table.index)


def figures_of(trial: Trial) -> dict[str, Any]:
    """The settings of a trial by name, UF1 with its interval, and what it cost."""
    low, high = trial.interval
    return {
        **trial.settings,
        "UF1": trial.score,
        "UF1 low": low,
        "UF1 high": high,
        "Parameters": trial.record["parameters"],
        "Seeds": len({unit["seed"] for unit in trial.record["units"]}),
        "Seconds": round(trial.seconds, 1),
        "Note": trial.problem,
    }


@dataclass(frozen=True)
class OuterScore:
    """The outer score of one setting, and how many such scores have been computed."""

    settings: Mapping[str, Any]
    run: RunFolder
    parts: Mapping[str, Mapping[str, Any]]  # figures as those of a run, by whom they rest on
    gains: Mapping[str, Mapping[str, float]]  # UF1 less that of the recipe; empty if it is that
    seen: int  # settings of this sweep whose outer score is known, this one included
    evaluations: Evaluations  # all of the test set from this folder
    first_look: str  # when it was computed first, in UTC
    again: bool

    def as_dict(self) -> dict[str, Any]:
        told = ("settings", "parts", "gains", "seen", "first_look", "again")
        return {
            **{name: getattr(self, name) for name in told},
            "run": str(self.run.path),
            "test_set_evaluations": self.evaluations._asdict(),
            "note": self.caveat(),
        }

    def caveat(self) -> str:
        times = f"{self.seen} time{'' if self.seen == 1 else 's'}"
        words = f"outer score seen {times}; after the first look it is no longer unseen"
        again = f"; this setting was seen first on {self.first_look}, and is counted once"
        return f"{words}; {self.evaluations}{again if self.again else ''}"

    def as_text(self) -> str:
        names = ", ".join(f"{name}={value}" for name, value in self.settings.items())
        width, metrics = max(map(len, self.parts)), self.run.metrics()
        how = "leave-one-subject-out, " * (metrics["protocol"] == LOSO)
        return "\n".join(
            [
                f"Outer score ({how}{stamp(metrics)}) of {names}",
                *(f"  {name:<{width}}  {_figures(part)}" for name, part in self.parts.items()),
                *(["less that of the recipe as it was, paired by subject:"] if self.gains else []),
                *(f"  {name:<{width}}  {_gained(gain)}" for name, gain in self.gains.items()),
                f"{self.caveat()}.",
                f"run  {self.run.path}",
            ]
        )


def outer_score(
    sweep: Sweep,
    flowset: FlowSet,
    settings: Mapping[str, Any],
    *,
    recipe: ExperimentConfig | None = None,
    jobs: int = 1,
    watch: Watcher = UNWATCHED,
) -> OuterScore:
    """Run these settings on all subjects by their protocol, and count the evaluation.

    It is the run that `hmrm run` makes of the same settings, beside the folder of the sweep; so is
    that of the recipe it is compared with, `recipe` or else that of the sweep. Raises
    `FailedFoldsError`, and counts nothing, if folds are missing.
    """
    config, out = sweep.config(settings), sweep.folder.parent

    def complete_run(of: ExperimentConfig) -> RunFolder:
        run = run_experiment(
            of, out=out, jobs=jobs, watch=watch, flowset=flowset, final_model=False
        )
        if not run.metrics()["complete"]:
            raise FailedFoldsError(
                f"{describe_failures(run) or f'{run.path} lacks folds'};"
                " no outer score while folds are missing"
            )
        return run

    run = complete_run(config)
    recipe = recipe or sweep.base
    before = None if config.digest() == recipe.digest() else complete_run(recipe)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    record = {"settings": dict(settings), "run": run.path.name, "looked": now}
    file = sweep.folder / "outer_scores" / f"{config.digest()}.json"
    first = write_once(file, to_json(record))
    halves = read_json(sweep.folder / "sweep.json")
    ours = _by_half(collect_predictions(run), halves)
    theirs = _by_half(collect_predictions(before), halves) if before else {}
    return OuterScore(
        settings,
        run,
        {name: summarise(predictions)["all"] for name, predictions in ours.items()},
        {name: paired_test(ours[name], theirs[name])._asdict() for name in theirs},
        seen=count_outer_scores(sweep.folder),
        evaluations=count_evaluations(run),
        first_look=read_json(file)["looked"],
        again=not first,
    )


def count_outer_scores(folder: Path) -> int:
    return len(list((folder / "outer_scores").glob("*.json")))


def _by_half(predictions: Predictions, halves: Mapping[str, Any]) -> dict[str, Predictions]:
    parts = {ALL: predictions}
    for name, half in ((HELD_OUT, "other_subjects"), (DEVELOPMENT, "development_subjects")):
        table = predictions.table[predictions.subjects.isin(halves[half])]
        parts[name] = Predictions(table.reset_index(drop=True))
    return parts


def _gained(gain: Mapping[str, float]) -> str:
    interval = f"[{gain['low']:+.3f}, {gain['high']:+.3f}]"
    return f"UF1 {gain['difference']:+.3f} {interval}, p {gain['p_value']:.3f}"


def _figures(part: Mapping[str, Any]) -> str:
    low, high = part["uf1_interval"]
    return (
        f"UF1 {part['uf1']:.3f} [{low:.3f}, {high:.3f}], UAR {part['uar']:.3f};"
        f" {part['clips']} clips of {part['subjects']} subjects"
    )
