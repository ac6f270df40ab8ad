"""What every widget here is: controls above views, redrawn when a control changes or work goes on.

Three kinds: `Viewer`; `PolledViewer`, which looks again from time to time at what other processes
do; and `JobViewer`, with a button that starts and stops a job.
"""

import asyncio
import base64
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets as w
import traitlets

from hmrm_lab.errors import HmrmError
from hmrm_lab.reporting.svg import progress_bar
from hmrm_lab.studies.jobs import Job, JobState
from hmrm_widgets.parts import Picture, plain, row

EVERY_SECONDS = 1.0
Widgets = Sequence[w.Widget]


class Viewer(w.VBox):
    """Redraws when a control changes, or says why it cannot.

    A wrong input is told below the views, an error in the program shows its traceback there; the
    views are emptied in both cases, as they would be of another state. A subclass makes its
    widgets, calls `super().__init__` with them last, and defines

        fit(changed)    fits the controls to each other; what it sets does not redraw
        render()        computes what the views show, by their names; touches no widget
        show(views)     puts what `render` returned on the page; None empties the views

    Parameters
    ----------
    rows
        What is shown, from top to bottom.
    controls
        Those whose `value` redraws.
    views
        Where the parts of what `render` returns are shown. A picture without content is hidden.
    """

    def __init__(self, rows: Widgets, controls: Widgets, views: Mapping[str, w.Widget]) -> None:
        self.problem, self.trace, self.views = w.HTML(), w.Output(), views
        self._adjusting, self._crashed = False, False
        super().__init__([*rows, self.problem, self.trace, Names(pictures_in(rows))])
        self.add_class("hmrm-viewer")
        with self.adjusting():
            self.fit(None)
        self.show(self.render())
        for control in controls:
            control.observe(self._on_change, "value")

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        """Add what it shows now, as HTML, for pages without a kernel."""
        return {**super()._repr_mimebundle_(**kwargs), "text/html": still_html(self)}

    def fit(self, changed: w.Widget | None) -> None:
        """Fit the controls to each other; `changed` is None at the beginning."""

    def render(self) -> Mapping[str, Any] | None:
        raise NotImplementedError

    def show(self, views: Mapping[str, Any] | None) -> None:
        for name, part in self.views.items():
            trait = "outputs" if isinstance(part, w.Output) else "value"
            empty = part.trait_defaults(trait)
            setattr(part, trait, empty if views is None else views[name])
            if isinstance(part, Picture):
                part.layout.display = "" if part.value else "none"

    def redraw(self, changed: w.Widget | None = None) -> None:
        """Fit, render and show; `changed` is the control that asks for it."""
        if self._crashed:
            self.trace.clear_output()
        self._crashed, self.problem.value = True, ""
        views = None
        with self.trace:  # a callback's traceback is lost otherwise
            try:
                with self.adjusting():
                    self.fit(changed)
                views = self.render()
                self._crashed = False
            except HmrmError as error:
                self._crashed = False
                self.problem.value = f"<p role='alert'><b>Cannot show this:</b> {plain(error)}</p>"
            finally:
                self.show(views)

    @contextmanager
    def adjusting(self) -> Iterator[None]:
        """Controls may be set inside without a redraw for each."""
        before, self._adjusting = self._adjusting, True
        try:
            yield
        finally:
            self._adjusting = before

    def _on_change(self, change: dict[str, Any]) -> None:
        if not self._adjusting:
            self.redraw(change["owner"])


class Names(anywidget.AnyWidget):
    """What ipywidgets leaves undone for those who use a keyboard or a screen reader.

    An unseen part of a viewer that names its sliders by their labels and its pictures by words. A
    pressed toggle button is told as pressed, and the arrow keys stay with lists and sliders where
    JupyterLab would take them. Nothing is sent when a control changes.
    """

    _esm = Path(__file__).with_name("accessible.js")
    _css = Path(__file__).with_name("accessible.css")
    pictures = traitlets.Dict().tag(sync=True)  # words, by the class of the picture

    def __init__(self, pictures: Iterable[Picture]) -> None:
        super().__init__(pictures={picture.mark: picture.words for picture in pictures})
        self.layout.display = "none"


def pictures_in(rows: Iterable[w.Widget]) -> list[Picture]:
    """All pictures in these widgets, at any depth."""
    found: list[Picture] = []
    for item in rows:
        if isinstance(item, Picture):
            found.append(item)
        elif isinstance(item, w.Box):
            found += pictures_in(item.children)
    return found


def still_html(widget: w.Widget) -> str:
    """Write a widget as HTML that needs no kernel: what is chosen, pictures, and words."""
    if isinstance(widget, w.Output) or widget.layout.display == "none":
        return ""
    if isinstance(widget, w.Box):
        style = f"display:flex;flex-flow:{'row wrap' if isinstance(widget, w.HBox) else 'column'}"
        if isinstance(widget, w.GridBox):
            style = f"display:grid;grid-template-columns:{widget.layout.grid_template_columns}"
        inside = "".join(map(still_html, widget.children))
        return f'<div style="{style};gap:6px 20px;align-items:flex-start">{inside}</div>'
    value = getattr(widget, "value", None)
    if isinstance(widget, w.HTML):
        return f"<div>{value}</div>" if value else ""
    if isinstance(value, bytes | memoryview):  # the latter where a kernel runs
        kind = "png" if bytes(value[:4]) == b"\x89PNG" else "jpeg"
        source = f"data:image/{kind};base64,{base64.b64encode(value).decode('ascii')}"
        words = plain(getattr(widget, "words", "") or getattr(widget, "label", ""))
        return f'<img src="{source}" alt="{words}" style="width:{widget.layout.width}">'
    return f"<div>{_still_control(widget, value)}</div>"


def _still_control(widget: w.Widget, value: Any) -> str:
    """The name of a control and what it is set to."""
    name = plain(getattr(widget, "description", ""))
    if isinstance(widget, w.Checkbox):
        return f"{'☑' if value else '☐'} {name}"
    if isinstance(widget, w.ToggleButtons):
        options = [plain(of[0] if isinstance(of, tuple) else of) for of in widget.options]
        chosen = plain(widget.label)
        return f"{name}: " + " · ".join(f"<b>{of}</b>" if of == chosen else of for of in options)
    if isinstance(widget, w.Button | w.ToggleButton):
        return f"<button disabled>{name}</button>"
    return f"{name}: <b>{plain(getattr(widget, 'label', value))}</b>"


class Poll:
    """Calls `look` on the loop of the notebook: every so often while it says that more will come.

    It reads between cells, never while one runs. Where there is no loop, in a script or a test,
    nothing is polled, and whoever made the widget calls `update` by hand. A fault in `look` ends
    the polling, and the loop tells of it.

    Parameters
    ----------
    look
        Whether more will come soon.
    every_s, idle_s
        Seconds between two readings while it does, and while nothing comes; 0 stops reading.
    """

    def __init__(
        self, look: Callable[[], bool], every_s: float = EVERY_SECONDS, idle_s: float = 0.0
    ) -> None:
        self._look, self._every_s, self._idle_s = look, every_s, idle_s
        self._next: asyncio.TimerHandle | None = None

    @property
    def going(self) -> bool:
        return self._next is not None

    def begin(self) -> None:
        """Look again after a while; if that is arranged already, nothing changes."""
        self._arrange(self._every_s)

    def end(self) -> None:
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _tick(self) -> None:
        self._next = None
        wait_s = self._every_s if self._look() else self._idle_s
        if wait_s:
            self._arrange(wait_s)

    def _arrange(self, wait_s: float) -> None:
        with suppress(RuntimeError):  # no loop
            self._next = self._next or asyncio.get_running_loop().call_later(wait_s, self._tick)


class PolledViewer(Viewer):
    """A viewer of work that other processes do: it redraws by itself while that goes on.

    `render` sets `_going` to what it shows, so that the last look shows the end; whoever starts
    the work calls `_poll.begin`.
    """

    def __init__(self, rows: Widgets, controls: Widgets, views: Mapping[str, w.Widget]) -> None:
        self._going = False
        self._poll = Poll(self.update)
        super().__init__(rows, controls, views)
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


class JobViewer(PolledViewer):
    """A viewer of one job, with a button that starts and stops it above everything else.

    The job may be done by a command as well; so it is read every second until it is complete. A
    subclass defines `words(state)` and `results()`, which is `render` without the progress.

    Parameters
    ----------
    job, noun
        The job, and what it is called.
    root, jobs
        Folder of its data, and processes that train at the same time.
    """

    def __init__(
        self,
        job: Job,
        noun: str,
        rows: Widgets,
        controls: Widgets,
        views: Mapping[str, w.Widget],
        *,
        root: Path | None,
        jobs: int,
    ) -> None:
        self.job, self._noun, self._root, self._jobs = job, noun, root, jobs
        self.button = w.Button(icon="play", layout=w.Layout(width="12em"))
        self.progress = w.HTML(layout=w.Layout(max_width="100%"))
        rows = [row(self.button, self.progress, gap="1em"), *rows]
        super().__init__(rows, controls, {"progress": self.progress, **views})
        self.button.on_click(self.redraw)

    def start(self) -> None:
        """Go on in a process of its own; nothing if that is going, or done."""
        self.job.start(root=self._root, jobs=self._jobs)

    def words(self, state: JobState) -> str:
        raise NotImplementedError

    def results(self) -> Mapping[str, Any]:
        raise NotImplementedError

    def fit(self, changed: w.Widget | None) -> None:
        """Do what the button asks for."""
        if changed is not self.button:
            return
        if self.job.state().going:
            self.job.stop()
        else:
            self.start()
            self._poll.begin()

    def render(self) -> Mapping[str, Any]:
        self._state = state = self.job.state()
        self._going = state.phase != "complete"
        return {"progress": progress_bar(state.progress, self.words(state)), **self.results()}

    def show(self, views: Mapping[str, Any] | None) -> None:
        super().show(views)
        going = self._state.going
        self.button.description = f"{'Stop' if going else 'Start'} the {self._noun}"
        self.button.icon = "stop" if going else "play"
        self.button.disabled = self._state.phase == "complete" or self._state.by_command
