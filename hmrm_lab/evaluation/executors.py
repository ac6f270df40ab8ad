"""Where units of work are computed: in this process, or in several of this machine.

An executor is given the work and the units, and hands back results as they come, in any order.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from joblib import Parallel, delayed

from hmrm_lab.evaluation.unit import Unit

Work = Callable[[Unit], dict[str, Any]]
Executor = Callable[[Work, Sequence[Unit]], Iterator[tuple[Unit, dict[str, Any]]]]


def in_process(work: Work, units: Sequence[Unit]) -> Iterator[tuple[Unit, dict[str, Any]]]:
    for unit in units:
        yield unit, work(unit)


def processes(jobs: int) -> Executor:
    """`jobs` processes of one thread each."""
    return partial(_in_processes, jobs) if jobs > 1 else in_process


def _in_processes(
    jobs: int, work: Work, units: Sequence[Unit]
) -> Iterator[tuple[Unit, dict[str, Any]]]:
    if len(units) < 2:
        yield from in_process(work, units)
        return
    pool = Parallel(n_jobs=min(jobs, len(units)), return_as="generator_unordered", batch_size=1)
    yield from pool(delayed(_numbered)(work, unit) for unit in units)


def _numbered(work: Work, unit: Unit) -> tuple[Unit, dict[str, Any]]:
    return unit, work(unit)
