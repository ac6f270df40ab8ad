"""What the commands have in common: options, the way a result is shown, how they stop."""

import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from hmrm_lab.errors import Stopped

Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]


def show(result: dict[str, Any], text: str, as_json: bool) -> None:
    """The result for a program or for a person."""
    typer.echo(json.dumps(result, indent=2) if as_json else text)


@contextmanager
def stoppable() -> Iterator[None]:
    """Ctrl-C and SIGTERM end the command in order; a second one ends it at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard = False

    def stop(number: int, frame: object) -> None:
        nonlocal heard
        if heard:
            os._exit(128 + number)
        heard = True
        raise Stopped(128 + number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
