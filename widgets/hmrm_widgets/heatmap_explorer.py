"""Explore a sweep over two settings: the heatmap, and what lies behind each of its cells."""

import math
from typing import NamedTuple

import ipywidgets as w

from hmrm_lab.api.result import Study
from hmrm_lab.errors import InputError
from hmrm_lab.evaluation.live_progress import RunSnapshot
from hmrm_lab.reporting.plots.searches import (
    CAPTION,
    DARK_ENOUGH,
    cells_by_place,
    hover_words,
    parameters_in_words,
    score_range,
    shade,
    share_of,
)
from hmrm_lab.reporting.svg import confusion_cells, loss_curves, progress_bar
from hmrm_lab.studies.jobs import JobState
from hmrm_lab.studies.search import sweep_job
from hmrm_lab.studies.space import grid
from hmrm_lab.studies.trials import Trial, trials_table
from hmrm_widgets.heat_grid import HeatGrid, Look, Position
from hmrm_widgets.parts import plain, row, table_html
from hmrm_widgets.polling import PolledViewer

WIDE = {"description_width": "6em"}
EMPTY = Look("·", "not done yet", "transparent", "#747b86")


class Views(NamedTuple):
    progress: str
    going: bool
    complete: bool
    styles: dict[Position, Look]
    cell: str
    curves: str
    confusion: str


class HeatmapExplorer(PolledViewer):
    """Two sliders and a grid of buttons choose a cell; below stands what was trained for it.

    `Start` sweeps what is missing in a process of its own, which outlives the notebook; cells are
    filled as they arrive.

    Parameters
    ----------
    study
        Of `lab.sweep` over two settings; the first gives the rows.
    jobs
        Processes that train at the same time, for `Start`.

    Raises
    ------
    InputError
        If there are not two settings.
    """

    def __init__(
        self,
        study: Study,
        *,
        jobs: int = 1,
    ) -> None:
        sweep, values = study.sweep, study.axes
        if len(values) != 2:
            raise InputError(
                f"a heatmap shows two settings, not {len(values)}",
                hint="name two with their values",
            )
        self._sweep, self._root, self._jobs = sweep, study.root, jobs
        self._names = list(values)
        self._points = {tuple(point.values()): point for point in grid(values)}
        self._job = sweep_job(sweep, list(self._points.values()))
        self._cells: dict[Position, Trial] = {}
        rows, columns = ((_short(name), list(of)) for name, of in values.items())
        self.row, self.column = (
            w.SelectionSlider(options=of, description=name, style=WIDE)
            for name, of in (rows, columns)
        )
        self.button = w.Button(icon="play", layout=w.Layout(width="12em"))
        self.progress, self.cell, self.curves, self.confusion = (w.HTML() for _ in range(4))
        for view in (self.curves, self.confusion):
            view.layout = w.Layout(width="360px", max_width="100%")
        self.cell.layout = w.Layout(max_width="100%", overflow="auto")
        self.cell.tabbable = True  # the arrow keys scroll its table where the page is narrow
        self.grid = HeatGrid(rows, columns, self._choose)
        lines = [
            row(self.button, self.progress, gap="1em"),
            self.grid,
            row(self.row, self.column),
            self.cell,
            row(self.curves, self.confusion, gap="0 1em"),
        ]
        super().__init__(lines, [self.row, self.column])
        self.button.on_click(self.redraw)

    def fit(self, changed: w.Widget | None) -> None:
        """Do what the button asks for."""
        if changed is not self.button:
            return
        if self._job.state().going:
            self._job.stop()
        else:
            self._job.start(root=self._root, jobs=self._jobs)
            self._poll.begin()

    def render(self) -> Views:
        state = self._job.state()
        self._going = state.going  # what is shown, so that the last look shows the end
        self._read_cells()
        chosen = self._cells.get(self._chosen())
        return Views(
            progress_bar(state.progress, _words(state)),
            state.going,
            state.phase == "complete",
            self._looks(),
            self._describe(chosen),
            _curves(chosen) if chosen and not chosen.problem else "",
            _confusion(chosen) if chosen and not chosen.problem else "",
        )

    def show(self, views: Views | None) -> None:
        if views is None:
            for part in (self.progress, self.cell, self.curves, self.confusion):
                part.value = ""
            self.grid.show(dict.fromkeys(self._points, EMPTY), self._chosen())
            return
        self.progress.value, self.cell.value = views.progress, views.cell
        self.curves.value, self.confusion.value = views.curves, views.confusion
        self.button.description = "Stop the sweep" if views.going else "Start the sweep"
        self.button.icon = "stop" if views.going else "play"
        self.button.disabled = views.complete
        self.grid.show(views.styles, self._chosen())

    def _chosen(self) -> Position:
        return self.row.value, self.column.value

    def _choose(self, place: Position) -> None:
        """The sliders follow the button of a cell."""
        with self.adjusting():
            self.row.value, self.column.value = place
        self.redraw()

    def _read_cells(self) -> None:
        """A cell never changes, and is read once."""
        for place, point in self._points.items():
            if place not in self._cells and (cell := self._sweep.trial(point)):
                self._cells[place] = cell

    def _looks(self) -> dict[Position, Look]:
        table = trials_table(self._cells.values())
        low, high = score_range(table)
        records = cells_by_place(table, *self._names)
        styles = {}
        for place in self._points:
            record = records.get(place)
            if record is None:
                styles[place] = EMPTY
            elif math.isnan(record["UF1"]):
                styles[place] = Look("none", hover_words(record), "transparent", "#747b86")
            else:
                share = share_of(record["UF1"], low, high)
                letters = "#ffffff" if share >= DARK_ENOUGH else "#10202c"
                number = f"{record['UF1']:.3f}".lstrip("0")
                styles[place] = Look(number, hover_words(record), shade(share), letters)
        return styles

    def _describe(self, cell: Trial | None) -> str:
        pairs = zip(self._names, self._chosen(), strict=True)
        heading = ", ".join(f"{_short(name)} {value}" for name, value in pairs)
        if cell is None:
            return f"<b>{plain(heading)}</b>: not done yet."
        if cell.problem:
            return f"<b>{plain(heading)}</b>: no score; {plain(cell.problem)}."
        low, high = cell.interval
        groups = table_html(cell.groups().round({"UF1": 3, "Seconds": 1}))
        return (
            f"<b>{plain(heading)}</b>: UF1 {cell.score:.3f} [{low:.3f}, {high:.3f}],"
            f" {cell.seconds:.0f} s{parameters_in_words(cell.record['parameters'])}."
            f"<br>{plain(cell.caption())}.{groups}"
        )


def _words(state: JobState) -> str:
    phase = "not going" if state.phase == "absent" else state.phase
    words = f"{state.done} of {state.expected} settings, {phase}. {CAPTION}"
    return f"{words} {state.problem or state.note}".strip()


def _curves(cell: Trial) -> str:
    curves = tuple(
        [(epoch, loss) for epoch, loss in enumerate(unit["losses"], start=1)]
        for unit in cell.record["units"]
    )
    count, classes = len(curves), cell.predictions.classes
    epochs = max(map(len, curves))
    return loss_curves(
        RunSnapshot((), count, count, classes, cell.confusion[None], curves, (), epochs, "")
    )


def _confusion(cell: Trial) -> str:
    return confusion_cells(cell.confusion, cell.predictions.classes, cell.caption())


def _short(name: str) -> str:
    return name.rpartition(".")[2].replace("_", " ").capitalize()
