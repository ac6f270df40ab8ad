"""Looking again from time to time, while other processes work."""

import asyncio
from collections.abc import Callable, Iterable, Sequence

import ipywidgets as w

from hmrm_widgets.viewer import Viewer

EVERY_SECONDS = 1.0


class Poll:
    """Calls `look` on the loop of the notebook: every so often while it says that more will come.

    It reads between cells, never while one runs. Where there is no loop, in a script or a test,
    nothing is polled, and whoever made the widget calls `update` by hand. A fault in `look` ends
    the polling, and the loop tells of it.

    Parameters
    ----------
    look
        Whether more will come soon.
    every_s
        Seconds between two readings while it does.
    idle_s
        The same while nothing comes; 0 stops reading.
    """

    def __init__(
        self, look: Callable[[], bool], every_s: float = EVERY_SECONDS, idle_s: float = 0.0
    ) -> None:
        self._look, self._every_s, self._idle_s = look, every_s, idle_s
        self._next: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Look again after a while; if that is arranged already, nothing changes."""
        self._arrange(self._every_s)

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
        wait_s = self._every_s if self._look() else self._idle_s
        if wait_s:
            self._arrange(wait_s)

    def _arrange(self, wait_s: float) -> None:
        if self._next is None and (loop := _running_loop()):
            self._next = loop.call_later(wait_s, self._tick)


class PolledViewer(Viewer):
    """A viewer of work that other processes do: it redraws by itself while that goes on.

    `render` sets `_going` to what it shows, so that the last look shows the end; whoever starts
    the work calls `_poll.begin`.
    """

    def __init__(self, rows: Sequence[w.Widget], controls: Iterable[w.Widget]) -> None:
        self._going = False
        self._poll = Poll(self.update)
        super().__init__(rows, controls)
        self._poll.begin()

    def update(self) -> bool:
        """Look what has arrived; whether the work goes on."""
        self._going = False
        self.redraw()
        return self._going

    def close(self) -> None:
        """Take the widget away; the work goes on."""
        self._poll.end()
        super().close()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
