"""A heatmap whose cells are buttons: read by hovering, chosen by a click or from the keyboard."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ipywidgets as w

from hmrm_widgets.parts import plain

CELL = "4.2em"
CHOSEN, OTHER = "3px solid currentColor", "3px solid transparent"
Position = tuple[Any, Any]  # the value of the row's setting and that of the column's


@dataclass(frozen=True)
class Look:
    """One cell: what stands in it, what hovering tells, its colour and that of its letters."""

    text: str
    words: str
    colour: str
    letters: str


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
        children: list[w.Widget] = [corner, *(_edge(value) for value in columns[1])]
        for row in rows[1]:
            children.append(_edge(row))
            for column in columns[1]:
                children.append(self._cell((row, column), choose))
        layout = w.Layout(
            grid_template_columns=f"auto repeat({len(columns[1])}, {CELL})", grid_gap="2px"
        )
        layout.width, layout.max_width, layout.overflow = "max-content", "100%", "auto"
        super().__init__(children, layout=layout)

    def show(self, styles: Mapping[Position, Look], chosen: Position) -> None:
        """These styles; the chosen cell has a frame."""
        for place, button in self.cells.items():
            look = styles[place]
            where = f"{self._names[0]} {place[0]}, {self._names[1]} {place[1]}"
            button.description = look.text
            button.tooltip = f"{where}\n{look.words}"
            button.style.button_color, button.style.text_color = look.colour, look.letters
            button.style.font_weight = "bold" if place == chosen else "normal"
            button.layout.border = CHOSEN if place == chosen else OTHER

    def _cell(self, place: Position, choose: Callable[[Position], None]) -> w.Button:
        button = w.Button(layout=w.Layout(width=CELL, height="2.6em", margin="0", padding="0"))
        button.on_click(lambda _: choose(place))
        self.cells[place] = button
        return button


def _edge(value: object) -> w.HTML:
    return w.HTML(f"<div style='text-align:center'>{plain(value)}</div>")
