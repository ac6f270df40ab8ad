"""Optuna studies in a journal file: opened again, they go on where they were cut off.

Every proposal has random numbers of its own, made of its place among the proposals. One that has
all of its values and no answer yet is taken up again unchanged; one that was cut off before is
given up, and its place is proposed anew. So one process at a time may open a study (`locks`).
The extra `sweep` brings Optuna.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hmrm_lab.errors import InputError
from hmrm_lab.studies.space import Space, chosen, suggest

if TYPE_CHECKING:
    import optuna

WHOLE = "whole"  # of a trial that has all of its values: the answers before its batch


def load_optuna() -> Any:
    """Import Optuna, or raise an `InputError` that says how to install it."""
    try:
        import optuna
    except ImportError:
        raise InputError(
            "the search needs Optuna", hint="install the extra: pip install 'hmrm-lab[sweep]'"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


@dataclass(frozen=True)
class Journal:
    """A study of Optuna and the storage that keeps it."""

    study: "optuna.Study"
    storage: "optuna.storages.BaseStorage"

    @classmethod
    def open(cls, file: Path, name: str, directions: Sequence[str]) -> "Journal":
        """Open the study of this name, for the one process that works on it.

        A proposal that lacks values was cut off, and is given up.
        """
        engine, storage = load_optuna(), _storage(file)
        study = engine.create_study(
            study_name=name, storage=storage, directions=list(directions), load_if_exists=True
        )
        states = engine.trial.TrialState
        for trial in study.get_trials(states=(states.RUNNING,)):
            if WHOLE not in trial.user_attrs:
                study.tell(trial.number, state=states.FAIL)
        return cls(study, storage)

    @classmethod
    def read(cls, file: Path, name: str) -> "Journal | None":
        """Read the study, whoever works on it; None if there is none. Nothing is written."""
        storage = _storage(file) if file.is_file() else None
        if storage is None or name not in load_optuna().get_all_study_names(storage):
            return None
        return cls(load_optuna().load_study(study_name=name, storage=storage), storage)

    @property
    def finished(self) -> list["optuna.trial.FrozenTrial"]:
        """Trials with an answer, in their order; those that have no score are among them."""
        return self._trials("COMPLETE", "PRUNED")

    @property
    def batch_start(self) -> int:
        """The answers that there were when the batch in hand was proposed, or all answers."""
        left = self._unanswered()
        return int(left[0].user_attrs[WHOLE]) if left else len(self.finished)

    def propose(
        self, space: Space, count: int, sampler: Callable[[int], Any]
    ) -> list[tuple[int, dict[str, Any]]]:
        """Numbers and settings of the next trials; first those that have no answer yet.

        `sampler` makes a sampler of the number of proposals before this one, so that a search that
        was cut off, even between two values of a proposal, proposes what it would have proposed.
        """
        start = self.batch_start
        batch = [(trial.number, chosen(trial, space)) for trial in self._unanswered()[:count]]
        while len(batch) < count:
            self.study.sampler = sampler(len(self._trials("COMPLETE", "PRUNED", "RUNNING")))
            trial = self.study.ask()
            batch.append((trial.number, suggest(trial, space)))
            trial.set_user_attr(WHOLE, start)
        return batch

    def record(self, number: int, values: Sequence[float] | None, notes: Mapping[str, Any]) -> None:
        """Keep the answer to a trial: None where there is no score."""
        study = self.storage.get_study_id_from_name(self.study.study_name)
        trial = self.storage.get_trial_id_from_study_id_trial_number(study, number)
        for key, value in notes.items():
            self.storage.set_trial_user_attr(trial, key, value)
        if values is None:
            self.study.tell(number, state=load_optuna().trial.TrialState.PRUNED)
        else:
            self.study.tell(number, list(values[: len(self.study.directions)]))

    def _trials(self, *states: str) -> list["optuna.trial.FrozenTrial"]:
        return [trial for trial in self.study.trials if trial.state.name in states]

    def _unanswered(self) -> list["optuna.trial.FrozenTrial"]:
        return [trial for trial in self._trials("RUNNING") if WHOLE in trial.user_attrs]


def seed_of(seed: int, number: int) -> int:
    """A seed for the proposal that follows so many others."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])


def nsga2(population: int, seed: int) -> Any:
    """Optuna's NSGA-II, with the parents of a generation always in the order of their trials.

    Optuna itself has them in the order of their ranks for the first child, and in that of their
    trials once they are in the journal: a search cut off there would draw other parents.
    """
    sampler = load_optuna().samplers.NSGAIISampler(population_size=population, seed=seed)
    select = sampler.select_parent

    def in_order(study: "optuna.Study", generation: int) -> "list[optuna.trial.FrozenTrial]":
        return sorted(select(study, generation), key=lambda trial: trial.number)

    sampler.select_parent = in_order
    return sampler


def _storage(file: Path) -> Any:
    storages = load_optuna().storages
    return storages.JournalStorage(storages.journal.JournalFileBackend(str(file)))
