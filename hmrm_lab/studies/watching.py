"""Telling whoever watches how far the folds are, while other processes work on them."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Protocol

from hmrm_lab.evaluation.fold_progress import read_status
from hmrm_lab.runtime.store import RunFolder

POLL_SECONDS = 1.0


class Watcher(Protocol):
    """Told how far a stage is: `watch("flow", 3, 156)`; a note says more in words.

    Of folds it is told from a thread of its own, and parts of a fold count.
    """

    def __call__(self, stage: str, done: float, total: int, note: str = "", /) -> None: ...


def _nobody(stage: str, done: float, total: int, note: str = "", /) -> None: ...


UNWATCHED: Watcher = _nobody


class Speed(Protocol):
    """How fast a run is, and how long it will take."""

    @property
    def epochs_per_s(self) -> float: ...

    @property
    def seconds_left(self) -> float | None: ...


@contextmanager
def watching(run: RunFolder, watch: Watcher, stage: str) -> Iterator[None]:
    """Once a second until the work inside ends, however it ends."""
    ended = Event()
    thread = Thread(target=_poll, args=(run, watch, stage, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def describe(status: Speed) -> str:
    """`31 epochs/s, 1 min 20 s left`; empty while nothing is in work."""
    left = status.seconds_left
    if left is None:
        return ""
    minutes, seconds = divmod(round(left), 60)
    hours, minutes = divmod(minutes, 60)
    times = [(hours, "h"), (minutes, "min"), (seconds, "s")]
    words = [f"{count} {unit}" for count, unit in times if count][:2] or ["0 s"]
    return f"{status.epochs_per_s:.3g} epochs/s, {' '.join(words)} left"


def _poll(run: RunFolder, watch: Watcher, stage: str, ended: Event) -> None:
    over = False
    while not over:
        over = ended.wait(POLL_SECONDS)
        status = read_status(run)
        if over:
            watch(stage, status.done, status.expected)
        else:
            watch(stage, status.folds, status.expected, describe(status))
