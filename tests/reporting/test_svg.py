"""Light pictures for widgets and pages."""

import re
from xml.etree import ElementTree as ET

import numpy as np
from reporting.test_faces import CURVE
from reporting.test_region_tokens import L, make_trace

from hmrm_lab.datasets.classes import MEGC3
from hmrm_lab.evaluation.live_progress import FoldProgress, RunSnapshot
from hmrm_lab.faces.apex import ApexCurve
from hmrm_lab.reporting import svg
from hmrm_lab.reporting.style import BLUE, GREEN, ORANGE, VERMILLION

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
    drawn = [ET.fromstring(svg.curve_svg(CURVE, frame, 4)) for frame in (3, 5, 7)]
    dots = [picture.find("circle") for picture in drawn]
    places = [float(dot.get("cx")) for dot in dots]
    assert places == sorted(places)
    assert float(dots[1].get("cy")) < float(dots[0].get("cy")), "higher on the page at the peak"
    assert "spotted apex 5, annotated apex 4" in drawn[0].get("aria-label")
    assert "annotated" not in svg.curve_svg(CURVE, 3)
    still = ApexCurve(2, False, np.array([2]), np.zeros(1, np.float32), {})
    assert "nan" not in svg.curve_svg(still, 2)


def test_bars_are_as_long_as_what_they_say() -> None:
    bars = svg.probability_bars([0.25, 0.5, 0.25], MEGC3.classes, truth=2)
    assert re.findall(r"width:([\d.]+)%", bars) == ["25.0", "50.0", "25.0"]
    assert labels(bars) == ["negative 25%; positive 50% predicted; surprise 25% true"]
    bar = svg.progress_bar(0.256, "1 of 4 folds & more")
    assert 'aria-valuenow="26"' in bar
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
    assert re.findall(r"width:([\d.]+)%;height:100%", cells) == ["66.7", "25.0", "0.0", "0.0"]
    assert "<b>" not in cells
    assert "<b>zoo</b>" in svg.subject_cells((*FOLDS, FoldProgress("zoo/s01", "waiting", 0.0)))


def test_the_curves_go_from_the_highest_loss_down() -> None:
    page = losses([[(1, 2.0), (2, 1.0)]], [[(1, 1.5)]])
    done, going = (node.attrib["d"] for node in page.iter("path"))
    assert done == "M52,30L342,95"  # from the top to half the height, from side to side
    assert going.startswith("M52,")
    (now,) = page.iter("circle")
    assert (now.get("cx"), now.get("cy")) == ("52.0", "62.5")  # three quarters of the highest
    label = "Training loss by epoch, 1 finished trainings and 1 in work"
    assert page.get("aria-label") == label
    for epochs, ticks in ((1, "1"), (2, "1 2"), (24, "1 5 10 15 20")):
        texts = losses([[(epochs, 1.0)]], epochs=epochs).iter("text")
        assert " ".join(text.text for text in texts if text.get("y") == "176.0") == ticks
    curve = [(epoch, 1 / epoch) for epoch in range(1, 1001)]
    many = ET.tostring(losses([curve] * 200, epochs=1000), encoding="unicode")
    assert len(many) < 50_000
    assert many.count("M52,") == 200


def test_cells_show_their_numbers_and_signs() -> None:
    counts = np.array([[5, 1, 0], [0, 2, 0], [0, 0, 0]])
    words = "1 of 4 folds: <so far>"
    page = ET.fromstring(f"<div>{svg.confusion_cells(counts, MEGC3.classes, words)}</div>")
    assert words in " ".join(page.itertext())
    cells = [node for node in page.iter("div") if "font-weight" in node.get("style", "")]
    assert [node.text for node in cells] == list("510020000")
    tints = [node.attrib["style"].partition(f"background:{BLUE}")[2][:2] for node in cells]
    assert tints[:3] == ["80", "1a", "00"]  # of 255, 0.6 times 5, 1 and 0 of 6
    page = ET.fromstring(svg.matrix_html(np.array([[1.0, -1.0], [0.0, 0.5]])))
    tints = {
        cell.attrib["title"]: cell.attrib["style"].partition("background:")[2]
        for cell in page.iter("div")
        if "title" in cell.attrib
    }
    assert tints == {
        "from 0 to 0: 1.000": f"{VERMILLION}ff",
        "from 1 to 0: -1.000": f"{BLUE}ff",
        "from 0 to 1: 0.000": f"{BLUE}00",
        "from 1 to 1: 0.500": f"{VERMILLION}80",
    }
    assert "nan" not in svg.matrix_html(np.zeros((2, 2), np.float32))
    table = svg.token_grid_html([[0, 1], [2, 3]], 2)
    assert (table.count("<td"), table.count("bold"), table.count("2 ◀")) == (4, 1, 1)


def test_the_trace_has_a_stem_for_every_number() -> None:
    for direction in ("forward", "backward", "both"):
        content = svg.trace_svg(make_trace(direction))
        both = direction == "both"
        assert len(ET.fromstring(content).findall("circle")) == L * (4 + both)
        assert (f'fill="{BLUE}"' in content) == (direction != "backward")
        assert (f'fill="{ORANGE}"' in content) == (direction != "forward")
        assert ("forward and backward" in labels(content)[0]) == both
    trace = make_trace()
    circles = re.findall(rf'cy="([\d.]+)" r="3" fill="{GREEN}"', svg.trace_svg(trace))
    heights = np.array(circles, dtype=float)
    shares = (heights[0] - heights) / (heights[0] - heights[2])
    np.testing.assert_allclose(shares, trace.y / trace.y.max(), atol=0.02)
