"""Progress: who is told of it, and bars on standard error, or a line every few seconds there."""

import sys
import time
from collections.abc import Callable
from html import escape
from typing import Any, Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

QUIET_SECONDS = 5.0


class Watcher(Protocol):
    """Told how far a stage is: `watch("flow", 3, 156)`; a note says more in words.

    Of folds it is called from a thread of its own, and parts of a fold count. A total of 0 means
    that nobody knows.
    """

    def __call__(self, stage: str, done: float, total: int, note: str = "", /) -> None: ...


def _ignore(stage: str, done: float, total: int, note: str = "", /) -> None: ...


UNWATCHED: Watcher = _ignore


def describe_speed(epochs_per_s: float, seconds_left: float | None) -> str:
    """`31 epochs/s, 1 min 20 s left`; empty while nothing is in work."""
    if seconds_left is None:
        return ""
    minutes, seconds = divmod(round(seconds_left), 60)
    hours, minutes = divmod(minutes, 60)
    times = [(hours, "h"), (minutes, "min"), (seconds, "s")]
    words = [f"{count} {unit}" for count, unit in times if count][:2] or ["0 s"]
    return f"{epochs_per_s:.3g} epochs/s, {' '.join(words)} left"


class Bars:
    """A bar for each stage, in the output of a notebook's cell; call it as a `Watcher`."""

    def __init__(self) -> None:
        self._shown: dict[str, Any] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def __call__(self, stage: str, done: float, total: int, note: str = "", /) -> None:
        from IPython.display import HTML, display

        if stage not in self._shown and total and done >= total:  # complete from the start
            return
        bar = f"<progress value={done} max={total or 1}></progress>"
        words = HTML(f"{bar} {escape(stage)}: {_count(done, total)} {escape(note)}")
        if stage in self._shown:
            self._shown[stage].update(words)
        else:
            self._shown[stage] = display(words, display_id=True)

    def stage(self, name: str) -> Callable[[int, int], None]:
        return lambda done, total: self(name, done, total)


class Note(ProgressColumn):
    """The note of a stage; without one the remaining time."""

    def __init__(self) -> None:
        super().__init__()
        self._left = TimeRemainingColumn()

    def render(self, task: Task) -> Text:
        note = task.fields.get("note")
        return Text(note, style="progress.remaining") if note else self._left.render(task)


class TerminalBars(Bars):
    """A bar for each stage on a terminal; a line every few seconds where there is none."""

    def __init__(self) -> None:
        super().__init__()
        console = Console(stderr=True)
        self._on_terminal = console.is_terminal
        count = TextColumn("{task.fields[count]}", style="progress.download")
        columns = (TextColumn("{task.description}"), BarColumn(), count, Note())
        self._bars = Progress(*columns, console=console, disable=not self._on_terminal)
        self._spoke = 0.0

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def __call__(self, stage: str, done: float, total: int, note: str = "", /) -> None:
        words: Any = {"count": _count(done, total), "note": note}
        if self._on_terminal:
            if stage not in self._shown:
                self._shown[stage] = self._bars.add_task(stage, total=None, **words)
            self._bars.update(self._shown[stage], completed=done, total=total or None, **words)
        elif done == total or time.monotonic() - self._spoke > QUIET_SECONDS:
            self._spoke = time.monotonic()
            line = ", ".join(filter(None, [f"{stage}: {words['count']}", note]))
            print(line, file=sys.stderr, flush=True)


def progress_bars() -> Bars:
    """Bars for where this is called from: a notebook, or a terminal."""
    shell = sys.modules.get("IPython")
    kernel = getattr(shell.get_ipython(), "kernel", None) if shell else None
    return Bars() if kernel else TerminalBars()


def _count(done: float, total: int) -> str:
    """A part of a whole is not counted: 2.5 of 40 is 2 of 40."""
    return f"{int(done)} of {total}" if total else str(int(done))
