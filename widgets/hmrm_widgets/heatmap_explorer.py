"""Explore a sweep over two settings: the heatmap, and what lies behind each of its cells."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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
from hmrm_lab.reporting.svg import confusion_cells, loss_curves, table_html
from hmrm_lab.studies.jobs import JobState
from hmrm_lab.studies.search import sweep_job
from hmrm_lab.studies.space import grid
from hmrm_lab.studies.trials import Trial, trials_table
from hmrm_widgets.parts import control, plain, row, view
from hmrm_widgets.viewer import JobViewer

CELL = "4.2em"
CHOSEN, OTHER = "3px solid currentColor", "3px solid transparent"
Position = tuple[Any, Any]  # the value of the row's setting and that of the column's


@dataclass(frozen=True)
class Look:
    """One cell: what stands in it, what hovering tells, its colour and that of its letters."""

    text: str
    words: str
    colour: str = "transparent"
    letters: str = "inherit"


EMPTY = Look("·", "not done yet")


class HeatGrid(w.GridBox):
    """A button for every combination of two settings, with their values along the edges.

    `choose` is called with the place whose button was pressed.
    """

    def __init__(
        self,
        rows: tuple[str, Sequence[Any]],
        columns: tuple[str, Sequence[Any]],
        choose: Callable[[Position], None],
    ) -> None:
        self._names = rows[0], columns[0]
        self.cells: dict[Position, w.Button] = {}
        corner = w.HTML(f"<small>{plain(rows[0])} \\ {plain(columns[0])}</small>")
        children: list[w.Widget] = [corner, *map(_edge, columns[1])]
        for value in rows[1]:
            children.append(_edge(value))
            for place in ((value, other) for other in columns[1]):
                layout = w.Layout(width=CELL, height="2.6em", margin="0", padding="0")
                self.cells[place] = button = w.Button(layout=layout)
                button.on_click(lambda _, place=place: choose(place))
                children.append(button)
        edges = f"auto repeat({len(columns[1])}, {CELL})"
        layout = view("max-content", overflow="auto", grid_template_columns=edges, grid_gap="2px")
        super().__init__(children, layout=layout)

    def show(self, looks: Mapping[Position, Look], chosen: Position) -> None:
        """These looks; the chosen cell has a frame."""
        for place, button in self.cells.items():
            look = looks.get(place, EMPTY)
            where = f"{self._names[0]} {place[0]}, {self._names[1]} {place[1]}"
            button.description = look.text
            button.tooltip = f"{where}\n{look.words}"
            button.style.button_color, button.style.text_color = look.colour, look.letters
            button.style.font_weight = "bold" if place == chosen else "normal"
            button.layout.border = CHOSEN if place == chosen else OTHER


class HeatmapExplorer(JobViewer):
    """Two sliders and a grid of buttons choose a cell; below stands what was trained for it.

    `Start` sweeps what is missing in a process of its own, which outlives the notebook; cells are
    filled as they arrive.

    Parameters
    ----------
    study
        Of `lab.sweep` over two settings (`InputError` otherwise); the first gives the rows.
    jobs
        Processes that train at the same time, for `Start`.
    """

    def __init__(self, study: Study, *, jobs: int = 1) -> None:
        sweep, values = study.sweep, study.axes
        if len(values) != 2:
            raise InputError(
                f"a heatmap shows two settings, not {len(values)}",
                hint="name two with their values",
            )
        self._sweep, self._names = sweep, list(values)
        self._points = {tuple(point.values()): point for point in grid(values)}
        self._cells: dict[Position, Trial] = {}
        rows, columns = ((_short(name), list(of)) for name, of in values.items())
        self.row, self.column = (
            control(w.SelectionSlider, name, words="6em", options=of)
            for name, of in (rows, columns)
        )
        self.grid = HeatGrid(rows, columns, self._choose)
        self.cell = w.HTML()
        self.curves, self.confusion = (w.HTML(layout=view("360px")) for _ in range(2))
        lines = [
            self.grid,
            row(self.row, self.column),
            self.cell,
            row(self.curves, self.confusion, gap="0 1em"),
        ]
        views = {"cell": self.cell, "curves": self.curves, "confusion": self.confusion}
        job = sweep_job(sweep, list(self._points.values()))
        choices = [self.row, self.column]
        super().__init__(job, "sweep", lines, choices, views, root=study.root, jobs=jobs)

    def words(self, state: JobState) -> str:
        phase = "not going" if state.phase == "absent" else state.phase
        words = f"{state.done} of {state.expected} settings, {phase}. {CAPTION}"
        return f"{words} {state.problem or state.note}".strip()

    def results(self) -> Mapping[str, Any]:
        for place, point in self._points.items():
            if place not in self._cells and (cell := self._sweep.trial(point)):
                self._cells[place] = cell  # it never changes
        chosen = self._cells.get(self._chosen())
        views = {"grid": self._looks(), "cell": self._describe(chosen)}
        if chosen is None or chosen.problem:
            return {**views, "curves": "", "confusion": ""}
        classes, caption = chosen.predictions.classes, chosen.caption()
        confusion = confusion_cells(chosen.confusion, classes, caption)
        return {**views, "curves": _curves(chosen), "confusion": confusion}

    def show(self, views: Mapping[str, Any] | None) -> None:
        super().show(views)
        self.grid.show(views["grid"] if views else {}, self._chosen())

    def _chosen(self) -> Position:
        return self.row.value, self.column.value

    def _choose(self, place: Position) -> None:
        """The sliders follow the button of a cell."""
        with self.adjusting():
            self.row.value, self.column.value = place
        self.redraw()

    def _looks(self) -> dict[Position, Look]:
        table = trials_table(self._cells.values())
        low, high = score_range(table)
        looks = {}
        for place, record in cells_by_place(table, *self._names).items():
            if math.isnan(record["UF1"]):
                looks[place] = Look("none", hover_words(record))
                continue
            share = share_of(record["UF1"], low, high)
            letters = "#ffffff" if share >= DARK_ENOUGH else "#10202c"
            number = f"{record['UF1']:.3f}".lstrip("0")
            looks[place] = Look(number, hover_words(record), shade(share), letters)
        return looks

    def _describe(self, cell: Trial | None) -> str:
        pairs = zip(self._names, self._chosen(), strict=True)
        heading = plain(", ".join(f"{_short(name)} {value}" for name, value in pairs))
        if cell is None:
            return f"<b>{heading}</b>: not done yet."
        if cell.problem:
            return f"<b>{heading}</b>: no score; {plain(cell.problem)}."
        low, high = cell.interval
        groups = table_html(cell.groups().round({"UF1": 3, "Seconds": 1}), index=False)
        return (
            f"<b>{heading}</b>: UF1 {cell.score:.3f} [{low:.3f}, {high:.3f}],"
            f" {cell.seconds:.0f} s{parameters_in_words(cell.record['parameters'])}."
            f"<br>{plain(cell.caption())}.{groups}"
        )


def _curves(cell: Trial) -> str:
    curves = tuple(list(enumerate(unit["losses"], start=1)) for unit in cell.record["units"])
    count, epochs = len(curves), max(map(len, curves))
    classes, counts = cell.predictions.classes, cell.confusion[None]
    return loss_curves(RunSnapshot((), count, count, classes, counts, curves, (), epochs, ""))


def _short(name: str) -> str:
    return name.rpartition(".")[2].replace("_", " ").capitalize()


def _edge(value: object) -> w.HTML:
    return w.HTML(f"<div style='text-align:center'>{plain(value)}</div>")
