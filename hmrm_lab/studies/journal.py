"""Optuna studies in a journal file: opened again, they go on where they were cut off.

Every proposal has random numbers of its own, made of its place among the proposals. One that has
all of its values and no answer yet is taken up again as it is; one that was cut off before is given
up, and its place is proposed anew. So a study must be opened by one process at a time (`locks`).
The extra `sweep` brings Optuna.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hmrm_lab.errors import InputError
from hmrm_lab.studies.space import Space, chosen, suggest

if TYPE_CHECKING:
    import optuna

WHOLE = "whole"  # of a trial that has all of its values: the answers before its batch


def load_optuna() -> Any:
    """The module, or an `InputError` that says how to install it."""
    try:
        import optuna
    except ImportError:
        raise InputError(
            "the search needs Optuna", mend="install the extra: pip install 'hmrm-lab[sweep]'"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def open_study(file: Path, name: str, directions: Sequence[str]) -> "optuna.Study":
    """The study of this name in the journal, for the one process that works on it.

    A proposal that lacks values was cut off, and is given up.
    """
    engine = load_optuna()
    study: optuna.Study = engine.create_study(
        study_name=name,
        storage=_storage(file),
        directions=list(directions),
        load_if_exists=True,
    )
    states = engine.trial.TrialState
    for trial in study.get_trials(states=(states.RUNNING,)):
        if WHOLE not in trial.user_attrs:
            study.tell(trial.number, state=states.FAIL)
    return study


def read_study(file: Path, name: str) -> "optuna.Study | None":
    """The study as it is, whoever works on it; None if there is none. Nothing is written."""
    if not file.is_file():
        return None
    storage = _storage(file)
    if name not in {study.study_name for study in storage.get_all_studies()}:
        return None
    study: optuna.Study = load_optuna().load_study(study_name=name, storage=storage)
    return study


def finished(study: "optuna.Study") -> list["optuna.trial.FrozenTrial"]:
    """Trials with an answer, in their order; those that have no score are among them."""
    return [trial for trial in study.trials if trial.state.name in ("COMPLETE", "PRUNED")]


def batch_start(study: "optuna.Study") -> int:
    """The answers that there were when the batch in hand was proposed; all, if none is in hand."""
    left = _unanswered(study)
    return int(left[0].user_attrs[WHOLE]) if left else len(finished(study))


def ask(
    study: "optuna.Study", space: Space, count: int, sampler: "Callable[[int], Any]"
) -> list[tuple["optuna.Trial", dict[str, Any]]]:
    """The next trials of a batch with their settings; first those that have no answer yet.

    `sampler` makes a sampler of the number of proposals before this one, so that a search that was
    cut off, be it between two values of a proposal, proposes what it would have proposed.
    """
    start, trial_of = batch_start(study), load_optuna().Trial
    left = _unanswered(study)[:count]
    batch = [(trial_of(study, trial._trial_id), chosen(trial, space)) for trial in left]
    while len(batch) < count:
        study.sampler = sampler(len(_proposed(study)))
        trial = study.ask()
        batch.append((trial, suggest(trial, space)))
        trial.set_user_attr(WHOLE, start)
    return batch


def tell(trial: "optuna.Trial", study: "optuna.Study", values: Sequence[float] | None) -> None:
    """The answer to a trial: None where there is no score."""
    states = load_optuna().trial.TrialState
    if values is None:
        study.tell(trial, state=states.PRUNED)
    else:
        study.tell(trial, list(values))


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
    engine = load_optuna()
    return engine.storages.JournalStorage(engine.storages.journal.JournalFileBackend(str(file)))


def _proposed(study: "optuna.Study") -> list["optuna.trial.FrozenTrial"]:
    """Trials with all of their values, be there an answer or not."""
    return [t for t in study.trials if t.state.name in ("COMPLETE", "PRUNED", "RUNNING")]


def _unanswered(study: "optuna.Study") -> list["optuna.trial.FrozenTrial"]:
    return [t for t in study.trials if t.state.name == "RUNNING" and WHOLE in t.user_attrs]
