"""Figures of faces and apexes."""

import xml.etree.ElementTree as ET
from base64 import b64decode
from dataclasses import replace

import cv2
import numpy as np
import pandas as pd
import pytest
from plotly import graph_objects as go

from hmrm_lab.faces.affine import Affine
from hmrm_lab.faces.apex import ApexCurve
from hmrm_lab.faces.regions import core_regions
from hmrm_lab.faces.template import mean_face
from hmrm_lab.reporting.drawing import core_outlines, face_picture
from hmrm_lab.reporting.plots.faces import (
    apex_curve_figure,
    apex_errors_figure,
    faces_figure,
    frame_lines_figure,
    part_curves_figure,
)
from hmrm_lab.reporting.style import GREEN, ORANGE, VERMILLION
from hmrm_lab.reporting.svg import curve_svg

GREY = np.full((224, 224, 3), 120, np.uint8)


@pytest.fixture
def curve() -> ApexCurve:
    values = np.array([0, 1, 3, 2, 0.5], np.float32)
    parts = {"brow_left": 2 * values, "brow_right": values, "mouth": values[::-1].copy()}
    return ApexCurve(5, True, np.arange(3, 8), values, parts)


@pytest.fixture
def table() -> pd.DataFrame:
    rows = [
        ("a", "negative", 0, 2, 1.5),
        ("b", "surprise", -3, 0, 0.4),
        ("c", "surprise", 0, -1, 2.5),
        ("d", "positive", None, None, np.nan),
    ]
    made = pd.DataFrame(rows, columns=["clip", "class", "error", "middle_error", "strength_px"])
    made["peak"] = [3.0, 1.0, 4.0, 2.0]
    return made.astype({"error": "Int64", "middle_error": "Int64"})


def words_of(figure: go.Figure) -> str:
    return " ".join(note.text.replace("<br>", " ") for note in figure.layout.annotations)


def by_name(figure: go.Figure) -> dict[str, go.Scatter]:
    return {trace.name: trace for trace in figure.data if trace.name}


def test_small_frames_are_enlarged_and_large_ones_are_not() -> None:
    assert face_picture(GREY, mean_face()).shape == (448, 448, 3)
    assert face_picture(np.zeros((300, 200, 3), np.uint8), mean_face()).shape == (600, 400, 3)
    large = np.zeros((600, 800, 3), np.uint8)
    assert face_picture(large, mean_face()).shape == (600, 800, 3)


def test_landmarks_lie_where_they_are() -> None:
    drawn = face_picture(GREY, mean_face(), ("landmarks",))
    changed = (drawn != 120).any(axis=2)
    x, y = np.round(2 * (mean_face() + 0.5) - 0.5).astype(int)[30]
    assert drawn[y, x].tolist() == [255, 214, 64]
    ys, xs = np.nonzero(changed)
    distance = np.hypot(*(np.stack([xs, ys], 1)[:, None] - 2 * mean_face()[None]).T).min(0)
    dot = 0.013 * 2 * np.linalg.norm(mean_face()[45] - mean_face()[36])
    assert distance.max() < dot + 4, "a dot and its rim"


def test_without_layers_the_frame_is_left_as_it_is() -> None:
    assert (face_picture(GREY, mean_face(), ()) == 120).all()
    assert (GREY == 120).all()


def test_parts_have_their_colours() -> None:
    drawn = face_picture(GREY, mean_face(), ("parts",)).astype(int)
    for points, channel in ((slice(36, 42), 2), (slice(48, 68), 0)):
        x, y = (2 * mean_face()[points].mean(axis=0)).astype(int)
        assert drawn[y, x].argmax() == channel, "eyes are blue, the mouth is red"


def test_an_unknown_layer_is_refused() -> None:
    with pytest.raises(ValueError, match="wrinkles"):
        face_picture(GREY, mean_face(), ("wrinkles",))


def test_core_regions_turn_with_the_face() -> None:
    upright = core_outlines(mean_face())
    left, top, right, bottom = core_regions(mean_face())[0]
    np.testing.assert_allclose(upright[0, [0, 2]], [(left, top), (right, bottom)], atol=0.01)
    turn = Affine(np.array([[0.0, -1], [1, 0]]), np.array([224.0, 0]))
    turned = core_outlines(turn.points(mean_face()))
    np.testing.assert_allclose(
        turned.reshape(-1, 2), turn.points(upright.reshape(-1, 2)), atol=0.01
    )


def test_pictures_stand_side_by_side_under_their_names() -> None:
    figure = faces_figure({"<a>": GREY, "b": GREY[:100]}, "Two", caption="As seen.")
    assert [trace.type for trace in figure.data] == ["image", "image"]
    content = b64decode(figure.data[1].source.partition(",")[2])
    assert cv2.imdecode(np.frombuffer(content, np.uint8), 1).shape == (100, 224, 3)
    assert "&lt;a&gt; b As seen." in words_of(figure)
    with pytest.raises(ValueError, match="no picture"):
        faces_figure({}, "None")


def test_the_curve_marks_both_apexes(curve: ApexCurve) -> None:
    names = by_name(apex_curve_figure(curve, 4))
    assert list(names["spotted apex: 5"].x) == [5, 5]
    assert list(names["annotated apex: 4"].x) == [4, 4]
    assert list(apex_curve_figure(curve).data[0].x) == [3, 4, 5, 6, 7]
    assert not any("annotated" in name for name in by_name(apex_curve_figure(curve)))


def test_a_guess_is_called_one(curve: ApexCurve) -> None:
    assert "guess" not in words_of(apex_curve_figure(curve))
    assert "guess" in words_of(apex_curve_figure(replace(curve, spotted=False)))


def test_each_part_has_its_curve(curve: ApexCurve) -> None:
    names = by_name(part_curves_figure(curve, 4))
    np.testing.assert_array_equal(names["brow left"].y, curve.parts["brow_left"])
    assert names["brow left"].line.color == names["brow right"].line.color == ORANGE
    assert names["brow left"].line.dash != names["brow right"].line.dash
    assert max(names["annotated apex: 4"].y) > max(names["brow left"].y)


def test_measurements_by_frame() -> None:
    figure = frame_lines_figure({"dlib": pd.Series([0.5, 0.7], index=[4, 5])}, "Steps", "step (px)")
    assert list(figure.data[0].x) == [4, 5]
    assert figure.layout.yaxis.title.text == "step (px)"


def test_errors_are_counted_and_set_against_strength(table: pd.DataFrame) -> None:
    figure = apex_errors_figure(table)
    names = by_name(figure)
    assert dict(zip(names["spotted"].x, names["spotted"].y, strict=True)) == {-3: 1, 0: 2}
    assert sum(names["middle frame"].y) == 3
    assert list(names["surprise"].x) == [0.4, 2.5]
    assert list(names["surprise"].y) == [-3, 0]
    assert "3 clips" in words_of(figure)
    assert "longest vector" in figure.layout.xaxis2.title.text


def test_where_motion_is_not_known_the_curve_stands_for_it(table: pd.DataFrame) -> None:
    figure = apex_errors_figure(table.assign(strength_px=np.nan))
    assert list(by_name(figure)["surprise"].x) == [1.0, 4.0]
    assert "height of the curve" in figure.layout.xaxis2.title.text


def test_without_a_true_apex_it_says_so(table: pd.DataFrame) -> None:
    assert "No clip has an annotated apex" in words_of(apex_errors_figure(table.iloc[3:]))


def test_the_drawn_curve_follows_the_frame(curve: ApexCurve) -> None:
    drawn = [ET.fromstring(curve_svg(curve, frame, 4)) for frame in (3, 5, 7)]
    dots = [picture.find("circle") for picture in drawn]
    places = [float(dot.get("cx")) for dot in dots]
    assert places == sorted(places)
    assert float(dots[1].get("cy")) < float(dots[0].get("cy")), "higher on the page at the peak"
    assert "spotted apex 5, annotated apex 4" in drawn[0].get("aria-label")
    strokes = {line.get("stroke") for line in drawn[0].findall("line")}
    assert {VERMILLION, GREEN} <= strokes
    assert "annotated" not in curve_svg(curve, 3)


def test_a_still_or_single_frame_can_be_drawn() -> None:
    still = ApexCurve(2, False, np.array([2]), np.zeros(1, np.float32), {})
    assert "nan" not in curve_svg(still, 2)
