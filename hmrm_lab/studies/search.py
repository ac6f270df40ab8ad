"""Search: settings are proposed, scored on the development subjects alone, recorded, and so on.

`grid`       every combination of values.
`tpe`        Optuna's tree-structured Parzen estimator; it looks for the highest UF1.
`nsga2`      Optuna's evolution with two aims, UF1 up and parameters down.
`evolution`  choices bred on weight-shared super-networks; see `evolve`.

Whatever is proposed, a trial (`trials`) is the score, and its file is kept: a search that was cut
off goes on where it was.
"""

import hashlib
import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
from joblib import delayed

from hmrm_lab.errors import ConfigError, check_known
from hmrm_lab.records import FlowSet
from hmrm_lab.runtime.processes import held, workers
from hmrm_lab.studies.jobs import Job, JobState, Task
from hmrm_lab.studies.space import (
    Answer,
    Journal,
    Progress,
    Range,
    Space,
    chosen,
    in_kind,
    load_optuna,
    nsga2,
    refuse_empty,
)
from hmrm_lab.studies.trials import Point, Sweep, begin, figures_of, on_front, run_trial
from hmrm_lab.training.system_inputs import has_epochs

AIMS = {"tpe": ("maximize",), "nsga2": ("maximize", "minimize")}  # UF1, parameters
RANDOM_TRIALS, POPULATION = 10, 16
PROBLEM = "problem"  # why a trial has no score


def run_grid(
    sweep: Sweep,
    flowset: FlowSet,
    points: Sequence[Point],
    *,
    jobs: int = 1,
    on_progress: Progress = lambda done, total: None,
) -> None:
    """Score every setting that has no trial yet, `jobs` at a time."""
    files = [sweep.file(point) for point in points]  # refuses a mistyped setting before any work
    missing = [point for point, file in zip(points, files, strict=True) if not file.is_file()]
    done = len(points) - len(missing)
    half = begin(sweep, flowset)
    on_progress(done, len(points))
    pool = workers(min(jobs, len(missing)), "generator")
    for _ in pool(delayed(_score)(sweep, half, point) for point in missing):
        done += 1
        on_progress(done, len(points))


def search(
    sweep: Sweep,
    flowset: FlowSet,
    space: Space,
    *,
    trials: int,
    sampler: str = "tpe",
    seed: int = 0,
    random_trials: int = RANDOM_TRIALS,
    population: int = POPULATION,
    jobs: int = 1,
    on_trial: Progress = lambda done, total: None,
) -> pd.DataFrame:
    """Try settings until there are `trials` in the journal; every trial, in order.

    The first `random_trials` of `tpe`, or the first `population` of `nsga2`, are drawn blindly;
    from then on the proposals depend on what came before, of which `jobs` are trained at a time:
    with other `jobs` it goes on with other proposals. `InputError` where another process works on
    the same search.

    A row has `Trial` from 1, the settings, `UF1`, and `Best`, the best UF1 so far; with `nsga2`
    also `Parameters`, and `Front`: whether no other trial is better in one aim and as good in the
    other. Settings that diverged or do not go together have no UF1, and a `Note` that says why.
    """
    load_optuna()
    space = in_kind(space, sweep.base.model_dump(mode="json"))
    _check(sweep, space, sampler)
    half = begin(sweep, flowset)
    # a name for all that decides which proposals follow each other
    rest = (population,) if sampler == "nsga2" else ()
    told = repr((sorted(space.items(), key=str), seed, sampler, *rest))
    name = hashlib.sha256(told.encode()).hexdigest()[:8]

    def proposer(own: int) -> Any:
        if sampler == "nsga2":
            return nsga2(population, own)
        return load_optuna().samplers.TPESampler(seed=own, n_startup_trials=random_trials)

    with held(sweep.folder / f"search-{name}.lock"), workers(jobs, "generator") as pool:
        journal = Journal.open(sweep.folder / "optuna.journal", name, AIMS[sampler])
        journal.run(
            space,
            trials,
            batch=jobs,
            seed=seed,
            sampler=proposer,
            score=lambda points: pool(delayed(_score)(sweep, half, point) for point in points),
            on_trial=on_trial,
        )
    return _history(journal, space, sampler)


def points_of(history: pd.DataFrame, space: Space) -> list[dict[str, Any]]:
    """The settings that were tried and can be, each once, in the order of the trials."""
    rows = history if "Note" not in history else history[history["Note"] == ""]
    return list({repr(point): point for point in _points(rows, space)}.values())


def history_table(sweep: Sweep, history: pd.DataFrame, space: Space) -> pd.DataFrame:
    """Every trial of a search with the figures that `trials_table` has."""
    empty = dict.fromkeys(("UF1 low", "UF1 high", "Parameters"), math.nan)
    empty |= {"Seeds": 0, "Seconds": 0.0}
    notes = history["Note"].tolist() if "Note" in history else [""] * len(history)
    rows = []
    for point, note in zip(_points(history, space), notes, strict=True):
        trial = None if note else sweep.trial(point)
        figures = figures_of(trial) if trial else empty
        rows.append({name: figures[name] for name in empty})
    tried = history.drop(columns=["Best", "Parameters", "Note"], errors="ignore")
    return pd.concat([tried.reset_index(drop=True), pd.DataFrame(rows)], axis=1).assign(Note=notes)


def _points(history: pd.DataFrame, space: Space) -> list[dict[str, Any]]:
    records = history[list(space)].astype(object).to_dict("records")
    return [{str(name): value for name, value in record.items()} for record in records]


def sweep_job(sweep: Sweep, points: Sequence[Point]) -> Job:
    """Score these settings in a process of its own, or see how far that is."""
    files = [sweep.file(point) for point in points]

    def look() -> JobState:
        return JobState.of(sum(file.is_file() for file in files), len(files))

    plan = {"points": [dict(point) for point in points]}
    return Job(sweep.folder, look, f"{__name__}:run_task", sweep.base, plan)


def run_task(task: Task) -> str:
    flowset = task.load_maps()
    sweep = Sweep.of(task.recipe, flowset, task.out)
    if sweep.folder.name != task.files.name:
        return "the data have changed since this sweep began; begin another"
    task.report("running")
    run_grid(sweep, flowset, task.plan["points"], jobs=task.jobs)
    return ""


def _score(sweep: Sweep, half: FlowSet, point: Point) -> Answer:
    """UF1 and parameters of a setting, trained here unless it was tried before."""
    try:
        trial = sweep.trial(point) or run_trial(sweep, half, point)
    except ConfigError as error:  # two values that are good, and do not go together
        return None, {PROBLEM: str(error)}
    if trial.problem:
        return None, {PROBLEM: trial.problem}
    return (trial.score, float(trial.record["parameters"] or 0)), {}


def _check(sweep: Sweep, space: Space, sampler: str) -> None:
    """Refuse what no trial could use, before the first."""
    check_known("sampler", sampler, AIMS)
    if not space:
        raise ConfigError("nothing to search over", hint="name a setting and its range")
    if sampler == "nsga2" and not has_epochs(sweep.base):
        problem = f"system '{sweep.base.model.name}' has no parameters to be counted"
        raise ConfigError(problem, hint="search with --sampler tpe")
    for name, values in space.items():
        refuse_empty(name, values)
        ends = (values.low, values.high) if isinstance(values, Range) else tuple(values)
        for end in ends:
            sweep.config({name: end})


def _history(journal: Journal, space: Space, sampler: str) -> pd.DataFrame:
    rows = [
        {
            "Trial": number,
            **chosen(trial, space),
            "UF1": (trial.values or [None])[0],
            "Parameters": (trial.values or [None])[-1],
            "Note": str(trial.user_attrs.get(PROBLEM, "")),
        }
        for number, trial in enumerate(journal.finished, start=1)
    ]
    table = pd.DataFrame(rows).astype({"UF1": float, "Parameters": float})
    table = table.assign(Best=table["UF1"].cummax())
    if not table["Note"].any():
        table = table.drop(columns="Note")
    if sampler == "nsga2":
        return table.assign(Front=on_front(table))
    return table.drop(columns="Parameters")
