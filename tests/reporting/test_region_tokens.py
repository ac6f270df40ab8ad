"""Regions, tokens, attention and the scan drawn."""

import numpy as np
import pytest
import torch
from reporting.shown import bar_of, pictures_of, words_of

from hmrm_lab.models.scan.inside import ScanTrace, trace_scan
from hmrm_lab.reporting.plots import region_tokens as drawn

GREY = np.full((224, 224, 3), 128, np.uint8)
WEIGHTS = np.random.default_rng(0).dirichlet(np.ones(20), (4, 20)).astype(np.float32)
DARK_BLUE, YELLOW = (0, 32, 76), (254, 232, 56)
L = 6


def make_trace(direction: str = "forward") -> ScanTrace:
    return trace_scan(torch.eye(L)[2], torch.full((L,), 0.4), decay=1.0, direction=direction)


def test_windows_are_regions_and_pixels_are_cells() -> None:
    assert drawn.scan_path("core", "windows", 0).tolist() == [[7, 7], [21, 7], [7, 21], [21, 21]]
    assert drawn.scan_path("sub", "windows", 0)[4].tolist() == [17.5, 3.5]
    assert drawn.scan_path("sub", "pixels", 1)[0].tolist() == [7.5, 0.5]
    assert len(drawn.scan_path("core", "pixels", 0)) == 49
    assert drawn.token_order("core", "windows", 0) == [[0, 1], [2, 3]]
    fine = drawn.token_order("sub", "windows", 0)
    assert fine == [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]
    assert np.array_equal(drawn.token_order("core", "pixels", 2), np.arange(49).reshape(7, 7))


def test_the_chosen_region_is_lit_and_the_way_of_the_scan_drawn() -> None:
    picture = drawn.region_picture(GREY, "sub", 6)
    assert picture[7 * drawn.CELL_PX + 20, 14 * drawn.CELL_PX + 20].tolist() == [128] * 3
    assert picture[20, 20].max() < 80
    assert drawn.region_picture(GREY, "sub")[20, 20].tolist() == [128] * 3
    ground = np.full((28, 28, 3), 90, np.uint8)
    assert drawn.region_picture(ground, "core").shape == (drawn.SIDE_PX, drawn.SIDE_PX, 3)
    figure = drawn.scan_order_figure(GREY, region=1, caption="the caption")
    assert len(pictures_of(figure)) == 4
    assert "fine, windows 16 tokens" in words_of(figure)


def test_shades_share_a_scale_from_low_to_high() -> None:
    core, sub = np.array([1, 9, 9, 1], np.float32), np.full(16, 9, np.float32)
    shades = {"one": ("core", core), "two": ("sub", sub)}
    figure = drawn.shade_figure(GREY, shades, "Title", "dt")
    assert (bar_of(figure).cmin, bar_of(figure).cmax) == (1, 9)
    one, two = (picture.astype(int) for picture in pictures_of(figure))
    np.testing.assert_allclose(one[50, 250], two[50, 250], atol=4)


def test_the_strongest_link_is_drawn_from_its_giver() -> None:
    np.testing.assert_allclose(drawn.received(WEIGHTS).sum(-1), 1, rtol=1e-5)
    weights = np.full((20, 20), 0.01, np.float32)
    weights[19, 4] = 0.8  # the last sub-region takes from the first
    assert drawn.received(weights).argmax() == 4
    linked = drawn.attention_picture(GREY, weights, 0, 1)
    assert linked[42, 42].tolist() == [255, 214, 64], "the middle of the first sub-region"


def test_every_head_has_a_picture_and_a_matrix() -> None:
    for weights in (WEIGHTS[:1], WEIGHTS[:3]):
        face = drawn.attention_face_figure(GREY, weights)
        figure = drawn.attention_heads_figure(weights, caption="the caption")
        assert len(pictures_of(face)) == len(figure.data) == len(weights)
        np.testing.assert_allclose(figure.data[-1].z, weights[-1], atol=1e-4)
        assert list(figure.data[0].x) == drawn.REGION_LABELS
        assert "the caption" in words_of(figure)


def test_flow_attention_over_steps_has_a_map_for_each_state() -> None:
    weights = np.random.default_rng(0).dirichlet(np.ones(3), (8, 8)).T.astype(np.float32)
    figure = drawn.flow_attention_figure(weights, ("passed up", "update 1", "update 2"))
    assert len(pictures_of(figure)) == 3
    assert f"<b>update 1</b> mean {weights[1].mean():.3f}" in words_of(figure)
    assert "Equal shares would be 0.333" in words_of(figure)
    bar = bar_of(figure)
    assert (bar.cmin, bar.cmax) == pytest.approx((weights.min(), weights.max()))
    for names, message in ((("a", "b"), "2 names for 3 maps"), ((), "no square grid")):
        with pytest.raises(ValueError, match=message):
            drawn.flow_attention_figure(weights, names)


def test_flow_attention_over_space_puts_every_map_in_the_place_of_its_region() -> None:
    weights = np.zeros((49, 8, 8), np.float32)
    weights[7 * 2 + 5] = 1.0  # all look at the region of row 2, column 5
    figure = drawn.flow_attention_figure(weights)
    (picture,) = pictures_of(figure)
    step = 8 + drawn.REGION_GAP
    assert picture.shape == (7 * step - drawn.REGION_GAP,) * 2 + (3,)
    np.testing.assert_allclose(picture[2 * step : 2 * step + 8, 5 * step + 4], [YELLOW] * 8, atol=9)
    np.testing.assert_allclose(picture[5 * step, 2 * step], DARK_BLUE, atol=12)


def test_the_scan_is_drawn_token_by_token() -> None:
    answers = {"<a>": np.arange(L, dtype=np.float32), "b": np.ones(L, np.float32)}
    figure = drawn.impulse_figure(answers, 2, "Title", caption="the caption")
    assert [trace.name for trace in figure.data] == ["&lt;a&gt;", "b"]
    assert list(figure.data[0].y) == list(range(L))
    assert figure.layout.shapes[0].x0 == 2
    figure = drawn.trace_figure(make_trace("both"), "Title")
    names = [trace.name for trace in figure.data]
    assert names == ["x", "dt", "h, forward", "h, backward", "y"]
    np.testing.assert_allclose(figure.data[4].y, make_trace("both").y, atol=1e-5)
    assert drawn.trace_figure(make_trace(), "Title").data


def test_matrices_share_a_scale_that_is_signed_where_they_are() -> None:
    one, two = np.eye(3, dtype=np.float32), -2 * np.eye(3, dtype=np.float32)
    figure = drawn.matrix_figure({"one": one, "two": two}, "Title")
    assert [(trace.zmin, trace.zmax) for trace in figure.data] == [(-2, 2)] * 2
    (trace,) = drawn.matrix_figure({"one": one}, "Title").data
    assert (trace.zmin, trace.zmax) == (0, 1)
    assert drawn.matrix_figure({"nothing": 0 * one}, "Title").data[0].zmax == 1
