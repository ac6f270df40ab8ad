"""Ending work in order when the person, or the queue, asks for it."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from hmrm_lab.errors import Stopped


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
