"""What all widgets share: redraw, refusal, traceback."""

import pytest

from hmrm_lab.errors import InputError

pytest.importorskip("ipywidgets", reason="the extra 'jupyter' is not installed")

import ipywidgets as w
from hmrm_widgets.accessible import Names, Picture
from hmrm_widgets.viewer import Viewer


class Halves(Viewer):
    """Shows half of a number. It refuses 13, and has a fault at 0."""

    def __init__(self) -> None:
        self.number, self.least = w.IntText(value=8), w.IntText(value=0)
        self.view = w.HTML()
        self.fitted: list[w.Widget | None] = []
        super().__init__([self.number, self.least, self.view], [self.number, self.least])

    def fit(self, changed: w.Widget | None) -> None:
        self.fitted.append(changed)
        self.number.value = max(self.number.value, self.least.value)

    def render(self) -> str:
        if self.number.value == 13:
            raise InputError("<13> is unlucky", hint="take another")
        return f"{16 / self.number.value / 2:.3f}"

    def show(self, views: str | None) -> None:
        self.view.value = views or ""


class Gallery(Viewer):
    """Shows pictures that never change."""

    def __init__(self, pictures: list[w.Widget]) -> None:
        super().__init__([w.HBox(pictures)], [])

    def render(self) -> None: ...

    def show(self, views: None) -> None: ...


def test_it_shows_what_the_controls_say() -> None:
    halves = Halves()
    assert halves.view.value == "1.000"
    halves.number.value = 4
    assert halves.view.value == "2.000"


def test_what_fit_sets_does_not_redraw() -> None:
    halves = Halves()
    halves.least.value = 16
    assert halves.number.value == 16
    assert halves.view.value == "0.500"
    assert halves.fitted == [None, halves.least]


def test_a_refusal_is_a_sentence_and_the_views_are_empty() -> None:
    halves = Halves()
    halves.number.value = 13
    assert halves.view.value == ""
    assert "&lt;13&gt; is unlucky; take another" in halves.problem.value
    halves.number.value = 2
    assert halves.problem.value == ""
    assert halves.view.value == "4.000"


def test_a_fault_empties_the_views_and_is_not_swallowed() -> None:
    halves = Halves()
    with pytest.raises(ZeroDivisionError):  # the output shows it where there is a kernel
        halves.number.value = 0
    assert halves.view.value == ""
    halves.number.value = 2
    assert halves.view.value == "4.000"


def test_pictures_at_any_depth_have_words() -> None:
    face, flow = Picture("The face"), Picture("The flow")
    (names,) = [
        part for part in Gallery([face, w.VBox([flow])]).children if isinstance(part, Names)
    ]
    assert names.pictures == {face.mark: "The face", flow.mark: "The flow"}
    assert face.mark != flow.mark
