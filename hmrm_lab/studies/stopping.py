"""Ending work in order when the person, or the queue, asks for it."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from hmrm_lab.errors import Stopped


def say_nothing(told: threading.ExceptHookArgs) -> None:
    """What threads of a pool say whose workers are gone, once the end has been told."""


@contextmanager
def stoppable() -> Iterator[None]:
    """Ctrl-C and SIGTERM end what is inside in order; a second one ends it at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard = False

    def stop(number: int, frame: object) -> None:
        nonlocal heard
        if heard:
            os._exit(128 + number)
        heard = True
        threading.excepthook = say_nothing
        raise Stopped(128 + number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
