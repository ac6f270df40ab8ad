"""A search by Optuna, where a grid would be too large.

`tpe`     the tree-structured Parzen estimator; it looks for the highest UF1.
`nsga2`   an evolutionary search with two aims, UF1 up and parameters down.

It proposes settings, and a sweep scores them on the development subjects alone: the same cells as
those of a grid, kept the same way.
"""

import hashlib
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd
from joblib import delayed

from hmrm_lab.errors import ConfigError, unknown_name
from hmrm_lab.records import FlowSet
from hmrm_lab.runtime.locks import held
from hmrm_lab.runtime.processes import workers
from hmrm_lab.studies.cells import cells_table, on_front
from hmrm_lab.studies.journal import (
    ask,
    batch_start,
    finished,
    load_optuna,
    nsga2,
    open_study,
    seed_of,
    tell,
)
from hmrm_lab.studies.space import Range, Space, chosen, in_kind, refuse_empty
from hmrm_lab.studies.sweep import Point, Sweep, begin, make_cell
from hmrm_lab.training.estimators import has_epochs

if TYPE_CHECKING:
    import optuna

AIMS = {"tpe": ("maximize",), "nsga2": ("maximize", "minimize")}  # UF1, parameters
RANDOM_TRIALS = 10
POPULATION = 16
PROBLEM = "problem"  # why a trial has no score


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
    on_trial: Callable[[int, int], None] = lambda done, total: None,
) -> pd.DataFrame:
    """Try settings until there are `trials` in the journal; every trial, in order.

    A search that was cut off goes on: trials in the journal count. The first `random_trials` of
    `tpe`, or the first `population` of `nsga2`, are drawn blindly; from then on the proposals
    depend on what came before, of which `jobs` are trained at a time: with other `jobs` it goes on
    with other proposals. A setting that was tried before is not trained again. `InputError` where
    another process works on the same search.

    Returns
    -------
    One row per trial: `Trial` from 1, the settings, `UF1`, and `Best`, the best UF1 so far; with
    `nsga2` also `Parameters`, and `Front`: whether no other trial is better in one aim and as good
    in the other. A training that diverged, or settings that do not go together, have no UF1; then
    there is a `Note` that says why.
    """
    load_optuna()
    space = in_kind(space, sweep.base.model_dump(mode="json"))
    _check(sweep, space, sampler)
    half = begin(sweep, flowset)
    name = _name_of(space, seed, sampler, population)
    with held(sweep.folder / f"search-{name}.lock"):
        study = open_study(sweep.folder / "optuna.journal", name, AIMS[sampler])
        on_trial(len(finished(study)), trials)

        def proposer(number: int) -> Any:
            return _sampler(sampler, seed_of(seed, number), random_trials, population)

        with workers(jobs, "generator") as pool:
            while (done := len(finished(study))) < trials:
                room = max(1, jobs - (done - batch_start(study)))
                batch = ask(study, space, min(room, trials - done), proposer)
                answers = pool(delayed(_answer)(sweep, half, point) for _, point in batch)
                for (trial, _), (values, problem) in zip(batch, answers, strict=True):
                    if problem:
                        trial.set_user_attr(PROBLEM, problem)
                    tell(trial, study, None if problem else values[: len(AIMS[sampler])])
                    on_trial(len(finished(study)), trials)
    return _history(study, space, sampler)


def points_of(history: pd.DataFrame, space: Space) -> list[dict[str, Any]]:
    """The settings that were tried and can be, each once, in the order of the trials."""
    rows = history if "Note" not in history else history[history["Note"] == ""]
    records = rows[list(space)].astype(object).to_dict("records")
    points = [{str(name): value for name, value in record.items()} for record in records]
    return list({_identity(point): point for point in points}.values())


def trials_table(sweep: Sweep, history: pd.DataFrame, space: Space) -> pd.DataFrame:
    """Every trial with the figures of its cell, as `cells_table` has them."""
    empty = {"UF1 low": math.nan, "UF1 high": math.nan, "Parameters": math.nan}
    points = points_of(history, space)
    cells = [cell for point in points if (cell := sweep.cell(point))]
    known = cells_table(cells).drop(columns=[*space, "UF1", "Note"], errors="ignore")
    rows = dict(zip(map(_identity, points), known.to_dict("records"), strict=True))
    tried = history.drop(columns=["Best", "Parameters", "Note"], errors="ignore")
    table = pd.DataFrame(
        [
            {**dict(empty, Seeds=0, Seconds=0.0), **rows.get(_identity(point), {})}
            for point in tried[list(space)].astype(object).to_dict("records")
        ]
    )
    joined = pd.concat([tried.reset_index(drop=True), table], axis=1)
    return joined.assign(Note=history["Note"].to_numpy() if "Note" in history else "")


def _identity(point: Mapping[Any, Any]) -> str:
    return repr(sorted(point.items()))


def _answer(sweep: Sweep, half: FlowSet, point: Point) -> tuple[tuple[float, ...], str]:
    """UF1 and parameters of a setting, and why there are none; made here unless it was tried."""
    try:
        cell = sweep.cell(point) or make_cell(sweep, half, point)
    except ConfigError as error:  # two values that are good, and do not go together
        return (), str(error)
    if cell.problem:
        return (), cell.problem
    return (cell.score, float(cell.record["parameters"] or 0)), ""


def _check(sweep: Sweep, space: Space, sampler: str) -> None:
    """Refuse what no trial could use, before the first."""
    if sampler not in AIMS:
        raise unknown_name("sampler", sampler, AIMS)
    if not space:
        raise ConfigError("nothing to search over", mend="name a setting and its range")
    if sampler == "nsga2" and not has_epochs(sweep.base):
        raise ConfigError(
            f"system '{sweep.base.model.name}' has no parameters to be counted",
            mend="search with --sampler tpe",
        )
    for name, values in space.items():
        refuse_empty(name, values)
        ends = (values.low, values.high) if isinstance(values, Range) else tuple(values)
        for end in ends:
            sweep.config({name: end})


def _name_of(space: Space, seed: int, sampler: str, population: int) -> str:
    """A name for all that decides which proposals follow each other."""
    rest = (population,) if sampler == "nsga2" else ()
    told = repr((sorted(space.items(), key=str), seed, sampler, *rest))
    return hashlib.sha256(told.encode()).hexdigest()[:8]


def _sampler(name: str, seed: int, random_trials: int, population: int) -> Any:
    if name == "nsga2":
        return nsga2(population, seed)
    return load_optuna().samplers.TPESampler(seed=seed, n_startup_trials=random_trials)


def _history(study: "optuna.Study", space: Space, sampler: str) -> pd.DataFrame:
    rows = [
        {
            "Trial": number,
            **chosen(trial, space),
            "UF1": (trial.values or [None])[0],
            "Parameters": (trial.values or [None])[-1],
            "Note": str(trial.user_attrs.get(PROBLEM, "")),
        }
        for number, trial in enumerate(finished(study), start=1)
    ]
    table = pd.DataFrame(rows).astype({"UF1": float, "Parameters": float})
    table = table.assign(Best=table["UF1"].cummax())
    if not table["Note"].any():
        table = table.drop(columns="Note")
    if sampler == "nsga2":
        return table.assign(Front=on_front(table))
    return table.drop(columns="Parameters")
