"""Watch a leave-one-subject-out that runs in a process of its own; start, stop and resume it."""

from collections.abc import Callable
from typing import Any

import ipywidgets as w

from hmrm_lab.api.result import Result
from hmrm_lab.errors import HmrmError
from hmrm_lab.evaluation.live_progress import RunSnapshot, SnapshotReader
from hmrm_lab.reporting.svg import (
    confusion_cells,
    loss_curves,
    progress_bar,
    subject_cells,
)
from hmrm_lab.runtime.progress import describe_speed
from hmrm_lab.runtime.store import RunFolder
from hmrm_lab.studies.jobs import JobState, wait_for
from hmrm_widgets.parts import plain, row
from hmrm_widgets.polling import Poll
from hmrm_widgets.viewer import Viewer

RARELY = 5  # times `poll_s`: how often it reads while nobody works on the run
WORDS = {
    "absent": "Not started",
    "waiting": "Waits for its turn",
    "preparing": "Reading the data, computing flow",
    "running": "Running",
    "stopped": "Stopped; what is finished is kept",
    "failed": "Failed",
    "complete": "Complete",
}


class LosoMonitor(Viewer):
    """Progress, held-out subjects, training curves and predictions of one run, as they arrive.

    The run has a process of its own: the kernel stays free, and neither closing this widget nor the
    end of the kernel stops the run. Where an event loop is running, as in a notebook, it reads
    the run folder every `poll_s` seconds; elsewhere call `update`.

    Parameters
    ----------
    result
        Of `lab.evaluate(..., background=True)`, or of a run folder.
    poll_s
        Seconds between two readings while the run is going.

    Attributes
    ----------
    job
        The run as a job.
    """

    def __init__(
        self,
        result: Result,
        *,
        poll_s: float = 1.0,
    ) -> None:
        self.run = RunFolder(result.folder)
        self.job = result.job
        self._start = result.resume
        self._reader = SnapshotReader(self.run)
        self._fault: BaseException | None = None
        self._refusal = ""
        self._poll_s = poll_s
        self._poll = Poll(lambda: self.update().going, poll_s, idle_s=RARELY * poll_s)
        self.start = w.Button(description="Start", icon="play")
        self.stop = w.Button(description="Stop", icon="stop", tooltip="What is finished is kept")
        self.bar, self.subjects, self.curves, self.confusion, self.alert = (
            w.HTML(layout=w.Layout(max_width="100%")) for _ in range(5)
        )
        for view in (self.curves, self.confusion):
            view.layout.width = "360px"
        rows = [
            row(self.start, self.stop, gap="0.5em"),
            self.bar,
            self.alert,
            self.subjects,
            row(self.curves, self.confusion, gap="0 1em"),
        ]
        super().__init__(rows, [])
        self.start.on_click(lambda _: self._do(self._start))
        self.stop.on_click(lambda _: self._do(self.job.stop))
        self._poll.begin()

    def update(self) -> JobState:
        """Look at the run now. What goes wrong is shown in the widget, and raised."""
        self._fault = None
        self.redraw()
        if self._fault:
            raise self._fault
        return self._state

    def wait(self, timeout_s: float | None = None, *, folds: int | None = None) -> JobState:
        """Keep looking as `Job.wait` does; the kernel does nothing else meanwhile."""
        return wait_for(self.update, self._poll_s, timeout_s, folds)

    def close(self) -> None:
        """Take the widget away; the run goes on."""
        self._poll.end()
        super().close()

    def render(self) -> tuple[str, ...]:
        try:
            self._state, arrived = self.job.state(), self._reader.read()
            views = progress_bar(self._state.progress, _words(self._state)), self._alert()
            return *views, *self._pictures(arrived)
        except Exception as fault:
            self._fault = fault
            raise

    def show(self, views: tuple[str, ...] | None) -> None:
        parts = (self.bar, self.alert, self.subjects, self.curves, self.confusion)
        for part, view in zip(parts, views or [""] * len(parts), strict=True):
            part.value = view
        state = self._state
        begun = state.phase in ("stopped", "failed") or (state.going and state.done > 0)
        self.start.description = "Resume" if begun else "Start"
        self.start.disabled = state.going or state.phase == "complete"
        self.stop.disabled = not state.going

    def _pictures(self, arrived: RunSnapshot) -> tuple[str, str, str]:
        """Subjects, curves and confusion: what there is of them."""
        subjects = subject_cells(arrived.folds) if arrived.folds else ""
        curves = loss_curves(arrived) if arrived.finished or arrived.in_work else ""
        score = arrived.score
        if self._state.phase == "complete":
            low, high = self.run.metrics()["all"]["uf1_interval"]
            score += f"; 95 % interval [{low:.3f}, {high:.3f}]"
        confusion = ""
        if arrived.finished:
            confusion = confusion_cells(arrived.counts.sum(0), arrived.classes, score)
        return subjects, curves, confusion

    def _alert(self) -> str:
        """What a button could not do, or why the run failed; empty if neither."""
        if self._refusal:
            return f"<p role='alert'><b>Cannot do this:</b> {plain(self._refusal)}</p>"
        if self._state.phase != "failed":
            return ""
        return f"<p role='alert'><b>Failed:</b> {plain(self._state.problem)}</p>"

    def _do(self, action: Callable[[], Any]) -> None:
        """What a button asks for, and a look at what came of it."""
        self._refusal = ""
        with self.trace:  # a callback's traceback is lost otherwise
            try:
                action()
            except HmrmError as error:
                self._refusal = str(error)
            self._poll.end()  # it may be resting
            self._poll.begin()
            self.update()


def _words(state: JobState) -> str:
    """`Running: 3 of 40 folds, 31 epochs/s, 1 min 20 s left`."""
    folds = f"{state.done} of {state.expected} folds" if state.expected else ""
    failed = f"{state.failed} failed" if state.failed else ""
    parts = [part for part in (state.note, folds, failed, describe_speed(state)) if part]
    return f"{WORDS[state.phase]}{': ' if parts else ''}{', '.join(parts)}"
