"""Motion fields drawn and read."""

import numpy as np
import pytest
from reporting.shown import bar_of, pictures_of, uniform, words_of

from hmrm_lab.errors import InputError
from hmrm_lab.reporting.drawing import longest_px
from hmrm_lab.reporting.plots.optical_flow import (
    REGION_GAP,
    attention_figure,
    error_figure,
    flow_figure,
    flow_gallery_figure,
    frames_figure,
    point_table,
    point_words,
    vector_at,
    vector_words,
)

MODES = ("colour", "quiver", "strain")
DARK_BLUE, YELLOW = (0, 32, 76), (254, 232, 56)
GRADIENT = np.stack(np.meshgrid(np.linspace(-1, 1, 32), np.zeros(32))).astype(np.float32)


def shares(count: int) -> np.ndarray:
    drawn = np.random.default_rng(0).random((count, 8, 8)).astype(np.float32)
    return drawn / drawn.sum(0)


def still_but(u: float, v: float) -> np.ndarray:
    """Motion at column 3, row 1 alone; 4 rows of 5 columns."""
    flow = np.zeros((2, 4, 5), np.float32)
    flow[:, 1, 3] = u, v
    return flow


@pytest.mark.parametrize("mode", MODES)
def test_one_field_keeps_to_the_pixels_of_its_frame(mode: str) -> None:
    frame = np.full((40, 56, 3), 90, np.uint8)
    flow = np.stack(np.meshgrid(np.linspace(-2, 2, 56), np.linspace(0, 1, 40))).astype(np.float32)
    for ground in (frame, None):
        figure = flow_figure(ground, flow, mode=mode, caption="the caption")
        images = [trace for trace in figure.data if trace.type == "image"]
        with_frame = ground is not None
        assert len(images) == 1 + with_frame + (mode == "colour"), "the wheel is a picture too"
        width = pictures_of(figure)[with_frame].shape[1]
        assert width * images[with_frame].dx == pytest.approx(56)
        assert "the caption" in words_of(figure)
        assert f"{longest_px(flow):.2f} px" in words_of(figure)
        assert figure.layout.xaxis.title.text == "x (px)"


def test_frames_stand_side_by_side_under_their_names() -> None:
    shades = {f"<b>{shade}": np.full((32, 32, 3), shade, np.uint8) for shade in (20, 200)}
    figure = frames_figure(shades, "Two frames", caption="the caption")
    assert [int(picture.mean()) for picture in pictures_of(figure)] == [20, 200]
    assert words_of(figure) == "&lt;b&gt;20 &lt;b&gt;200 the caption"


@pytest.mark.parametrize("mode", MODES)
def test_a_gallery_has_a_picture_for_every_field(mode: str) -> None:
    fields = {"exact": GRADIENT, "half": GRADIENT / 2, "still": uniform(0), "other": -GRADIENT}
    figure = flow_gallery_figure(fields, mode=mode, caption="the caption")
    assert len(pictures_of(figure)) == 4 + (mode == "colour")
    assert any(trace.type == "scatter" for trace in figure.data) == (mode == "strain")
    most = "peak 3.2 %" if mode == "strain" else "longest 0.50 px"
    assert f"<b>half</b> {most}" in words_of(figure)
    assert "the caption" in words_of(figure)
    assert pictures_of(flow_gallery_figure({"still": uniform(0)}, mode=mode))


def test_a_gallery_is_on_the_scale_of_its_first_field() -> None:
    strong, weak = ({"a": uniform(u), "b": uniform(3 - u)} for u in (2, 1))
    assert pictures_of(flow_gallery_figure(strong))[1].min() > 100, "half the saturation"
    assert pictures_of(flow_gallery_figure(weak))[1].max() < 210, "beyond the scale: darkened"
    with pytest.raises(ValueError, match="no motion field"):
        flow_gallery_figure({})


def test_errors_share_a_scale_and_say_their_mean() -> None:
    truth = uniform(1)
    truth[:, 0, 0] = np.nan
    fields = {"right": uniform(1), "<i>": uniform(1, 0.5), "still": uniform(0)}
    figure = error_figure(fields, truth, caption="the caption")
    right, half, still = pictures_of(figure)
    np.testing.assert_allclose(right[9, 9], DARK_BLUE, atol=16)
    np.testing.assert_allclose(still[9, 9], YELLOW, atol=16)
    assert right[9, 9].sum() < half[9, 9].sum() < still[9, 9].sum()
    for words in ("<b>still</b> mean 1.000 px", "<b>&lt;i&gt;</b> mean 0.500 px", "the caption"):
        assert words in words_of(figure)
    bar = bar_of(figure)
    assert (bar.cmin, bar.cmax) == (0, pytest.approx(1.0))
    assert bar.colorbar.title.text == "error (px)"


def test_attention_over_steps_has_a_map_for_each_state() -> None:
    weights = shares(3)
    figure = attention_figure(weights, ("passed up", "update 1", "update 2"))
    assert len(pictures_of(figure)) == 3
    assert f"<b>update 1</b> mean {weights[1].mean():.3f}" in words_of(figure)
    assert "Equal shares would be 0.333" in words_of(figure)
    bar = bar_of(figure)
    assert (bar.cmin, bar.cmax) == pytest.approx((weights.min(), weights.max()))
    with pytest.raises(ValueError, match="2 names for 3 maps"):
        attention_figure(weights, ("a", "b"))


def test_attention_over_space_puts_every_map_in_the_place_of_its_region() -> None:
    weights = np.zeros((49, 8, 8), np.float32)
    weights[7 * 2 + 5] = 1.0  # all look at the region of row 2, column 5
    figure = attention_figure(weights)
    (picture,) = pictures_of(figure)
    step = 8 + REGION_GAP
    assert picture.shape == (7 * step - REGION_GAP,) * 2 + (3,)
    np.testing.assert_allclose(picture[2 * step : 2 * step + 8, 5 * step + 4], [YELLOW] * 8, atol=9)
    np.testing.assert_allclose(picture[5 * step, 2 * step], DARK_BLUE, atol=12)
    assert picture[8, 8].tolist() == [128, 128, 128], "a gap"
    assert "Equal shares would be 0.020" in words_of(figure)
    with pytest.raises(ValueError, match="no square grid"):
        attention_figure(shares(3))


def test_the_direction_is_that_of_the_picture() -> None:
    for u, v, angle, towards in (
        (2.0, 0.0, 0, "the right"),
        (1.0, -1.0, 45, "the upper right"),
        (0.0, -3.0, 90, "the top"),
        (-0.5, 0.0, 180, "the left"),
        (-1.0, 1.0, 225, "the lower left"),
        (1.0, 0.01, 359, "the right"),
    ):
        row = point_table({"dis": still_but(u, v)}, (3, 1)).loc["dis"]
        assert row.tolist() == pytest.approx([u, v, np.hypot(u, v), angle], abs=0.6)
        assert f"to {towards} ({angle}°)" in vector_words(u, v)
    still = point_table({"dis": still_but(1, 1)}, (0, 0)).loc["dis"]
    assert np.isnan(still["direction (degrees)"])
    assert vector_words(0.0, 0.004).endswith("no motion")
    assert vector_words(float("nan"), 0.0) == "not known"


def test_two_fields_are_compared_at_a_point_inside() -> None:
    fields = {"dis": still_but(3, 0), "exact": still_but(0, 4)}
    words = point_words(fields, (3, 1))
    assert words[0].startswith("dis: u +3.00 px")
    assert words[-1] == "The two are 5.00 px apart."
    for point in ((5, 0), (0, 4), (-1, 0)):
        with pytest.raises(InputError, match="5 columns and 4 rows"):
            vector_at(fields["dis"], point)
