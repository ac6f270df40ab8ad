"""Folds on Dask: workers of other machines, or of a local cluster started for the command.

Only the command writes into the run folder, so no disk has to be shared. Needs the extra
`cluster`; see docs/cluster.md.
"""

import logging
import os
import signal
from collections.abc import Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from functools import partial
from threading import Lock
from typing import Any
from uuid import uuid4

import dask
from distributed import Client, Future, KilledWorker, LocalCluster, Worker, as_completed
from distributed.diagnostics.plugin import WorkerPlugin

from hmrm_lab.errors import ConfigError, HmrmError, Stopped
from hmrm_lab.evaluation.fold import (
    CRASHED,
    Executor,
    Failure,
    FoldRun,
    Outcome,
    Outcomes,
    Work,
    attempt,
)
from hmrm_lab.runtime.processes import ONE_THREAD

PATIENCE = "5s"  # until the scheduler answers
LOCAL = {
    "distributed.scheduler.allowed-failures": 0,  # the second attempt is made alone, at the end
    "distributed.scheduler.worker-saturation": 1.0,  # a worker holds only its own fold
    "distributed.worker.memory.terminate": False,
    "distributed.worker.memory.pause": False,
}
GONE = "the Dask scheduler is gone; the folds that are finished are kept, the same command goes on"


@contextmanager
def open_dask(address: str | None, *, jobs: int, device: str) -> Iterator[Executor]:
    """Connect to the scheduler at `address`, or to a local cluster of `jobs` processes."""
    if address is None:
        with _local_cluster(jobs) as cluster, Client(cluster) as client:
            yield partial(_compute, client, device)
        return
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # it logs tracebacks
    try:
        client = Client(address, timeout=PATIENCE)
    except (OSError, ValueError) as error:  # a timeout is an OSError
        first_line = (str(error).splitlines() or [type(error).__name__])[0]
        problem = f"no Dask scheduler answers at '{address}' ({first_line})"
        hint = "start `dask scheduler` and give its address, tcp://HOST:8786"
        raise ConfigError(problem, hint=hint) from None
    with client:
        yield partial(_compute, client, device)


@contextmanager
def _local_cluster(jobs: int) -> Iterator[LocalCluster]:
    """Worker processes of this machine, killed at once when the command is stopped."""
    with (
        dask.config.set(LOCAL),
        LocalCluster(
            n_workers=jobs,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            memory_limit=None,
            silence_logs=logging.CRITICAL,
            env=ONE_THREAD,
        ) as cluster,
    ):
        try:
            yield cluster
        except (KeyboardInterrupt, Stopped):
            for nanny in cluster.workers.values():
                if nanny.pid:
                    os.kill(nanny.pid, signal.SIGKILL)
            raise


def _compute(
    client: Client, device: str, work: Work, units: Iterable[FoldRun], *, alone: bool = False
) -> Outcomes:
    name = f"hmrm-{uuid4().hex}"
    try:
        client.register_plugin(_Ship(name, work), name=name)
    except OSError as error:
        raise HmrmError(GONE) from error
    except Exception as error:
        hint = "install the same version of hmrm-lab for every worker"
        raise HmrmError(f"a Dask worker could not take the work ({error}); {hint}") from error
    futures: dict[Future[Any], FoldRun] = {}
    try:
        for number, unit in enumerate(units):
            key = f"{name}-{number}"
            task = client.submit(_do, name, unit, device, key=key, pure=False)
            futures[task] = unit
        for future in as_completed(list(futures)):
            unit = futures.pop(future)  # the worker releases its data with it
            try:
                outcome: Outcome = future.result()
            except KilledWorker as error:
                times = f" {error.allowed_failures + 1} times" if error.allowed_failures else ""
                outcome = Failure(CRASHED, f"the worker died{times}")
            yield unit, outcome
    except (CancelledError, OSError) as error:
        raise HmrmError(GONE) from error
    finally:
        with suppress(OSError, CancelledError):  # the scheduler is gone
            client.cancel(list(futures), force=True)
            client.unregister_worker_plugin(name)


_shipped: dict[str, Work] = {}
_one_at_a_time = Lock()  # random states are global: threads of one worker take turns


class _Ship(WorkerPlugin):
    """Sends the work, with all data in it, once to every worker, including later ones."""

    def __init__(self, name: str, work: Work) -> None:
        self.name, self.work = name, work

    def setup(self, worker: Worker) -> None:
        _shipped[self.name] = self.work

    def teardown(self, worker: Worker) -> None:
        _shipped.pop(self.name, None)


def _do(name: str, unit: FoldRun, device: str) -> Outcome:
    with _one_at_a_time:
        return attempt(_shipped[name], unit, device)
