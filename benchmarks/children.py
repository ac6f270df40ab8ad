"""Sides in processes of their own, for what is set once and for all in a process."""

import subprocess
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Self


class Child:
    """A process that does one piece of work whenever it is asked, and says how long it took."""

    def __init__(self, *command: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __call__(self) -> float:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write("again\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"a side ended with status {self.process.wait()}")
        return float(answer)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def serve(side: Callable[[], float]) -> None:
    """What such a process does until its standard input ends."""
    for _ in sys.stdin:
        print(side(), flush=True)
