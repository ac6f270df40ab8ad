"""Runs below each other: name, progress, state in words, and a button that starts or stops each."""

from collections.abc import Callable, Mapping
from functools import partial

import ipywidgets as w

from hmrm_lab.studies.jobs import JobState
from hmrm_widgets.parts import plain, row

ACTIONS = {"absent": "Queue", "stopped": "Go on", "failed": "Go on", "complete": "Done"}
STOP = "Stop"


class RunRows(w.VBox):
    """One row per run. `act` is called with the name of the run whose button was pressed."""

    def __init__(self, act: Callable[[str], None]) -> None:
        super().__init__()
        self._act = act
        self.rows: dict[str, RunRow] = {}

    def show(self, states: Mapping[str, JobState], words: Mapping[str, str]) -> None:
        """These runs and no others."""
        if list(self.rows) != list(states):
            kept = {name: self.rows[name] for name in states if name in self.rows}
            self.rows = {n: kept.get(n) or RunRow(n, partial(self._act, n)) for n in states}
            self.children = list(self.rows.values())
        for name, state in states.items():
            self.rows[name].show(state, words[name])


class RunRow(w.HBox):
    """A run and its button."""

    def __init__(self, name: str, act: Callable[[], None]) -> None:
        self.name = name
        self.label = w.HTML(layout=w.Layout(width="20em"))
        self.progress = w.FloatProgress(min=0, max=1, layout=w.Layout(width="10em"))
        self.button = w.Button(layout=w.Layout(width="10em"))
        self.words = w.HTML(layout=w.Layout(margin="0 0 0 1em"))
        self.button.on_click(lambda _: act())
        super().__init__([row(self.label, self.progress, self.button, self.words)])

    def show(self, state: JobState, words: str) -> None:
        action = STOP if state.going else ACTIONS[state.phase]
        self.label.value = f"<b>{plain(self.name)}</b> {plain(words)}"
        self.progress.value = state.progress
        self.button.description = f"{action} {self.name}" if action != "Done" else action
        self.button.disabled = state.phase == "complete"
        self.words.value = plain(describe(state))


def describe(state: JobState) -> str:
    """`running, 3 of 8 folds, 12 s left`; the problem where there is one."""
    words: list[str] = [state.phase if state.phase != "absent" else "not begun"]
    if state.expected:
        words.append(f"{state.done} of {state.expected} folds")
    if state.failed:
        words.append(f"{state.failed} failed")
    if state.seconds_left is not None and state.going:
        words.append(f"about {state.seconds_left:.0f} s left")
    return ", ".join([*words, *filter(None, (state.note, state.problem))])
