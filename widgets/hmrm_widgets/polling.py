"""Looking again from time to time, while other processes work."""

import asyncio
from collections.abc import Callable

EVERY_SECONDS = 1.0


class Poll:
    """Calls `look` every second on the loop of the notebook, while `look` says that more will come.

    It looks between cells, never while one runs. Where there is no loop, in a script or a test,
    nothing is polled, and whoever made the widget calls `update` by hand.
    """

    def __init__(self, look: Callable[[], bool], every_s: float = EVERY_SECONDS) -> None:
        self._look, self._every_s = look, every_s
        self._next: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Look again after a while; if that is arranged already, nothing changes."""
        if self._next is None and (loop := _running_loop()):
            self._next = loop.call_later(self._every_s, self._tick)

    def end(self) -> None:
        """Look no more."""
        if self._next is not None:
            self._next.cancel()
            self._next = None

    @property
    def going(self) -> bool:
        return self._next is not None

    def _tick(self) -> None:
        self._next = None
        if self._look():
            self.begin()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
