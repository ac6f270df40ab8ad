"""Loaded into the kernel of an executed notebook: tells what goes wrong beside its cells.

An exception in a thread, or one that Python can raise nowhere, reaches the screen at best; after
the end of its cell it reaches nothing. Both are written into the file that `HMRM_NOTEBOOK_FAULTS`
names, and so is a process of `multiprocessing` that failed: one that is killed says nothing.
Processes that fork from the kernel do the same.
"""

import json
import os
import sys
import threading
from collections.abc import Callable
from multiprocessing import popen_fork
from typing import Any

FILE = "HMRM_NOTEBOOK_FAULTS"
REPORTS = "faults.jsonl"  # the usual name of that file


def load_ipython_extension(shell: Any) -> None:
    """What `--ext` calls: put the reporters before those that are there."""
    cell = 0

    def begin(info: Any) -> None:
        nonlocal cell
        cell += info.store_history

    def tell(kind: str, reason: str, source: Any = None) -> None:
        line = json.dumps({"kind": kind, "cell": getattr(source, "_cell", cell), "reason": reason})
        with open(os.environ[FILE], "a", encoding="utf-8") as file:  # noqa: PTH123  at exit, too
            file.write(f"{line}\n")

    shell.events.register("pre_run_cell", begin)
    _watch_threads(tell, lambda: cell)
    _watch_unraisable(tell)
    _watch_processes(tell)


def _watch_threads(tell: Any, cell: Callable[[], int]) -> None:
    """A thread belongs to the cell that has started it, which may have ended since."""
    before, plain_start = threading.excepthook, threading.Thread.start

    def hook(args: Any) -> None:
        if args.exc_type is not SystemExit:
            tell("thread", _told(args.exc_type, args.exc_value), args.thread)
        before(args)

    def start(self: Any) -> None:
        self._cell = cell()
        plain_start(self)

    thread: Any = threading.Thread
    threading.excepthook, thread.start = hook, start


def _watch_unraisable(tell: Any) -> None:
    before = sys.unraisablehook

    def hook(args: Any) -> None:
        tell("unraisable", _told(args.exc_type, args.exc_value))
        before(args)

    sys.unraisablehook = hook


def _watch_processes(tell: Any) -> None:
    """A process of `multiprocessing` that failed, unless its parent ended it."""
    if os.name == "nt":
        return
    popen: Any = popen_fork.Popen
    plain_poll, plain_signal = popen.poll, popen._send_signal

    def poll(self: Any, flag: int = os.WNOHANG) -> int | None:
        known = self.returncode is not None
        status: int | None = plain_poll(self, flag)
        if not known and status and not hasattr(self, "_ended_by_parent"):
            tell("process", f"killed by signal {-status}" if status < 0 else f"status {status}")
        return status

    def send(self: Any, number: int) -> None:
        self._ended_by_parent = True
        plain_signal(self, number)

    popen.poll, popen._send_signal = poll, send


def _told(kind: type[BaseException], value: BaseException | None) -> str:
    said = str(value) if value is not None else ""
    return f"{kind.__name__}: {said}" if said else kind.__name__
