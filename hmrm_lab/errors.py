"""Typed errors: one clear sentence each, with the exit status of the command line."""

import os
import signal
import threading
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from functools import partial
from pathlib import Path

LISTED_BY = {"system": "hmrm systems", "setting": "hmrm settings"}  # commands


class HmrmError(Exception):
    """The work failed for a known reason."""

    exit_status = 1


class InputError(HmrmError):
    """The input is wrong; the message reads `<where>, row <row>: <problem>; <hint>`."""

    exit_status = 2

    def __init__(
        self, problem: str, *, hint: str, where: Path | str | None = None, row: int | None = None
    ) -> None:
        place = ", row ".join(str(part) for part in (where, row) if part is not None)
        super().__init__(f"{place}: {problem}; {hint}" if place else f"{problem}; {hint}")
        self.problem, self.hint, self.where, self.row = problem, hint, where, row

    def __reduce__(self) -> tuple[object, ...]:  # keyword arguments survive pickling
        rebuilt = partial(type(self), hint=self.hint, where=self.where, row=self.row)
        return rebuilt, (self.problem,)


class ConfigError(InputError):
    """A setting has an unknown name or a value outside its range."""


class MixtureError(ConfigError):
    """Settings that are right alone and cannot be combined; the hint is `set key=value`."""


class IncompleteRunError(HmrmError):
    """A run folder lacks folds, so that no figure may be computed from it."""


class DivergedError(HmrmError):
    """A training produced a loss that is not finite."""


class DiskFullError(HmrmError):
    """A file could not be written because the disk is full."""


class FailedFoldsError(HmrmError):
    """Folds of a run failed; the others are finished."""


class Stopped(BaseException):
    """The user or the queue ended the command. A `BaseException`, so that no handler keeps it."""

    def __init__(self, exit_status: int) -> None:
        super().__init__("stopped")
        self.exit_status = exit_status


def unknown_name(kind: str, name: str, known: Iterable[str]) -> ConfigError:
    """Make the error for a name that does not exist, with the nearest one, or all that do."""
    known = sorted(known)
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    guess = [f"did you mean '{near[0]}'?"] if near else []
    if kind in LISTED_BY:
        guess.append(f"`{LISTED_BY[kind]}` lists all")
    hint = " ".join(guess) or f"known are {', '.join(known) or 'none'}"
    return ConfigError(f"unknown {kind} '{name}'", hint=hint)


def check_known(kind: str, name: str, known: Collection[str]) -> None:
    """Raise that error unless `name` is among those that exist."""
    if name not in known:
        raise unknown_name(kind, name, known)


@contextmanager
def stoppable(raising: type[BaseException] = Stopped) -> Iterator[None]:
    """End what is inside with `Stopped` at Ctrl-C and SIGTERM; a second one ends it at once.

    Inside, the main thread gets an exception of type `raising`: an event loop would keep any but
    `KeyboardInterrupt` for the task that it happens to run.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []

    def stop(number: int, frame: object) -> None:
        if received:
            os._exit(128 + number)
        received.append(number)
        threading.excepthook = lambda _: None  # threads of a pool complain of their lost workers
        raise raising(128 + number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except KeyboardInterrupt:
        if not received:
            raise
        raise Stopped(128 + received[0]) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
