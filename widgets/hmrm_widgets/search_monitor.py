"""Watch an evolutionary search that runs in a process of its own; start it and stop it."""

from pathlib import Path
from typing import Any, NamedTuple

import ipywidgets as w

from hmrm_lab.api.maps import MotionMaps
from hmrm_lab.api.runs import RUNS, settings
from hmrm_lab.api.system import System, suited
from hmrm_lab.reporting.plots.searches import (
    EVOLVED_CAPTION,
    FITTEST,
    choices_figure,
    fittest,
    search_history_figure,
)
from hmrm_lab.reporting.svg import progress_bar
from hmrm_lab.reporting.tables import display_table
from hmrm_lab.studies.evolve import Evolution, Evolved
from hmrm_lab.studies.jobs import JobState, wait_for
from hmrm_widgets.parts import figure_output, plain, row, table_html
from hmrm_widgets.polling import EVERY_SECONDS, PolledViewer

MOST = 40  # of the fittest that can be drawn
LISTED = 5  # of them in the table
WIDE = {"description_width": "9em"}
WORDS = {
    "absent": "not begun",
    "preparing": "training super-networks",
    "running": "running",
}

Outputs = tuple[dict[str, Any], ...]


class Views(NamedTuple):
    progress: str
    button: str
    enabled: bool
    best: str
    table: str
    figures: Outputs


class SearchMonitor(PolledViewer):
    """Progress, the fittest choices and their distribution, as the trials of a search arrive.

    `Start` searches in a process of its own, which outlives the notebook. A search by `hmrm evolve`
    with the same settings is seen as well; so it is read every second until the search is complete.

    Parameters
    ----------
    system, maps
        What is searched, and on which data; or an `Evolution` in place of both.
    root, out, jobs
        Folder of the data of an `Evolution`, folder of the search, and processes that train at the
        same time.
    size
        `population`, `generations` and `seed`; `alphas` and `ratios` are the ranges.

    Attributes
    ----------
    job
        The search as a job.
    """

    def __init__(
        self,
        system: System | str | Evolution,
        maps: MotionMaps | None = None,
        *,
        root: Path | None = None,
        out: str | Path = RUNS,
        jobs: int = 1,
        **size: Any,
    ) -> None:
        if not isinstance(system, Evolution):
            assert maps is not None
            config = settings(system, maps)
            system = Evolution.of(config, suited(maps, config), Path(out), **size)
            root = maps.source.root if maps.source else None
        self.job, self._evolution = system.job(), system
        self._root, self._jobs = root, jobs
        self._results: tuple[str, str, Outputs] = ("", "", ())
        self._choices: Outputs = ()
        self._version = 0, 0  # trials that results were computed of, and choices drawn
        self.button = w.Button(icon="play", layout=w.Layout(width="12em"))
        self.count = w.IntSlider(
            value=FITTEST,
            min=1,
            max=MOST,
            description="Fittest drawn",
            style=WIDE,
            layout=w.Layout(width="24em", max_width="100%"),
        )
        self.progress, self.best, self.plot = w.HTML(), w.HTML(), w.Output()
        self.table = w.HTML(tabbable=True)  # the arrow keys scroll it where the page is narrow
        self.table.layout = w.Layout(max_width="100%", overflow="auto")
        self.progress.layout = w.Layout(max_width="100%")
        rows = [
            row(self.button, self.progress, gap="1em"),
            self.best,
            self.table,
            self.count,
            self.plot,
        ]
        super().__init__(rows, [self.count])
        self.button.on_click(self.redraw)

    def start(self) -> None:
        """Search on in a process of its own; nothing if that is going, or done."""
        self.job.start(root=self._root, jobs=self._jobs)

    @property
    def found(self) -> Evolved | None:
        """Every choice that was tried, and the fittest; None before the first answers."""
        return self._evolution.found()

    def wait(self, timeout_s: float | None = None) -> JobState:
        """Keep looking while somebody works on it; the kernel does nothing else meanwhile."""
        return wait_for(self._watch, EVERY_SECONDS, timeout_s)

    def fit(self, changed: w.Widget | None) -> None:
        """Do what the button asks for."""
        if changed is not self.button:
            return
        if self.job.state().going:
            self.job.stop()
        else:
            self.start()
            self._poll.begin()

    def render(self) -> Views:
        state = self.job.state()
        self._going = state.phase != "complete"  # a command may go on where nobody works
        enabled = self._going and not state.by_command
        button = "Stop the search" if state.going else "Start the search"
        results = self._results_of(self._evolution.found())
        return Views(progress_bar(state.progress, _words(state)), button, enabled, *results)

    def show(self, views: Views | None) -> None:
        shown = views or Views("", self.button.description, True, "", "", ())
        self.progress.value, self.best.value = shown.progress, shown.best
        self.table.value, self.plot.outputs = shown.table, shown.figures
        self.button.description, self.button.disabled = shown.button, not shown.enabled
        self.button.icon = "stop" if shown.button.startswith("Stop") else "play"

    def _watch(self) -> JobState:
        self.update()
        return self.job.state()

    def _results_of(self, found: Evolved | None) -> tuple[str, str, Outputs]:
        """Best, table and figures, computed anew only when trials or another count have come."""
        if found is None:
            return "", "", ()
        version = len(found.table), self.count.value
        if version[0] != self._version[0]:
            listed = fittest(found.table, LISTED).drop(columns="Best")
            history = figure_output(search_history_figure(found.table))
            self._results = _best_words(found), table_html(display_table(listed)), (history,)
        if version != self._version:
            self._choices = (figure_output(choices_figure(found.table, count=self.count.value)),)
            self._version = version
        best, table, outputs = self._results
        return best, table, (*self._choices, *outputs)


def _words(state: JobState) -> str:
    phase = WORDS.get(state.phase, state.phase) + (" by a command" if state.by_command else "")
    words = f"{state.done} of {state.expected} trials, {phase}."
    return " ".join(part for part in (words, EVOLVED_CAPTION, state.problem or state.note) if part)


def _best_words(found: Evolved) -> str:
    ratios = ", ".join(f"{ratio:.2f}" for ratio in found.winner.ratios)
    words = (
        f"factor {found.winner.alpha:.2f}, ratios {ratios}; UF1 {found.fitness.uf1:.3f},"
        f" cross-entropy {found.fitness.cross_entropy:.3f}"
    )
    return f"<b>Fittest of {len(found.table)} trials</b>: {plain(words)}."
