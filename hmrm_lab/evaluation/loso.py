"""Leave-one-subject-out: one unit of work per fold and seed, each written once."""

from collections.abc import Callable
from functools import partial

from hmrm_lab.config import ExperimentConfig
from hmrm_lab.evaluation.curves import write_curves
from hmrm_lab.evaluation.desk import Desk
from hmrm_lab.evaluation.executors import Executor, in_process
from hmrm_lab.evaluation.splits import leave_one_subject_out
from hmrm_lab.evaluation.unit import Unit, run_unit
from hmrm_lab.records import FlowSet
from hmrm_lab.store import RunFolder

Progress = Callable[[int, int], None]


def run_loso(
    config: ExperimentConfig,
    flowset: FlowSet,
    run: RunFolder,
    *,
    execute: Executor = in_process,
    device: str = "cpu",
    on_progress: Progress | None = None,
) -> None:
    """Do every unit that the run folder lacks; what is there is never computed again.

    `execute` says where the work is done. The numbers do not depend on it.
    """
    units = [
        Unit(fold, seed)
        for seed in config.evaluation.seeds
        for fold in leave_one_subject_out(flowset)
    ]
    missing = [unit for unit in units if not run.has_unit(unit.fold.name, unit.seed)]
    done = len(units) - len(missing)
    if on_progress:
        on_progress(done, len(units))
    for unit, result in execute(
        partial(run_unit, config, flowset, device=device, run=run), missing
    ):
        run.write_unit(unit.fold.name, unit.seed, result)
        Desk(run, unit.fold.name, unit.seed).clear()
        write_curves(run, result)
        done += 1
        if on_progress:
            on_progress(done, len(units))
