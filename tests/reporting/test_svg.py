"""Light pictures for widgets and pages."""

import re
from xml.etree import ElementTree as ET

import numpy as np
from hmrm_widgets.clip_stepper import curve_svg
from hmrm_widgets.scan_playground import trace_svg
from reporting.test_faces import CURVE
from reporting.test_region_tokens import L, make_trace

from hmrm_lab.datasets.classes import MEGC3
from hmrm_lab.evaluation.live_progress import FoldProgress, RunSnapshot
from hmrm_lab.faces.apex import ApexCurve
from hmrm_lab.reporting import svg
from hmrm_lab.reporting.style import BLUE, VERMILLION

FOLDS = (
    FoldProgress("toy/s01", "done", 1.0, right=2, answered=3),
    FoldProgress("toy/s02", "in work", 0.25),
    FoldProgress("toy/s03", "failed", 0.0, reason="diverged: the loss is <nan>"),
    FoldProgress("toy/s04", "waiting", 0.0),
)


def losses(finished: object, in_work: object = (), epochs: int = 2) -> ET.Element:
    counts = np.ones((1, 3, 3), np.int64)
    state = RunSnapshot(FOLDS, 1, 4, MEGC3.classes, counts, finished, in_work, epochs, "")
    return ET.fromstring(svg.loss_curves(state))


def labels(page: str) -> list[str]:
    nodes = ET.fromstring(f"<div>{page}</div>").iter()
    return [node.attrib["aria-label"] for node in nodes if "aria-label" in node.attrib]


def test_the_apex_curve_follows_the_frame() -> None:
    drawn = [ET.fromstring(curve_svg(CURVE, frame, 4)) for frame in (3, 5, 7)]
    dots = [picture.find("circle") for picture in drawn]
    places = [float(dot.get("cx")) for dot in dots]
    assert places == sorted(places)
    assert float(dots[1].get("cy")) < float(dots[0].get("cy")), "higher on the page at the peak"
    assert "spotted apex 5, annotated apex 4" in drawn[0].get("aria-label")
    assert "annotated" not in curve_svg(CURVE, 3)
    still = ApexCurve(2, False, np.array([2]), np.zeros(1, np.float32), {})
    assert "nan" not in curve_svg(still, 2)


def test_bars_are_as_long_as_what_they_say() -> None:
    bars = svg.probability_bars([0.25, 0.5, 0.25], MEGC3.classes, truth=2)
    assert re.findall(r"width:([\d.]+)%", bars) == ["25.0", "50.0", "25.0"]
    assert labels(bars) == ["negative 25%; positive 50% predicted; surprise 25% true"]
    bar = svg.progress_bar(0.256, "1 of 4 folds & more")
    assert "width:25.6%" in bar
    assert labels(bar) == ["1 of 4 folds & more"]
    cells = svg.subject_cells(FOLDS)
    assert labels(cells) == [
        "Held-out subjects: 1 waiting, 1 in work, 1 done, 1 failed",
        "toy/s01: done, 2/3 right",
        "toy/s02: in work, 25%",
        "toy/s03: failed, failed (diverged: the loss is <nan>)",
        "toy/s04: waiting, waits",
    ]
    assert "<b>zoo</b>" in svg.subject_cells((*FOLDS, FoldProgress("zoo/s01", "waiting", 0.0)))


def test_the_curves_go_from_the_highest_loss_down() -> None:
    page = losses([[(1, 2.0), (2, 1.0)]], [[(1, 1.5)]])
    done = next(page.iter("path")).attrib["d"]
    assert done == "M52,30L342,95"  # from the top to half the height, from side to side
    assert page.get("aria-label").endswith("1 finished trainings and 1 in work")
    curve = [(epoch, 1 / epoch) for epoch in range(1, 1001)]
    assert len(ET.tostring(losses([curve] * 200, epochs=1000))) < 50_000


def test_cells_show_their_numbers_and_signs() -> None:
    counts = np.array([[5, 1, 0], [0, 2, 0], [0, 0, 0]])
    words = "1 of 4 folds: <so far>"
    page = ET.fromstring(f"<div>{svg.confusion_cells(counts, MEGC3.classes, words)}</div>")
    assert words in " ".join(page.itertext())
    cells = [node for node in page.iter("div") if "font-weight" in node.get("style", "")]
    assert [node.text for node in cells] == list("510020000")
    signed = svg.matrix_html(np.array([[1.0, -1.0], [0.0, 0.5]]))
    for words in ("from 1 to 0: -1.000", f"background:{BLUE}ff", f"background:{VERMILLION}80"):
        assert words in signed
    assert "nan" not in svg.matrix_html(np.zeros((2, 2), np.float32))
    assert svg.token_grid_html([[0, 1], [2, 3]], 2).count("2 ◀") == 1


def test_the_trace_has_a_stem_for_every_number() -> None:
    for direction in ("forward", "backward", "both"):
        content = trace_svg(make_trace(direction))
        both = direction == "both"
        assert len(ET.fromstring(content).findall("circle")) == L * (4 + both)
        assert ("forward and backward" in labels(content)[0]) == both
