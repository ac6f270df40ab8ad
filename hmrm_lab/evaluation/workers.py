"""Executors: compute folds in this process, or in several processes of this machine.

An executor takes the work and the folds, and yields outcomes as they come, in any order.
"""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import islice
from typing import Protocol

from joblib.externals.loky.process_executor import BrokenProcessPool, ProcessPoolExecutor

from hmrm_lab.errors import ConfigError, unknown_name
from hmrm_lab.evaluation.fold import CRASHED, Failure, FoldRun, Outcome, Outcomes, Work, attempt
from hmrm_lab.runtime.processes import ONE_THREAD, interrupts_held, release_memory, settle_worker

EXECUTORS = ("processes", "dask")


class Executor(Protocol):
    """Computes folds. Closing the generator ends the folds in work.

    `alone` is for a second attempt: in a new process, or on a free worker of a cluster.
    """

    def __call__(self, work: Work, units: Iterable[FoldRun]) -> Outcomes: ...

    def alone(self, work: Work, unit: FoldRun) -> Outcome: ...


@dataclass(frozen=True)
class InProcess:
    """One fold after another, in this process."""

    device: str = "cpu"

    def __call__(self, work: Work, units: Iterable[FoldRun]) -> Outcomes:
        for unit in units:
            yield unit, attempt(work, unit, self.device)

    def alone(self, work: Work, unit: FoldRun) -> Outcome:
        release_memory(self.device)  # the other process shares the card with this one
        return _alone(work, unit, self.device)


@dataclass(frozen=True)
class Processes:
    """One process of one thread for each entry of `devices`."""

    devices: tuple[str, ...]

    def __call__(self, work: Work, units: Iterable[FoldRun]) -> Outcomes:
        return _compute(work, units, self.devices)

    def alone(self, work: Work, unit: FoldRun) -> Outcome:
        return _alone(work, unit, self.devices[0])


def processes(jobs: int, devices: Sequence[str] = ("cpu",)) -> Executor:
    """Make an executor of `jobs` processes, assigned round-robin; at least one for each device."""
    count = max(jobs, len(devices))
    if count == 1:
        return InProcess(devices[0])
    return Processes(tuple(devices[number % len(devices)] for number in range(count)))


@contextmanager
def open_executor(
    name: str, *, jobs: int, devices: tuple[str, ...], scheduler: str | None = None
) -> Iterator[Executor]:
    """The executor of that name, for as long as the command needs it."""
    if name not in EXECUTORS:
        raise unknown_name("executor", name, EXECUTORS)
    if name == "processes":
        if scheduler:
            raise ConfigError("--scheduler is for Dask", hint="add --executor dask")
        yield processes(jobs, devices)
        return
    if find_spec("distributed") is None:
        raise ConfigError(
            "--executor dask needs a package that is not here",
            hint="pip install 'hmrm-lab[cluster]'",
        )
    if len(devices) > 1:
        raise ConfigError(
            "--executor dask takes one device, the same for every worker",
            hint="start one worker per GPU, and give --devices cuda",
        )
    from hmrm_lab.evaluation.dask import open_dask

    with open_dask(scheduler, jobs=jobs, device=devices[0]) as executor:
        yield executor


class _Lane:
    """One worker process and its device. If the process dies, only its own fold is lost.

    The work, with all data in it, is sent once to every process, and not with the folds.
    """

    def __init__(self, work: Work, device: str) -> None:
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


def _compute(work: Work, units: Iterable[FoldRun], devices: Sequence[str]) -> Outcomes:
    waiting = iter(units)
    lanes: set[_Lane] = set()
    at_work: dict[Future[Outcome], tuple[_Lane, str, FoldRun]] = {}

    def give(lane: _Lane, device: str, unit: FoldRun) -> None:
        try:
            future = lane.submit(unit)
        except BrokenProcessPool:  # it died while it had nothing to do
            give(replace(lane, device), device, unit)
            return
        at_work[future] = lane, device, unit

    def replace(lane: _Lane, device: str) -> _Lane:
        lanes.discard(lane)
        lane.kill()
        return begin(device)

    def begin(device: str) -> _Lane:
        lane = _Lane(work, device)
        lanes.add(lane)
        return lane

    try:
        for device, unit in zip(devices, islice(waiting, len(devices)), strict=False):
            give(begin(device), device, unit)
        while at_work:
            for future in wait(at_work, return_when=FIRST_COMPLETED).done:
                lane, device, unit = at_work.pop(future)
                outcome, died = _outcome(future)
                if died:
                    lane = replace(lane, device)
                for following in islice(waiting, 1):
                    give(lane, device, following)
                yield unit, outcome
    finally:
        for lane in lanes:
            lane.kill()


def _alone(work: Work, unit: FoldRun, device: str) -> Outcome:
    ((_, outcome),) = _compute(work, [unit], [device])
    return outcome


def _outcome(future: "Future[Outcome]") -> tuple[Outcome, bool]:
    """The outcome of a fold, and whether its process died with it."""
    try:
        return future.result(), False
    except BrokenProcessPool as error:
        signs = re.search(r"exit codes of the workers are \{(.*?)\}", str(error))
        how = signs[1] if signs and signs[1] else "no exit code"
        return Failure(CRASHED, f"the process died ({how})"), True


_worker: dict[str, tuple[Work, str]] = {}


def _start_worker(work: Work, device: str, parent: int) -> None:
    settle_worker(parent)
    _worker["state"] = work, device


def _do(unit: FoldRun) -> Outcome:
    work, device = _worker["state"]
    return attempt(work, unit, device)
