"""Watch a leave-one-subject-out that runs in a process of its own; start, stop and resume it."""

from collections.abc import Callable, Mapping
from typing import Any

import ipywidgets as w

from hmrm_lab.api.result import Result
from hmrm_lab.errors import HmrmError
from hmrm_lab.evaluation.live_progress import RunSnapshot, SnapshotReader
from hmrm_lab.reporting.svg import confusion_cells, loss_curves, progress_bar, subject_cells
from hmrm_lab.runtime.progress import describe_speed
from hmrm_lab.runtime.store import RunFolder
from hmrm_lab.studies.jobs import JobState, wait_for
from hmrm_widgets.parts import plain, row
from hmrm_widgets.viewer import Poll, Viewer

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
        Of `lab.evaluate(..., background=True)`, or of a run folder; its `job` is shown here.
    poll_s
        Seconds between two readings while the run is going.
    """

    def __init__(self, result: Result, *, poll_s: float = 1.0) -> None:
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
        self.curves.layout.width = self.confusion.layout.width = "360px"
        rows = [
            row(self.start, self.stop, gap="0.5em"),
            self.bar,
            self.alert,
            self.subjects,
            row(self.curves, self.confusion, gap="0 1em"),
        ]
        views = {"bar": self.bar, "alert": self.alert, "subjects": self.subjects}
        super().__init__(rows, [], {**views, "curves": self.curves, "confusion": self.confusion})
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

    def render(self) -> Mapping[str, Any]:
        try:
            self._state, snapshot = self.job.state(), self._reader.read()
            bar = progress_bar(self._state.progress, _words(self._state))
            return {"bar": bar, "alert": self._alert(), **self._pictures(snapshot)}
        except Exception as fault:
            self._fault = fault
            raise

    def show(self, views: Mapping[str, Any] | None) -> None:
        super().show(views)
        state = self._state
        begun = state.phase in ("stopped", "failed") or (state.going and state.done > 0)
        self.start.description = "Resume" if begun else "Start"
        self.start.disabled = state.going or state.phase == "complete"
        self.stop.disabled = not state.going

    def _pictures(self, snapshot: RunSnapshot) -> dict[str, str]:
        """Subjects, curves and confusion: what there is of them."""
        curves = loss_curves(snapshot) if snapshot.finished or snapshot.in_work else ""
        score, confusion = snapshot.score, ""
        if self._state.phase == "complete":
            low, high = self.run.metrics()["all"]["uf1_interval"]
            score += f"; 95 % interval [{low:.3f}, {high:.3f}]"
        if snapshot.finished:
            confusion = confusion_cells(snapshot.counts.sum(0), snapshot.classes, score)
        subjects = subject_cells(snapshot.folds) if snapshot.folds else ""
        return {"subjects": subjects, "curves": curves, "confusion": confusion}

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
    speed = describe_speed(state.epochs_per_s, state.seconds_left)
    parts = ", ".join(filter(None, (state.note, folds, failed, speed)))
    return f"{WORDS[state.phase]}: {parts}" if parts else WORDS[state.phase]
