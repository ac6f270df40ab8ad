"""What went wrong in an executed notebook, in one sentence."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

CAUSES = {  # of several faults of a notebook the first of these is the one told
    "start": "there is no kernel",
    "kernel": "the kernel died",
    "cell": "",
    "callback": "in a widget or a callback",
    "thread": "in a thread",
    "process": "a child process ended with",
    "unraisable": "where Python could raise it nowhere",
    "stderr": "on standard error",
    "papermill": "papermill warns",
}
LONGEST = 300
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_NAMED = re.compile(r"\b(?:\w+\.)*\w*(?:Error|Exception|Warning|Interrupt|Exit): .*")


@dataclass(frozen=True)
class Fault:
    """One thing that went wrong.

    Parameters
    ----------
    kind
        A key of `CAUSES`.
    reason
        Name and message of the exception, or the telling line of what was printed.
    cell
        Execution count of the cell, as the executed copy shows it; None where no cell ran.
    source
        The first line of that cell.
    """

    kind: str
    reason: str
    cell: int | None = None
    source: str = ""

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
    """Name and message of an exception in one line."""
    return f"{name}: {' '.join(message.split())}".strip(": ")[:LONGEST]


def read_reports(file: Path, sources: dict[int, str]) -> list[Fault]:
    """What `watch` has written in the kernel. The last line may have been cut off."""
    faults = []
    for line in file.read_text(encoding="utf-8").splitlines() if file.is_file() else []:
        try:
            report = json.loads(line)
        except ValueError:
            continue
        kind, cell, reason = report["kind"], report["cell"], report["reason"]
        faults.append(Fault(kind, reason[:LONGEST], cell, sources.get(cell, "")))
    return faults


def first_line(source: str) -> str:
    """The first line of a cell that is not empty, cut to a readable length."""
    lines = [line.strip() for line in source.splitlines() if line.strip()]
    return (lines[0] if lines else "")[:60]
