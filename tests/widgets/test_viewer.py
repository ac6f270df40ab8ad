"""What all widgets share: redraw, words for pictures, looking again, scripts."""

from pathlib import Path

import pytest
from loops import apart, in_loop, until

pytest.importorskip("ipywidgets", reason="the extra 'jupyter' is not installed")

import hmrm_widgets
import ipywidgets as w
import traitlets
from hmrm_widgets.flow_explorer import FlowCanvas
from hmrm_widgets.parts import Picture
from hmrm_widgets.viewer import Names, Poll, Viewer

FOLDER = Path(hmrm_widgets.__file__).parent


class Halves(Viewer):
    """Shows half of a number, and two pictures, of which one is empty."""

    def __init__(self) -> None:
        self.number, self.least = w.IntText(value=8), w.IntText(value=0)
        self.view, self.fitted = w.HTML(), list[w.Widget | None]()
        self.face, self.none = Picture("The face"), Picture("Nothing")
        rows = [self.number, self.least, w.HBox([self.view, w.VBox([self.face])]), self.none]
        views = {"view": self.view, "face": self.face, "none": self.none}
        super().__init__(rows, [self.number, self.least], views)

    def fit(self, changed: w.Widget | None) -> None:
        self.fitted.append(changed)
        self.number.value = max(self.number.value, self.least.value)

    def render(self) -> dict[str, object]:
        return {"view": f"{self.number.value / 2:.1f}", "face": b"\xff", "none": b""}


def test_it_shows_what_the_controls_say_and_its_pictures_have_words_or_are_hidden() -> None:
    """What `fit` sets does not redraw; pictures have words at any depth, empty ones are hidden."""
    halves = Halves()
    halves.number.value = 4
    assert halves.view.value == "2.0"
    halves.least.value = 16
    assert (halves.number.value, halves.view.value) == (16, "8.0")
    assert halves.fitted == [None, halves.number, halves.least]
    (names,) = [part for part in halves.children if isinstance(part, Names)]
    assert names.pictures == {halves.face.mark: "The face", halves.none.mark: "Nothing"}
    assert (halves.face.layout.display, halves.none.layout.display) == ("", "none")


def test_a_poll_looks_until_nothing_more_will_come() -> None:
    answers, looks = iter([True, True, False]), list[bool]()

    async def notebook() -> None:
        poll = Poll(lambda: looks.append(next(answers)) or looks[-1], every_s=0.005)
        poll.begin()
        poll.begin()  # changes nothing
        await until(lambda: not poll.going)

    in_loop(notebook)
    assert looks == [True, True, False]


def test_a_poll_may_go_on_more_rarely_and_ends_when_it_is_told_to() -> None:
    looks: list[int] = []

    async def notebook() -> None:
        poll = Poll(lambda: bool(looks.append(1)), every_s=0.001, idle_s=0.002)
        poll.begin()
        await until(lambda: len(looks) >= 3)
        assert poll.going
        poll.end()
        assert not poll.going

    in_loop(notebook)


def test_without_a_loop_nothing_is_polled() -> None:
    poll = Poll(lambda: True)
    apart(poll.begin)
    assert not poll.going


def test_a_canvas_takes_points_from_the_browser_and_nothing_else() -> None:
    canvas = FlowCanvas(pointing=True)
    canvas.set_state({"point": [3, 1]})
    assert canvas.point == (3, 1)
    canvas.set_state({"point": None})
    assert canvas.point is None
    for point in ([1], [1, 2, 3], ["1", 2], "12"):
        with pytest.raises(traitlets.TraitError):
            canvas.point = point


@pytest.mark.parametrize("script", ["flow_canvas.js", "flow_particles.js"])
def test_scripts_are_checked_and_load_nothing(script: str) -> None:
    text = (FOLDER / script).read_text(encoding="utf-8")
    assert text.startswith("// @ts-check")
    assert "export default { render }" in text
    for reach in ("import ", "fetch(", "http:", "https:", "eval(", "innerHTML"):
        assert reach not in text
    assert "lmSuppressShortcuts" in text, "JupyterLab would take the arrow keys"
