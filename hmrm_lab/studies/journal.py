"""Optuna studies in a journal file: opened again, they go on where they were cut off.

The extra `sweep` brings Optuna.
"""

import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hmrm_lab.errors import InputError
from hmrm_lab.process import is_alive
from hmrm_lab.studies.space import Space, suggest

if TYPE_CHECKING:
    import optuna

PROCESS = "process"  # who works on a trial: host and number


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
    """The study of this name in the journal. Proposals that nobody works on any more come first."""
    engine = load_optuna()
    study: optuna.Study = engine.create_study(
        study_name=name,
        storage=_storage(file),
        directions=list(directions),
        load_if_exists=True,
    )
    _take_up(study)
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


def ask(
    study: "optuna.Study", space: Space, count: int, sampler: "Callable[[int], Any]"
) -> list[tuple["optuna.Trial", dict[str, Any]]]:
    """The next trials with their settings.

    `sampler` makes a sampler of a number that depends on the count of answers alone, so that a
    search that was cut off proposes what it would have proposed.
    """
    study.sampler = sampler(len(finished(study)))
    return [_ask(study, space) for _ in range(count)]


def tell(trial: "optuna.Trial", study: "optuna.Study", values: Sequence[float] | None) -> None:
    """The answer to a trial: None where there is no score."""
    states = load_optuna().trial.TrialState
    if values is None:
        study.tell(trial, state=states.PRUNED)
    else:
        study.tell(trial, list(values))


def seed_of(seed: int, answers: int) -> int:
    """A seed for the proposals that follow so many answers."""
    return int(np.random.SeedSequence([seed, answers]).generate_state(1)[0])


def _storage(file: Path) -> Any:
    engine = load_optuna()
    return engine.storages.JournalStorage(engine.storages.journal.JournalFileBackend(str(file)))


def _ask(study: "optuna.Study", space: Space) -> tuple["optuna.Trial", dict[str, Any]]:
    trial = study.ask()
    trial.set_user_attr(PROCESS, [socket.gethostname(), os.getpid()])
    return trial, suggest(trial, space)


def _take_up(study: "optuna.Study") -> None:
    """Propose again what was proposed by processes that have ended before they had an answer.

    `Study.enqueue_trial` would do, were it not that a trial of NSGA-II must keep its generation,
    or it has no offspring.
    """
    engine = load_optuna()
    states = engine.trial.TrialState
    for trial in study.get_trials(states=(states.RUNNING,)):
        if _is_left(trial):
            study.tell(trial.number, state=states.FAIL)
            if trial.params:
                attributes = {**trial.system_attrs, "fixed_params": trial.params}
                study.add_trial(
                    engine.trial.create_trial(state=states.WAITING, system_attrs=attributes)
                )


def _is_left(trial: "optuna.trial.FrozenTrial") -> bool:
    host, process = trial.user_attrs.get(PROCESS, (socket.gethostname(), 0))
    if host != socket.gethostname():
        return False
    return not process or process == os.getpid() or is_alive(process) is False
