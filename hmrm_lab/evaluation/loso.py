"""Run all folds of a protocol under all seeds, each written once.

A fold that fails leaves a note of why, and the others go on; one that may succeed on its own is
tried once more at the end.
"""

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import cache, partial
from importlib.util import find_spec
from typing import Any

from hmrm_lab.config import ExperimentConfig
from hmrm_lab.errors import DiskFullError, Stopped
from hmrm_lab.evaluation.fold import Failure, FoldRun, Outcome, run_fold
from hmrm_lab.evaluation.fold_progress import RunningFold
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
    """Compute every fold that the run folder lacks; nothing is computed twice.

    `execute` computes the folds; the numbers do not depend on it. Afterwards `run.failures()` holds
    why folds are missing.
    """
    folds = Protocol(config.evaluation.protocol).folds(flowset)
    units = [FoldRun(fold, seed) for seed in config.evaluation.seeds for fold in folds]
    work = partial(run_fold, config, flowset, run=run)
    again = []

    def keep(unit: FoldRun, outcome: Outcome) -> None:
        _write(run, unit, outcome)
        on_progress(_count(run, units), len(units))

    try:
        on_progress(_count(run, units), len(units))
        # Checked one by one: another command may be filling the same folder.
        missing = (unit for unit in units if not _is_done(run, unit))
        with closing(execute(work, missing)) as outcomes:
            for unit, outcome in outcomes:
                keep(unit, outcome)
                if isinstance(outcome, Failure) and outcome.worth_another_try:
                    again.append(unit)
        for unit in again:
            outcome = execute.alone(work, unit)
            if isinstance(outcome, Failure):
                outcome = replace(outcome, attempts=outcome.attempts + 1)
            keep(unit, outcome)
    except (KeyboardInterrupt, Stopped, DiskFullError) as error:
        error.add_note(f"{_count(run, units)} of {len(units)} folds are kept")
        raise


def _write(run: RunFolder, unit: FoldRun, outcome: Outcome) -> None:
    if isinstance(outcome, Failure):
        run.write_failure(unit.fold.name, unit.seed, outcome.as_record())
        return
    run.write_fold(unit.fold.name, unit.seed, outcome)
    RunningFold(run, unit.fold.name, unit.seed).clear()
    write_curves(run, outcome)


def _is_done(run: RunFolder, unit: FoldRun) -> bool:
    """Whether the fold is finished; then files that a killed process left are removed."""
    if done := run.has_fold(unit.fold.name, unit.seed):
        RunningFold(run, unit.fold.name, unit.seed).clear()
    return done


def _count(run: RunFolder, units: list[FoldRun]) -> int:
    return sum(run.has_fold(unit.fold.name, unit.seed) for unit in units)


@cache
def tensorboard_installed() -> bool:
    """Whether the extra `curves` is installed."""
    return find_spec("tensorboard") is not None


def write_curves(run: RunFolder, unit: dict[str, Any]) -> None:
    """Write the loss of every epoch to `RUN/tensorboard/<fold>/`, where TensorBoard is installed.

    The curve comes from the record of the finished fold, wherever that was computed.
    """
    if not tensorboard_installed() or not unit["losses"]:
        return
    from torch.utils.tensorboard import SummaryWriter

    name = run.fold_file(unit["fold"], unit["seed"]).stem
    with SummaryWriter(run.path / "tensorboard" / name) as writer:
        for epoch, loss in enumerate(unit["losses"], start=1):
            writer.add_scalar("training loss", loss, epoch)
