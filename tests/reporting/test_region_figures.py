"""Regions, tokens and attention drawn."""

from base64 import b64decode

import cv2
import numpy as np
import pytest
from plotly import graph_objects as go

from hmrm_lab.reporting.plots.input_pictures import attention_against_figure
from hmrm_lab.reporting.plots.region_tokens import (
    CELL_PX,
    REGION_LABELS,
    SIDE_PX,
    attention_face_figure,
    attention_heads_figure,
    attention_picture,
    received,
    region_picture,
    scan_order_figure,
    scan_path,
    shade_figure,
    shaded_picture,
    token_order,
)
from hmrm_lab.reporting.svg import token_grid_html

GREY = np.full((224, 224, 3), 128, np.uint8)
RNG = np.random.default_rng(0)


def attention(heads: int = 4) -> np.ndarray:
    return RNG.dirichlet(np.ones(20), (heads, 20)).astype(np.float32)


def words_of(figure: go.Figure) -> str:
    return " ".join(note.text.replace("<br>", " ") for note in figure.layout.annotations)


def pictures_of(figure: go.Figure) -> list[np.ndarray]:
    return [
        cv2.imdecode(np.frombuffer(b64decode(t.source.partition(",")[2]), np.uint8), 1)[..., ::-1]
        for t in figure.data
        if t.type == "image"
    ]


def test_windows_are_regions_and_pixels_are_cells() -> None:
    assert scan_path("core", "windows", 0).tolist() == [[7, 7], [21, 7], [7, 21], [21, 21]]
    assert scan_path("sub", "windows", 0)[4].tolist() == [17.5, 3.5]
    assert scan_path("sub", "pixels", 1)[0].tolist() == [7.5, 0.5]
    assert len(scan_path("core", "pixels", 0)) == 49


def test_the_order_is_laid_out_as_on_the_face() -> None:
    assert token_order("core", "windows", 0) == [[0, 1], [2, 3]]
    fine = token_order("sub", "windows", 0)
    assert fine == [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]
    assert np.array_equal(token_order("core", "pixels", 2), np.arange(49).reshape(7, 7))


def test_the_grid_marks_one_token() -> None:
    table = token_grid_html([[0, 1], [2, 3]], 2)
    assert table.count("<td") == 4
    assert table.count("bold") == 1
    assert "2 ◀" in table


def test_the_chosen_region_is_lit() -> None:
    picture = region_picture(GREY, "sub", 6)
    assert picture.shape == (SIDE_PX, SIDE_PX, 3)
    inside = picture[7 * CELL_PX + 20, 14 * CELL_PX + 20]
    assert inside.tolist() == [128] * 3
    assert picture[20, 20].max() < 80
    assert region_picture(GREY, "sub")[20, 20].tolist() == [128] * 3


@pytest.mark.parametrize("tokens", ["windows", "pixels"])
def test_the_way_of_the_scan_is_drawn(tokens: str) -> None:
    path = scan_path("sub", tokens, 3)
    changed = region_picture(GREY, "sub", 3, path) != region_picture(GREY, "sub", 3)
    x, y = np.round(CELL_PX * path[1]).astype(int)
    assert changed.any()
    assert changed[y - 3 : y + 4, x - 12 : x + 12].any()


@pytest.mark.parametrize("side", [28, 100, 336, 500])
def test_any_square_ground_will_do(side: int) -> None:
    ground = np.full((side, side, 3), 90, np.uint8)
    assert region_picture(ground, "core").shape == (SIDE_PX, SIDE_PX, 3)


def test_the_order_has_four_pictures() -> None:
    figure = scan_order_figure(GREY, region=1, caption="the caption")
    assert len(pictures_of(figure)) == 4
    assert "fine, windows 16 tokens" in words_of(figure)
    assert "the caption" in words_of(figure)


def test_shades_run_from_low_to_high() -> None:
    picture = shaded_picture(GREY, "core", np.array([0, 1, 1, 0], np.float32), 0, 1)
    blue, yellow = picture[50, 50], picture[50, 250]
    assert blue[2] > blue[0]
    assert yellow[0] > yellow[2]
    np.testing.assert_array_equal(picture[250, 250], blue)


def test_shades_of_all_pictures_share_a_scale() -> None:
    shades = {
        "one": ("core", np.array([1, 2, 3, 4], np.float32)),
        "two": ("sub", np.full(16, 9, np.float32)),
    }
    figure = shade_figure(GREY, shades, "Title", "dt")
    (bar,) = [trace.marker for trace in figure.data if trace.type == "scatter"]
    assert (bar.cmin, bar.cmax, bar.colorbar.title.text) == (1, 9, "dt")
    assert len(pictures_of(figure)) == 2


def test_what_is_received_adds_up_to_one() -> None:
    np.testing.assert_allclose(received(attention()).sum(-1), 1, rtol=1e-5)
    weights = np.zeros((20, 20), np.float32)
    weights[:, 7] = 1
    assert received(weights).argmax() == 7


def test_the_strongest_link_is_drawn_from_its_giver() -> None:
    weights = np.full((20, 20), 0.01, np.float32)
    plain = attention_picture(GREY, weights, 0, 1)
    weights[19, 4] = 0.8  # the last sub-region takes from the first
    linked = attention_picture(GREY, weights, 0, 1)
    x, y = 42, 42  # the middle of the first sub-region
    assert linked[y, x].tolist() == [255, 214, 64]
    assert (linked != plain).any()


@pytest.mark.parametrize("heads", [1, 3, 4])
def test_every_head_has_a_picture_and_a_matrix(heads: int) -> None:
    weights = attention(heads)
    assert len(pictures_of(attention_face_figure(GREY, weights))) == heads
    figure = attention_heads_figure(weights, caption="the caption")
    assert len(figure.data) == heads
    assert list(figure.data[0].x) == REGION_LABELS
    np.testing.assert_allclose(figure.data[-1].z, weights[-1], atol=1e-4)
    assert "the caption" in words_of(figure)


def test_labels_are_of_four_and_sixteen() -> None:
    assert REGION_LABELS[:4] == ["TL", "TR", "BL", "BR"]
    assert REGION_LABELS[4 + 6] == "TR.BL"
    assert len(set(REGION_LABELS)) == 20


def test_attention_stands_against_the_fall() -> None:
    shares, falls = RNG.random((2, 16)).astype(np.float32)
    (points,) = attention_against_figure(shares, falls).data
    np.testing.assert_allclose(points.x, shares, atol=1e-5)
    np.testing.assert_allclose(points.y, falls, atol=1e-5)
    assert list(points.text) == REGION_LABELS[4:]
