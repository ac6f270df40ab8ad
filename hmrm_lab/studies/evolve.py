"""The evolutionary search of AMMSM: a magnification factor and a sparsity ratio for every stage.

The publication names the search; how it is done is ours (decision 0020). One super-network for
every inner group of the development half is trained once; a choice is as fit as these networks are
under it on the groups that they have not met; Optuna's NSGA-II breeds the next generation.

`OUT/evolve-<digest>/` has the recipe in `sweep.json`, the networks in `supernets/`, every choice in
`optuna.journal`, and what follows from it in `trials.csv` and `winner.json`.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from hmrm_lab.config import ExperimentConfig
from hmrm_lab.datasets.classes import scheme
from hmrm_lab.errors import ConfigError
from hmrm_lab.preparation.clip_arrays import MAP_SIDE_PX
from hmrm_lab.records import FlowSet
from hmrm_lab.runtime.processes import held, holder, workers
from hmrm_lab.runtime.store import to_json, write_atomic
from hmrm_lab.studies import supernet
from hmrm_lab.studies.jobs import Job, JobState, Task
from hmrm_lab.studies.space import (
    Answer,
    Journal,
    Progress,
    Range,
    Space,
    chosen,
    load_optuna,
    nsga2,
    refuse_empty,
)
from hmrm_lab.studies.supernet import Choice, Fitness
from hmrm_lab.studies.trials import Point, Sweep, begin, overrides_of
from hmrm_lab.training.learner import split_batches

ALPHAS = Range(1.0, 16.0, log=True)
RATIOS = Range(0.2, 1.0, step=0.05)
JOURNAL, LOCK = "optuna.journal", "search.lock"
FITNESS = "fitness"  # of a trial in the journal: UF1 and cross-entropy

Rater = Callable[[Sequence[Choice]], Sequence[Fitness]]


@dataclass(frozen=True)
class Evolution:
    """What is searched: one recipe on one data set, the ranges, and how many are bred."""

    sweep: Sweep  # its recipe is that of the super-networks
    alphas: Range = ALPHAS
    ratios: Range = RATIOS
    population: int = 16
    generations: int = 12
    seed: int = 0
    _read: dict[int, "Evolved | None"] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @classmethod
    def of(
        cls, recipe: ExperimentConfig, flowset: FlowSet, out: Path = Path("runs"), **settings: Any
    ) -> "Evolution":
        """The search of this recipe on these maps. Nothing is written.

        Raises `ConfigError` for a system that cannot be searched, ranges that it does not take,
        and an epoch rule that peeks.
        """
        made = cls(Sweep.of(supernet.super_recipe(recipe), flowset, out, "evolve"), **settings)
        made._check(flowset.maps.shape[-1], len(flowset.classes))
        return made

    @classmethod
    def check(cls, recipe: ExperimentConfig, **settings: Any) -> None:
        """Refuse what `of` would refuse, before there are maps."""
        classes = len(scheme(recipe.data.classes).classes)
        cls(Sweep(supernet.super_recipe(recipe), Path()), **settings)._check(MAP_SIDE_PX, classes)

    @cached_property
    def space(self) -> Space:
        stages = len(self.sweep.base.model.options["ratios"])
        return {"alpha": self.alphas, **{f"ratio {n + 1}": self.ratios for n in range(stages)}}

    def choice(self, values: Point) -> Choice:
        """The choice that the values of a trial name."""
        alpha, *ratios = (float(values[name]) for name in self.space)
        return Choice(round(alpha, 2), tuple(ratios))

    def rated(self, journal: Journal) -> list[tuple[Choice, Fitness]]:
        """Every choice that has an answer, in order."""
        return [
            (self.choice(chosen(trial, self.space)), Fitness(*trial.user_attrs[FITNESS]))
            for trial in journal.finished
        ]

    def found(self) -> "Evolved | None":
        """What the journal holds so far; None before the first answer. Nothing is written."""
        file = self.sweep.folder / JOURNAL
        size = file.stat().st_size if file.is_file() else 0
        if size not in self._read:  # read anew only where it has grown
            journal = Journal.read(file, name_of(self))
            self._read.clear()
            self._read[size] = evolved(self, journal) if journal and journal.finished else None
        return self._read[size]

    def job(self) -> Job:
        """Search in a process of its own, or see how far that is; its parts are trials."""
        plan = {name: getattr(self, name) for name in ("population", "generations", "seed")}
        plan |= {name: asdict(getattr(self, name)) for name in ("alphas", "ratios")}
        return Job(self.sweep.folder, self._look, f"{__name__}:run_task", self.sweep.base, plan)

    def _look(self) -> JobState:
        found, total = self.found(), self.population * self.generations
        state = JobState.of(min(len(found.table), total) if found else 0, total)
        if holder(self.sweep.folder / LOCK) is None:
            return state
        rated = (self.sweep.folder / JOURNAL).is_file()
        return replace(state, phase="running" if rated else "preparing")

    def _check(self, size: int, classes: int) -> None:
        drawn = supernet.searched_network(self.sweep.base, size, classes)
        if self.population < 2 or self.generations < 1:
            problem = f"{self.generations} generations of {self.population} cannot be bred"
            raise ConfigError(problem, hint="take one of two at least")
        for name, values in self.space.items():
            refuse_empty(name, values)
        for name, values, (low, high) in (
            ("alpha", self.alphas, drawn.alpha_range),
            ("the ratios", self.ratios, drawn.ratio_range),
        ):
            if values.low < low or values.high > high:
                raise ConfigError(
                    f"{name} cannot be searched from {values.low:g} to {values.high:g}, for super-"
                    f"networks of {self.sweep.base.model.name} draw from {low:g} to {high:g}",
                    hint="search within what they draw",
                )


@dataclass(frozen=True)
class Evolved:
    """What a search has found: every choice that was tried, in order, and the fittest."""

    evolution: Evolution
    table: pd.DataFrame  # Trial, Generation, alpha, ratio 1.., UF1, Cross-entropy, Best so far
    winner: Choice
    fitness: Fitness

    def settings(self, clips: int, fine_tuning: float = 0.5) -> dict[str, Any]:
        """The winner as settings of a run: a super-network first, then the winner alone.

        `clips` are those of the data set, of which a fold trains nearly all; `fine_tuning` is the
        share of the training steps that is left to the winner: 1 trains nothing else.
        """
        training = self.evolution.sweep.base.training
        steps = training.epochs * len(split_batches(torch.arange(clips), training.batch))
        return {**self.winner.settings(), "model.super_steps": round((1 - fine_tuning) * steps)}


def evolve(
    evolution: Evolution,
    flowset: FlowSet,
    *,
    jobs: int = 1,
    on_supernets: Progress = lambda done, total: None,
    on_trials: Progress = lambda done, total: None,
) -> Evolved:
    """Train the super-networks that are missing, and breed until all generations are there.

    A search that was cut off finds what it would have found. `InputError` where another process
    works in the same folder.
    """
    load_optuna()
    half = begin(evolution.sweep, flowset)
    base = evolution.sweep.base.evaluation
    units = supernet.inner_units(half, base.seeds, base.train_on)
    with held(evolution.sweep.folder / LOCK):
        supernet.train_supernets(evolution.sweep, half, units, jobs, on_supernets)
        journal = Journal.open(evolution.sweep.folder / JOURNAL, name_of(evolution), ["maximize"])
        pool = workers(min(jobs, len(units)))
        rate = partial(supernet.rate_choices, evolution.sweep, half, units, pool=pool)
        breed(evolution, journal, rate, on_trials)
        return evolved(evolution, journal)


def breed(evolution: Evolution, journal: Journal, rate: Rater, on_trials: Progress) -> None:
    """Breed generations and rate them, each choice once, until all are in the journal."""
    population = evolution.population
    known = dict(evolution.rated(journal))

    def score(points: Sequence[Point]) -> Iterator[Answer]:
        choices = [evolution.choice(point) for point in points]
        new = [choice for choice in dict.fromkeys(choices) if choice not in known]
        known.update(zip(new, rate(new) if new else [], strict=True))
        for fitness in (known[choice] for choice in choices):
            yield (fitness.worth,), {FITNESS: [fitness.uf1, fitness.cross_entropy]}

    journal.run(
        evolution.space,
        population * evolution.generations,
        batch=population,
        seed=evolution.seed,
        sampler=partial(nsga2, population),
        score=score,
        on_trial=on_trials,
    )


def evolved(evolution: Evolution, journal: Journal) -> Evolved:
    """What the journal says, which must hold an answer."""
    known = evolution.rated(journal)
    rows = [
        {
            "Trial": number + 1,
            "Generation": number // evolution.population + 1,
            **dict(zip(evolution.space, (choice.alpha, *choice.ratios), strict=True)),
            "UF1": fitness.uf1,
            "Cross-entropy": fitness.cross_entropy,
        }
        for number, (choice, fitness) in enumerate(known)
    ]
    table = pd.DataFrame(rows)
    winner, fittest = max(known, key=lambda pair: pair[1].worth)
    return Evolved(evolution, table.assign(Best=table["UF1"].cummax()), winner, fittest)


def keep_evolved(found: Evolved, settings: Mapping[str, Any]) -> None:
    """Write `trials.csv`, and `winner.json` with the settings of a run."""
    folder = found.evolution.sweep.folder
    record: dict[str, Any] = {"settings": dict(settings), "overrides": overrides_of(settings)}
    record |= {**asdict(found.fitness), "trials": len(found.table)}
    write_atomic(folder / "trials.csv", found.table.to_csv(index=False))
    write_atomic(folder / "winner.json", to_json(record))


def name_of(evolution: Evolution) -> str:
    """A name for all that decides which choices follow each other; more generations go on."""
    told = repr((evolution.alphas, evolution.ratios, evolution.population, evolution.seed))
    return hashlib.sha256(told.encode()).hexdigest()[:8]


def run_task(task: Task) -> str:
    flowset, plan = task.load_maps(), dict(task.plan)
    ranges = {name: Range(**plan.pop(name)) for name in ("alphas", "ratios")}
    evolution = Evolution.of(task.recipe, flowset, task.out, **ranges, **plan)
    if evolution.sweep.folder.name != task.files.name:
        return "the data have changed since this search began; begin another"

    def report(done: int, total: int) -> None:
        if done < total:
            task.report("preparing", f"{done} of {total} super-networks")
        else:
            task.report("running")

    found = evolve(evolution, flowset, jobs=task.jobs, on_supernets=report)
    keep_evolved(found, found.settings(len(flowset)))
    return ""
