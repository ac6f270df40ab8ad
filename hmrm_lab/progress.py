"""Progress on standard error: bars on a terminal, a line every few seconds elsewhere."""

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

QUIET_SECONDS = 5.0


class ProgressBars:
    """One bar per stage; call it as `bars(stage, done, total)`."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}
        self._spoke = 0.0

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Say how far a stage is; a `total` of 0 means that nobody knows."""
        if self._console.is_terminal:
            total_known = total or None
            if stage not in self._tasks:
                self._tasks[stage] = self._bars.add_task(stage, total=total_known)
            self._bars.update(self._tasks[stage], completed=done, total=total_known)
        elif done == total or time.monotonic() - self._spoke > QUIET_SECONDS:
            self._spoke = time.monotonic()
            of = f" of {total}" if total else ""
            print(f"{stage}: {done}{of}", file=sys.stderr, flush=True)

    def stage(self, name: str) -> Callable[[int, int], None]:
        return lambda done, total: self(name, done, total)
