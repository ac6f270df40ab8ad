"""Watch an evolutionary search that runs in a process of its own; start it and stop it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ipywidgets as w

from hmrm_lab.api.clips import MotionMaps
from hmrm_lab.api.runs import RUNS, settings
from hmrm_lab.api.system import System, suited
from hmrm_lab.reporting.plots.searches import (
    EVOLVED_CAPTION,
    FITTEST,
    choices_figure,
    fittest,
    search_history_figure,
)
from hmrm_lab.reporting.svg import table_html
from hmrm_lab.reporting.tables import display_table
from hmrm_lab.studies.evolve import Evolution, Evolved
from hmrm_lab.studies.jobs import JobState, wait_for
from hmrm_widgets.parts import control, figure_outputs, plain
from hmrm_widgets.viewer import EVERY_SECONDS, JobViewer

MOST = 40  # of the fittest that can be drawn
LISTED = 5  # of them in the table
WORDS = {
    "absent": "not begun",
    "preparing": "training super-networks",
    "running": "running",
}
NOTHING: dict[str, Any] = {"best": "", "table": "", "plot": ()}


class SearchMonitor(JobViewer):
    """Progress, the fittest choices and their distribution, as the trials of a search arrive.

    `Start` searches in a process of its own, which outlives the notebook. A search by `hmrm evolve`
    with the same settings is seen as well.

    Parameters
    ----------
    system, maps
        What is searched, and on which data; or an `Evolution` in place of both.
    root, out, jobs
        Folder of the data of an `Evolution`, folder of the search, and processes that train at the
        same time.
    size
        `population`, `generations` and `seed`; `alphas` and `ratios` are the ranges.
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
        self._evolution, self._shown = system, NOTHING
        self._version = 0, 0  # trials that results were computed of, and choices drawn
        limits = dict[str, Any](value=FITTEST, min=1, max=MOST)
        self.count = control(w.IntSlider, "Fittest drawn", words="9em", width="24em", **limits)
        self.best, self.table, self.plot = w.HTML(), w.HTML(), w.Output()
        views = {"best": self.best, "table": self.table, "plot": self.plot}
        rows = [self.best, self.table, self.count, self.plot]
        super().__init__(system.job(), "search", rows, [self.count], views, root=root, jobs=jobs)

    @property
    def found(self) -> Evolved | None:
        """Every choice that was tried, and the fittest; None before the first answers."""
        return self._evolution.found()

    def wait(self, timeout_s: float | None = None) -> JobState:
        """Keep looking while somebody works on it; the kernel does nothing else meanwhile."""

        def look() -> JobState:
            self.update()
            return self.job.state()

        return wait_for(look, EVERY_SECONDS, timeout_s)

    def words(self, state: JobState) -> str:
        phase = WORDS.get(state.phase, state.phase) + (" by a command" if state.by_command else "")
        words = f"{state.done} of {state.expected} trials, {phase}. {EVOLVED_CAPTION}"
        return f"{words} {state.problem or state.note}".strip()

    def results(self) -> Mapping[str, Any]:
        """Best, table and figures, computed anew only when trials or another count have come."""
        found = self.found
        if found is None:
            return NOTHING
        version = len(found.table), self.count.value
        if version != self._version:
            listed = fittest(found.table, LISTED).drop(columns="Best")
            figures = (
                choices_figure(found.table, count=self.count.value),
                search_history_figure(found.table),
            )
            self._shown = {
                "best": _best_words(found),
                "table": table_html(display_table(listed), index=False),
                "plot": figure_outputs(*figures),
            }
            self._version = version
        return self._shown


def _best_words(found: Evolved) -> str:
    ratios = ", ".join(f"{ratio:.2f}" for ratio in found.winner.ratios)
    words = (
        f"factor {found.winner.alpha:.2f}, ratios {ratios}; UF1 {found.fitness.uf1:.3f},"
        f" cross-entropy {found.fitness.cross_entropy:.3f}"
    )
    return f"<b>Fittest of {len(found.table)} trials</b>: {plain(words)}."
