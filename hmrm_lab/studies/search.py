"""Search: settings are proposed, scored on the development subjects alone, recorded, and so on.

One loop (`run_plan`) serves every way to propose:

`grid`       every combination of values.
`tpe`        Optuna's tree-structured Parzen estimator; it looks for the highest UF1.
`nsga2`      Optuna's evolution with two aims, UF1 up and parameters down.
`evolution`  choices bred on weight-shared super-networks; see `evolve`.

Whatever is proposed, a trial (`trials`) is the score, and its file is kept: a search that was cut
off goes on where it was.
"""

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import pandas as pd
from joblib import delayed

from hmrm_lab.errors import ConfigError, unknown_name
from hmrm_lab.records import FlowSet
from hmrm_lab.runtime.processes import held, workers
from hmrm_lab.studies.jobs import Job, JobState, Task
from hmrm_lab.studies.journal import Journal, load_optuna, nsga2, seed_of
from hmrm_lab.studies.space import Range, Space, chosen, in_kind, refuse_empty
from hmrm_lab.studies.trials import Point, Sweep, begin, on_front, run_trial, trials_table
from hmrm_lab.training.estimators import has_epochs

AIMS = {"tpe": ("maximize",), "nsga2": ("maximize", "minimize")}  # UF1, parameters
RANDOM_TRIALS = 10
POPULATION = 16
PROBLEM = "problem"  # why a trial has no score

Progress = Callable[[int, int], None]


def _ignore(done: int, total: int) -> None: ...


@dataclass(frozen=True)
class Answer:
    """What a setting scores, one value for each aim; None where there is no score."""

    values: tuple[float, ...] | None
    notes: Mapping[str, Any] = field(default_factory=dict)


class Plan(Protocol):
    """Proposes settings, and records what they score."""

    @property
    def total(self) -> int: ...

    @property
    def done(self) -> int: ...

    def propose(self) -> list[tuple[int, Point]]:
        """Numbers and settings of the next batch; empty when all are done."""

    def record(self, number: int, answer: Answer) -> None: ...


def run_plan(
    plan: Plan, score: Callable[[list[Point]], Iterable[Answer]], on_trial: Progress
) -> None:
    """Propose, score and record, until the plan has nothing more to propose."""
    on_trial(plan.done, plan.total)
    while batch := plan.propose():
        answers = score([point for _, point in batch])
        for (number, _), answer in zip(batch, answers, strict=True):
            plan.record(number, answer)
            on_trial(plan.done, plan.total)


@dataclass
class Grid:
    """Proposes all settings that have no trial yet at once; the files of the trials record them."""

    sweep: Sweep
    points: Sequence[Point]

    def __post_init__(self) -> None:
        files = [self.sweep.file(point) for point in self.points]  # refuses a mistyped setting
        self.missing = [n for n, file in enumerate(files) if not file.is_file()]
        self.total = len(self.points)
        self.done = self.total - len(self.missing)

    def propose(self) -> list[tuple[int, Point]]:
        batch, self.missing = [(number, self.points[number]) for number in self.missing], []
        return batch

    def record(self, number: int, answer: Answer) -> None:
        self.done += 1


@dataclass(frozen=True)
class Proposals:
    """Proposes what Optuna's sampler does, in batches, and records it in the journal.

    `sampler` makes a sampler of the number of proposals before it, and `size` is that of a batch,
    given the answers that there are and those that there were when it began.
    """

    journal: Journal
    space: Space
    total: int
    sampler: Callable[[int], Any]
    size: Callable[[int, int], int]

    @property
    def done(self) -> int:
        return len(self.journal.finished)

    def propose(self) -> list[tuple[int, Point]]:
        if (done := self.done) >= self.total:
            return []
        size = self.size(done, self.journal.batch_start)
        return [*self.journal.propose(self.space, min(size, self.total - done), self.sampler)]

    def record(self, number: int, answer: Answer) -> None:
        self.journal.record(number, answer.values, answer.notes)


def run_grid(
    sweep: Sweep,
    flowset: FlowSet,
    points: Sequence[Point],
    *,
    jobs: int = 1,
    on_progress: Progress = _ignore,
) -> None:
    """Score every setting that has no trial yet, `jobs` at a time."""
    plan = Grid(sweep, points)
    half = begin(sweep, flowset)
    pool = workers(min(jobs, len(plan.missing)), "generator")
    run_plan(plan, lambda batch: pool(delayed(_score)(sweep, half, p) for p in batch), on_progress)


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
    on_trial: Progress = _ignore,
) -> pd.DataFrame:
    """Try settings until there are `trials` in the journal; every trial, in order.

    The first `random_trials` of `tpe`, or the first `population` of `nsga2`, are drawn blindly;
    from then on the proposals depend on what came before, of which `jobs` are trained at a time:
    with other `jobs` it goes on with other proposals. A setting that was tried before is not
    trained again. `InputError` where another process works on the same search.

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

    def proposer(number: int) -> Any:
        return _sampler(sampler, seed_of(seed, number), random_trials, population)

    def batch_size(done: int, start: int) -> int:
        return max(1, jobs - (done - start))

    with held(sweep.folder / f"search-{name}.lock"), workers(jobs, "generator") as pool:
        journal = Journal.open(sweep.folder / "optuna.journal", name, AIMS[sampler])
        plan = Proposals(journal, space, trials, proposer, batch_size)
        run_plan(plan, lambda batch: pool(delayed(_score)(sweep, half, p) for p in batch), on_trial)
    return _history(journal, space, sampler)


def points_of(history: pd.DataFrame, space: Space) -> list[dict[str, Any]]:
    """The settings that were tried and can be, each once, in the order of the trials."""
    rows = history if "Note" not in history else history[history["Note"] == ""]
    records = rows[list(space)].astype(object).to_dict("records")
    points = [{str(name): value for name, value in record.items()} for record in records]
    return list({_identity(point): point for point in points}.values())


def history_table(sweep: Sweep, history: pd.DataFrame, space: Space) -> pd.DataFrame:
    """Every trial of a search with the figures that `trials_table` has."""
    empty = {"UF1 low": math.nan, "UF1 high": math.nan, "Parameters": math.nan}
    points = points_of(history, space)
    trials = [trial for point in points if (trial := sweep.trial(point))]
    known = trials_table(trials).drop(columns=[*space, "UF1", "Note"], errors="ignore")
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


def sweep_job(sweep: Sweep, points: Sequence[Point]) -> Job:
    """Score these settings in a process of its own, or see how far that is."""
    files = [sweep.file(point) for point in points]

    def look() -> JobState:
        return JobState.of(sum(file.is_file() for file in files), len(files))

    plan = {"points": [dict(point) for point in points]}
    return Job(sweep.folder, look, f"{__name__}:run_task", sweep.base, plan)


def run_task(task: Task) -> str:
    """Do the work of `sweep_job`; what went wrong, or ""."""
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
        return Answer(None, {PROBLEM: str(error)})
    if trial.problem:
        return Answer(None, {PROBLEM: trial.problem})
    return Answer((trial.score, float(trial.record["parameters"] or 0)))


def _check(sweep: Sweep, space: Space, sampler: str) -> None:
    """Refuse what no trial could use, before the first."""
    if sampler not in AIMS:
        raise unknown_name("sampler", sampler, AIMS)
    if not space:
        raise ConfigError("nothing to search over", hint="name a setting and its range")
    if sampler == "nsga2" and not has_epochs(sweep.base):
        raise ConfigError(
            f"system '{sweep.base.model.name}' has no parameters to be counted",
            hint="search with --sampler tpe",
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


def _identity(point: Mapping[Any, Any]) -> str:
    return repr(sorted(point.items()))


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
