"""Leave-one-subject-out: one unit of work per fold and seed, each written once.

Units that fail leave a note of why, and the others go on; what may end better alone is tried once
more at the end.
"""

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import partial

from hmrm_lab.config import ExperimentConfig
from hmrm_lab.errors import DiskFullError, Stopped
from hmrm_lab.evaluation.curves import write_curves
from hmrm_lab.evaluation.failures import Failure, Outcome
from hmrm_lab.evaluation.fold import Unit, run_unit
from hmrm_lab.evaluation.fold_progress import Desk
from hmrm_lab.evaluation.protocols import Protocol
from hmrm_lab.evaluation.workers import Executor, InProcess
from hmrm_lab.records import FlowSet
from hmrm_lab.runtime.store import RunFolder

Progress = Callable[[int, int], None]
HERE = InProcess()


def run_loso(
    config: ExperimentConfig,
    flowset: FlowSet,
    run: RunFolder,
    *,
    execute: Executor = HERE,
    on_progress: Progress = lambda done, total: None,
) -> None:
    """Do every unit that the run folder lacks; what is there is never computed again.

    `execute` says where the work is done. The numbers do not depend on it. Afterwards
    `run.failures()` holds why units are missing.
    """
    units = [
        Unit(fold, seed)
        for seed in config.evaluation.seeds
        for fold in Protocol(config.evaluation.protocol).folds(flowset)
    ]
    try:
        _do_missing(partial(run_unit, config, flowset, run=run), units, run, execute, on_progress)
    except (KeyboardInterrupt, Stopped, DiskFullError) as error:
        error.add_note(f"{_count(run, units)} of {len(units)} folds are kept")
        raise


def _do_missing(
    work: Callable[..., dict[str, object]],
    units: list[Unit],
    run: RunFolder,
    execute: Executor,
    on_progress: Progress,
) -> None:
    again = []
    on_progress(_count(run, units), len(units))
    # Asked for one by one: another command may be filling the same folder.
    missing = (unit for unit in units if not _done(run, unit))
    with closing(execute(work, missing)) as outcomes:
        for unit, outcome in outcomes:
            _keep(run, unit, outcome)
            on_progress(_count(run, units), len(units))
            if isinstance(outcome, Failure) and outcome.worth_another_try:
                again.append(unit)
    for unit in again:
        outcome = execute.alone(work, unit)
        if isinstance(outcome, Failure):
            outcome = replace(outcome, attempts=outcome.attempts + 1)
        _keep(run, unit, outcome)
        on_progress(_count(run, units), len(units))


def _keep(run: RunFolder, unit: Unit, outcome: Outcome) -> None:
    if isinstance(outcome, Failure):
        run.write_failure(unit.fold.name, unit.seed, outcome.as_record())
        return
    run.write_unit(unit.fold.name, unit.seed, outcome)
    Desk(run, unit.fold.name, unit.seed).clear()
    write_curves(run, outcome)


def _done(run: RunFolder, unit: Unit) -> bool:
    """Whether the unit is there; then its desk is cleared of what a kill had left."""
    if done := run.has_unit(unit.fold.name, unit.seed):
        Desk(run, unit.fold.name, unit.seed).clear()
    return done


def _count(run: RunFolder, units: list[Unit]) -> int:
    return sum(run.has_unit(unit.fold.name, unit.seed) for unit in units)
