"""Progress: who is told of it, and bars on standard error, or a line every few seconds there."""

import sys
import time
from collections.abc import Callable
from html import escape
from types import TracebackType
from typing import Any, Protocol, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

QUIET_SECONDS = 5.0


class Watcher(Protocol):
    """Told how far a stage is: `watch("flow", 3, 156)`; a note says more in words.

    Of folds it is called from a thread of its own, and parts of a fold count.
    """

    def __call__(self, stage: str, done: float, total: int, note: str = "", /) -> None: ...


class Speed(Protocol):
    """How fast a run is, and how long it will take."""

    @property
    def epochs_per_s(self) -> float: ...

    @property
    def seconds_left(self) -> float | None: ...


def _ignore(stage: str, done: float, total: int, note: str = "", /) -> None: ...


UNWATCHED: Watcher = _ignore


def describe_speed(status: Speed) -> str:
    """`31 epochs/s, 1 min 20 s left`; empty while nothing is in work."""
    left = status.seconds_left
    if left is None:
        return ""
    minutes, seconds = divmod(round(left), 60)
    hours, minutes = divmod(minutes, 60)
    times = [(hours, "h"), (minutes, "min"), (seconds, "s")]
    words = [f"{count} {unit}" for count, unit in times if count][:2] or ["0 s"]
    return f"{status.epochs_per_s:.3g} epochs/s, {' '.join(words)} left"


class Note(ProgressColumn):
    """The note of a stage; without one the remaining time."""

    def __init__(self) -> None:
        super().__init__()
        self._left = TimeRemainingColumn()

    def render(self, task: Task) -> Text:
        note = task.fields.get("note")
        return Text(note, style="progress.remaining") if note else self._left.render(task)


class NotebookBars:
    """One bar per stage in the output of a notebook's cell; called as `ProgressBars` is."""

    def __init__(self) -> None:
        self._shown: dict[str, Any] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def __call__(self, stage: str, done: float, total: int, note: str = "") -> None:
        """Show how far a stage is; nothing for a stage that was complete from the start."""
        from IPython.display import HTML, display

        if stage not in self._shown and total and done >= total:
            return
        count = f"{int(done)} of {total}" if total else str(int(done))
        bar = f"<progress value={done} max={total or 1}></progress>"
        words = HTML(f"{bar} {escape(stage)}: {count} {escape(note)}")
        if stage in self._shown:
            self._shown[stage].update(words)
        else:
            self._shown[stage] = display(words, display_id=True)

    def stage(self, name: str) -> Callable[[int, int], None]:
        return lambda done, total: self(name, done, total)


def progress_bars() -> "ProgressBars | NotebookBars":
    """Bars for where this is called from: a notebook, or a terminal."""
    shell = sys.modules.get("IPython")
    kernel = getattr(shell.get_ipython(), "kernel", None) if shell else None
    return NotebookBars() if kernel else ProgressBars()


class ProgressBars:
    """One bar per stage; call it as `bars(stage, done, total)`, or with a note in words.

    A part of a whole counts: 2.5 of 40 moves the bar, and is shown as 2.
    """

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[count]}", style="progress.download"),
            Note(),
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

    def __call__(self, stage: str, done: float, total: int, note: str = "") -> None:
        """Say how far a stage is; a `total` of 0 means that nobody knows."""
        count = f"{int(done)} of {total}" if total else str(int(done))
        if self._console.is_terminal:
            if stage not in self._tasks:
                self._tasks[stage] = self._bars.add_task(stage, total=None, count=count, note=note)
            task = self._tasks[stage]
            self._bars.update(task, completed=done, total=total or None, count=count, note=note)
        elif done == total or time.monotonic() - self._spoke > QUIET_SECONDS:
            self._spoke = time.monotonic()
            print(", ".join(filter(None, [f"{stage}: {count}", note])), file=sys.stderr, flush=True)

    def stage(self, name: str) -> Callable[[int, int], None]:
        return lambda done, total: self(name, done, total)
