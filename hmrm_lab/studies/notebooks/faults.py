"""What goes wrong in an executed notebook: reported from inside its kernel, and in one sentence.

As an extension of IPython (`--ext`), this module runs in the kernel and reports what goes wrong
beside the cells, and may reach nobody: an exception in a thread, one that Python can raise nowhere,
and a process of `multiprocessing` that failed. They are written into the file that
`HMRM_NOTEBOOK_FAULTS` names.
"""

import json
import os
import re
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import popen_fork
from pathlib import Path
from typing import Any

FILE = "HMRM_NOTEBOOK_FAULTS"
REPORTS = "faults.jsonl"  # the usual name of that file
CAUSES = {  # of several faults of a notebook the first of these is the one told
    "start": "there is no kernel",
    "kernel": "the kernel died",
    "cell": "",
    "callback": "in a widget or a callback",
    "thread": "in a thread",
    "process": "a child process ended with",
    "unraisable": "where Python could raise it nowhere",
    "stderr": "on standard error",
}
LONGEST = 300
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_NAMED = re.compile(r"\b(?:\w+\.)*\w*(?:Error|Exception|Warning|Interrupt|Exit): .*")


@dataclass(frozen=True)
class Fault:
    kind: str  # a key of `CAUSES`
    reason: str  # name and message of the exception, or the telling line of what was printed
    cell: int | None = None  # its execution count; None where no cell ran
    source: str = ""  # the first line of that cell

    def sentence(self) -> str:
        told = ": ".join(part for part in (CAUSES[self.kind], self.reason) if part)
        return told if self.cell is None else f"cell [{self.cell}] `{self.source}`: {told}"


def describe(name: str, faults: Sequence[Fault]) -> str:
    """One sentence: notebook, cell and reason of the gravest fault, and how many others."""
    order = list(CAUSES)
    gravest = min(faults, key=lambda fault: order.index(fault.kind))
    others = len({fault.cell for fault in faults} - {gravest.cell, None})
    more = f" (and faults in {others} other cell{'s' * (others > 1)})" if others else ""
    return f"{name}, {gravest.sentence()}{more}"


def told_by(text: str) -> str:
    """The line of a printed traceback or warning that says what it is about."""
    lines = [line.strip() for line in _COLOURS.sub("", text).splitlines() if line.strip()]
    named = [found[0] for line in lines if (found := _NAMED.search(line))]
    return (named[-1] if named else lines[-1] if lines else "nothing was said")[:LONGEST]


def name_error(name: str, message: str) -> str:
    return f"{name}: {' '.join(message.split())}".strip(": ")[:LONGEST]


def read_reports(file: Path, sources: dict[int, str]) -> list[Fault]:
    """What was reported in the kernel. The last line may have been cut off."""
    faults = []
    for line in file.read_text(encoding="utf-8").splitlines() if file.is_file() else []:
        try:
            report = json.loads(line)
        except ValueError:
            continue
        faults.append(Fault(**report, source=sources.get(report["cell"], "")))
    return faults


def first_line(source: str) -> str:
    """The first line of a cell that is not empty, cut to a readable length."""
    lines = [line.strip() for line in source.splitlines() if line.strip()]
    return (lines[0] if lines else "")[:60]


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

    def tell_unraisable(args: Any) -> None:
        tell("unraisable", _told(args))
        before(args)

    before, sys.unraisablehook = sys.unraisablehook, tell_unraisable
    _watch_threads(tell, lambda: cell)
    _watch_processes(tell)


def _watch_threads(tell: Any, cell: Callable[[], int]) -> None:
    """A thread belongs to the cell that has started it, which may have ended since."""
    before, plain_start = threading.excepthook, threading.Thread.start

    def hook(args: Any) -> None:
        if args.exc_type is not SystemExit:
            tell("thread", _told(args), args.thread)
        before(args)

    def start(self: Any) -> None:
        self._cell = cell()
        plain_start(self)

    thread: Any = threading.Thread
    threading.excepthook, thread.start = hook, start


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


def _told(args: Any) -> str:
    return name_error(args.exc_type.__name__, str(args.exc_value or ""))
