"""What every widget here is: controls above views, redrawn when a control changes."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import ipywidgets as w

from hmrm_lab.errors import HmrmError
from hmrm_widgets.accessible import VIEWER, Names, pictures_in
from hmrm_widgets.parts import plain


class Viewer(w.VBox):
    """Redraws when a control changes, or says why it cannot.

    A wrong input is told below the views, an error in the program shows its traceback there; the
    views are emptied in both cases, as they would be of another state. A subclass makes its
    widgets, calls `super().__init__` with them last, and defines

        fit(changed)    fits the controls to each other; what it sets does not redraw
        render()        computes the views for the state of the controls; touches no widget
        show(views)     puts what `render` returned on the page; None empties the views

    Parameters
    ----------
    rows
        What is shown, from top to bottom.
    controls
        Those whose `value` redraws.
    """

    def __init__(self, rows: Sequence[w.Widget], controls: Iterable[w.Widget]) -> None:
        self.problem, self.trace = w.HTML(), w.Output()
        self._adjusting, self._crashed = False, False
        super().__init__([*rows, self.problem, self.trace, Names(pictures_in(rows))])
        self.add_class(VIEWER)
        with self.adjusting():
            self.fit(None)
        self.show(self.render())
        for control in controls:
            control.observe(self._on_change, "value")

    def fit(self, changed: w.Widget | None) -> None:
        """Fit the controls to each other; `changed` is None at the beginning."""

    def render(self) -> Any:
        raise NotImplementedError

    def show(self, views: Any) -> None:
        raise NotImplementedError

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
