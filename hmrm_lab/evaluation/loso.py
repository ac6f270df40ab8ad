"""Run all folds of a protocol under all seeds, each written once, by an executor.

An executor takes the work and the folds, and yields outcomes as they come, in any order: in this
process, in several of this machine, or on Dask. A fold that fails leaves a note of why, and the
others go on; one that may succeed on its own is tried once more at the end.
"""

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import closing, contextmanager
from dataclasses import asdict, replace
from functools import partial
from importlib.util import find_spec
from itertools import islice
from typing import Any

from joblib.externals.loky.process_executor import BrokenProcessPool, ProcessPoolExecutor

from hmrm_lab.config import ExperimentConfig
from hmrm_lab.errors import ConfigError, DiskFullError, Stopped, check_known
from hmrm_lab.evaluation.fold import (
    CRASHED,
    DIVERGED,
    MEMORY,
    Executor,
    Failure,
    FoldRun,
    Outcome,
    Outcomes,
    Work,
    attempt,
    run_fold,
    run_stack,
)
from hmrm_lab.evaluation.protocols import Protocol
from hmrm_lab.records import FlowSet
from hmrm_lab.runtime.processes import ONE_THREAD, interrupts_held, settle_worker
from hmrm_lab.runtime.store import RunFolder
from hmrm_lab.training.checkpoint import RunningFold
from hmrm_lab.training.learner import count_steps


def run_loso(
    config: ExperimentConfig, flowset: FlowSet, run: RunFolder, *, execute: Executor, stack: int = 1
) -> None:
    """Compute every fold that the run folder lacks, and note in `failed/` why folds are missing.

    With `stack` above 1 up to so many folds are trained as one model.
    """
    folds = Protocol.of(config.evaluation).folds(flowset)
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
        missing = filter(is_missing, units)
        with closing(
            execute(work, missing)
            if stack == 1
            else _in_stacks(config, flowset, run, execute, missing, stack)
        ) as outcomes:
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


def _in_stacks(
    config: ExperimentConfig,
    flowset: FlowSet,
    run: RunFolder,
    execute: Executor,
    units: Iterable[FoldRun],
    most: int,
) -> Outcomes:
    """Compute folds in stacks of at most so many, whose epochs have the same number of steps."""
    alike: dict[int, list[FoldRun]] = defaultdict(list)
    for unit in units:
        alike[count_steps(config, len(unit.fold.train))].append(unit)
    stacks = [one[at : at + most] for one in alike.values() for at in range(0, len(one), most)]
    work = partial(run_stack, config, flowset, run=run)
    while stacks:
        halves = []  # of those that memory had no room for
        with closing(execute(work, stacks)) as found:
            for stack, outcome in found:
                if not isinstance(outcome, Failure):
                    yield from zip(stack, outcome["outcomes"], strict=True)
                elif outcome.kind == MEMORY and len(stack) > 1:
                    halves += [stack[: len(stack) // 2], stack[len(stack) // 2 :]]
                else:  # each is tried once more, alone
                    yield from ((unit, outcome) for unit in stack)
        stacks = halves


def write_curves(run: RunFolder, unit: dict[str, Any]) -> None:
    """Write the loss of every epoch to `RUN/tensorboard/<fold>/`, if TensorBoard is installed."""
    if not unit["losses"] or find_spec("tensorboard") is None:
        return
    from torch.utils.tensorboard import SummaryWriter

    name = run.fold_file(unit["fold"], unit["seed"]).stem
    with SummaryWriter(run.path / "tensorboard" / name) as writer:
        for epoch, loss in enumerate(unit["losses"], start=1):
            writer.add_scalar("training loss", loss, epoch)


def processes(jobs: int, devices: Sequence[str] = ("cpu",)) -> Executor:
    """Make an executor of `jobs` processes, assigned round-robin; at least one for each device.

    One on the CPU is this one; a CUDA device has a process of its own, whose errors end with it.
    """
    count = max(jobs, len(devices))
    if count == 1 and devices[0] == "cpu":
        return _here
    return partial(_in_processes, [devices[number % len(devices)] for number in range(count)])


@contextmanager
def open_executor(
    name: str, *, jobs: int, devices: tuple[str, ...], scheduler: str | None = None
) -> Iterator[Executor]:
    if name == "processes":
        if scheduler:
            raise ConfigError("--scheduler is for Dask", hint="add --executor dask")
        yield processes(jobs, devices)
        return
    check_known("executor", name, ("processes", "dask"))
    if find_spec("distributed") is None:
        problem = "--executor dask needs a package that is not here"
        raise ConfigError(problem, hint="pip install 'hmrm-lab[cluster]'")
    if len(devices) > 1:
        problem = "--executor dask takes one device, the same for every worker"
        raise ConfigError(problem, hint="start one worker per GPU, and give --devices cuda")
    from hmrm_lab.evaluation.dask import open_dask

    with open_dask(scheduler, jobs=jobs, device=devices[0]) as executor:
        yield executor


def _here(work: Work, units: Iterable[FoldRun], *, alone: bool = False) -> Outcomes:
    if alone:
        yield from _in_processes(["cpu"], work, units)
        return
    for unit in units:
        yield unit, attempt(work, unit, "cpu")


class _Lane:
    """One worker process; if it dies, only its own fold is lost. It gets the data once."""

    def __init__(self, work: Work, device: str) -> None:
        self.device = device
        self._pool = ProcessPoolExecutor(
            max_workers=1,
            initializer=_start_worker,
            initargs=(work, device, os.getpid()),
            env=ONE_THREAD,
        )

    def submit(self, unit: FoldRun) -> "Future[Outcome]":
        with interrupts_held():
            future: Future[Outcome] = self._pool.submit(_do, unit)
        return future

    def kill(self) -> None:
        self._pool.shutdown(wait=False, kill_workers=True)


def _in_processes(
    devices: Sequence[str], work: Work, units: Iterable[FoldRun], *, alone: bool = False
) -> Outcomes:
    devices = devices[:1] if alone else devices
    waiting = iter(units)
    lanes: set[_Lane] = set()
    at_work: dict[Future[Outcome], tuple[_Lane, FoldRun]] = {}

    def begin(device: str) -> _Lane:
        lane = _Lane(work, device)
        lanes.add(lane)
        return lane

    def renew(lane: _Lane) -> _Lane:
        lanes.discard(lane)
        lane.kill()
        return begin(lane.device)

    def give(lane: _Lane, unit: FoldRun) -> None:
        try:
            at_work[lane.submit(unit)] = lane, unit
        except BrokenProcessPool:  # it died while it had nothing to do
            give(renew(lane), unit)

    try:
        for device, unit in zip(devices, islice(waiting, len(devices)), strict=False):
            give(begin(device), unit)
        while at_work:
            for future in wait(at_work, return_when=FIRST_COMPLETED).done:
                lane, unit = at_work.pop(future)
                outcome: Outcome
                try:
                    outcome = future.result()
                except BrokenProcessPool as error:
                    signs = re.search(r"exit codes of the workers are \{(.*?)\}", str(error))
                    how = signs[1] if signs and signs[1] else "no exit code"
                    outcome = Failure(CRASHED, f"the process died ({how})")
                if isinstance(outcome, Failure) and outcome.kind != DIVERGED:
                    lane = renew(lane)  # an error of CUDA stays with its process
                for following in islice(waiting, 1):
                    give(lane, following)
                yield unit, outcome
    finally:
        for lane in lanes:
            lane.kill()


_worker: dict[str, tuple[Work, str]] = {}


def _start_worker(work: Work, device: str, parent: int) -> None:
    settle_worker(parent)
    _worker["state"] = work, device


def _do(unit: FoldRun) -> Outcome:
    work, device = _worker["state"]
    return attempt(work, unit, device)
