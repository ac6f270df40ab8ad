"""The scan drawn."""

import re
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import torch

from hmrm_lab.models.scan.inside import ScanTrace, trace_scan
from hmrm_lab.reporting.plots.region_tokens import impulse_figure, matrix_figure, trace_figure
from hmrm_lab.reporting.style import BLUE, GREEN, ORANGE, VERMILLION
from hmrm_lab.reporting.svg import matrix_svg, trace_svg

L = 6


def make_trace(direction: str = "forward") -> ScanTrace:
    return trace_scan(torch.eye(L)[2], torch.full((L,), 0.4), decay=1.0, direction=direction)


def test_every_answer_is_a_line() -> None:
    answers = {"<a>": np.arange(L, dtype=np.float32), "b": np.ones(L, np.float32)}
    figure = impulse_figure(answers, 2, "Title", caption="the caption")
    assert [trace.name for trace in figure.data] == ["&lt;a&gt;", "b"]
    assert list(figure.data[0].y) == list(range(L))
    assert figure.layout.shapes[0].x0 == 2
    assert any("the caption" in note.text for note in figure.layout.annotations)


def test_a_trace_has_a_row_for_each_quantity() -> None:
    figure = trace_figure(make_trace("both"), "Title")
    names = [trace.name for trace in figure.data]
    assert names == ["x", "dt", "h, forward", "h, backward", "y"]
    np.testing.assert_allclose(figure.data[4].y, make_trace("both").y, atol=1e-5)
    assert figure.data[2].offset < figure.data[3].offset
    alone = trace_figure(make_trace(), "Title")
    assert alone.data[2].offset == alone.data[3].offset == alone.data[0].offset


def test_matrices_share_a_scale_that_is_signed_where_they_are() -> None:
    one, two = np.eye(3, dtype=np.float32), -2 * np.eye(3, dtype=np.float32)
    figure = matrix_figure({"one": one, "two": two}, "Title")
    assert [(trace.zmin, trace.zmax) for trace in figure.data] == [(-2, 2)] * 2
    assert [trace.showscale for trace in figure.data] == [True, False]
    assert figure.layout.yaxis.autorange == "reversed"
    (trace,) = matrix_figure({"one": one}, "Title").data
    assert (trace.zmin, trace.zmax) == (0, 1)
    assert matrix_figure({"nothing": 0 * one}, "Title").data[0].zmax == 1


@pytest.mark.parametrize("direction", ["forward", "backward", "both"])
def test_the_svg_has_a_stem_for_every_number(direction: str) -> None:
    content = trace_svg(make_trace(direction))
    tree = ET.fromstring(content)
    states = 2 if direction == "both" else 1
    assert len(tree.findall("circle")) == L * (3 + states)
    assert (f'fill="{BLUE}"' in content) == (direction != "backward")
    assert (f'fill="{ORANGE}"' in content) == (direction != "forward")
    label = tree.attrib["aria-label"]
    assert f"of {L} tokens" in label
    assert ("forward and backward" in label) == (direction == "both")


def test_stems_are_as_high_as_their_numbers() -> None:
    circles = re.findall(rf'cy="([\d.]+)" r="3" fill="{GREEN}"', trace_svg(make_trace()))
    heights = np.array([float(number) for number in circles])
    shares = (heights[0] - heights) / (heights[0] - heights[2])
    np.testing.assert_allclose(shares, make_trace().y / make_trace().y.max(), atol=0.02)


def test_the_matrix_svg_tells_its_numbers_and_signs() -> None:
    content = matrix_svg(np.array([[1.0, -1.0], [0.0, 0.5]], np.float32))
    tree = ET.fromstring(content)
    cells = tree.findall("rect")
    assert [cell.find("title").text for cell in cells] == [
        *("from 0 to 0: 1.000", "from 1 to 0: -1.000"),
        *("from 0 to 1: 0.000", "from 1 to 1: 0.500"),
    ]
    fills = [(cell.attrib["fill"], float(cell.attrib["fill-opacity"])) for cell in cells]
    assert fills[0] == (VERMILLION, 1)
    assert fills[1][0] == BLUE
    assert fills[2][1] == 0
    assert len(set(fills)) == 4
    assert "NaN" not in matrix_svg(np.zeros((2, 2), np.float32))
