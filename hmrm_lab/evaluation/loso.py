"""Run all folds of a protocol under all seeds, each written once.

A fold that fails leaves a note of why, and the others go on; one that may succeed on its own is
tried once more at the end.
"""

from contextlib import closing
from dataclasses import asdict, replace
from functools import cache, partial
from importlib.util import find_spec
from typing import Any

from hmrm_lab.config import ExperimentConfig
from hmrm_lab.errors import DiskFullError, Stopped
from hmrm_lab.evaluation.fold import DIVERGED, Failure, FoldRun, Outcome, run_fold
from hmrm_lab.evaluation.protocols import Protocol
from hmrm_lab.evaluation.workers import Executor
from hmrm_lab.records import FlowSet
from hmrm_lab.runtime.store import RunFolder
from hmrm_lab.training.checkpoint import RunningFold


def run_loso(
    config: ExperimentConfig, flowset: FlowSet, run: RunFolder, *, execute: Executor
) -> None:
    """Compute every fold that the run folder lacks; nothing is computed twice.

    `execute` computes the folds; the numbers do not depend on it. Afterwards `run.failures()` holds
    why folds are missing.
    """
    folds = Protocol(config.evaluation.protocol).folds(flowset)
    units = [FoldRun(fold, seed) for seed in config.evaluation.seeds for fold in folds]
    work = partial(run_fold, config, flowset, run=run)
    again = []

    def is_missing(unit: FoldRun) -> bool:
        if done := run.has_fold(unit.fold.name, unit.seed):
            RunningFold(run, unit.fold.name, unit.seed).clear()  # what a killed process left
        return not done

    def keep(unit: FoldRun, outcome: Outcome) -> None:
        name, seed = unit.fold.name, unit.seed
        if isinstance(outcome, Failure):
            run.write_failure(name, seed, asdict(outcome))
        else:
            run.write_fold(name, seed, outcome)
            RunningFold(run, name, seed).clear()
            write_curves(run, outcome)

    try:
        # Checked one by one: another command may be filling the same folder.
        with closing(execute(work, filter(is_missing, units))) as outcomes:
            for unit, outcome in outcomes:
                keep(unit, outcome)
                if isinstance(outcome, Failure) and outcome.kind != DIVERGED:
                    again.append(unit)
        for unit in again:
            for _, second in execute(work, [unit], alone=True):
                keep(unit, replace(second, attempts=2) if isinstance(second, Failure) else second)
    except (KeyboardInterrupt, Stopped, DiskFullError) as error:
        kept = sum(run.has_fold(unit.fold.name, unit.seed) for unit in units)
        error.add_note(f"{kept} of {len(units)} folds are kept")
        raise


@cache
def tensorboard_installed() -> bool:
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
