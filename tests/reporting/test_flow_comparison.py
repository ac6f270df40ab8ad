"""Figures that set motion fields beside each other."""

from base64 import b64decode

import cv2
import numpy as np
import pytest
from plotly import graph_objects as go

from hmrm_lab.reporting.drawing import difference_picture, error_px, heat_picture, percentile_99_9
from hmrm_lab.reporting.plots.optical_flow import (
    REGION_GAP,
    attention_figure,
    error_figure,
    flow_gallery_figure,
    frames_figure,
)

SIDE = 32
DARK_BLUE, YELLOW = (0, 32, 76), (254, 232, 56)


def field(u: float, v: float = 0.0) -> np.ndarray:
    return np.stack([np.full((SIDE, SIDE), u), np.full((SIDE, SIDE), v)]).astype(np.float32)


def pictures_of(figure: go.Figure) -> list[np.ndarray]:
    sources = [trace.source for trace in figure.data if trace.type == "image"]
    return [
        cv2.imdecode(np.frombuffer(b64decode(uri.partition(",")[2]), np.uint8), 1)[..., ::-1]
        for uri in sources
    ]


def words_of(figure: go.Figure) -> str:
    return " ".join(note.text.replace("<br>", " ") for note in figure.layout.annotations)


def bar_of(figure: go.Figure) -> go.scatter.Marker:
    (bar,) = [trace.marker for trace in figure.data if trace.type == "scatter"]
    return bar


def shares(count: int, side: int = 8) -> np.ndarray:
    drawn = np.random.default_rng(0).random((count, side, side)).astype(np.float32)
    return drawn / drawn.sum(0)


def test_heat_runs_from_low_to_high_and_the_unknown_is_grey() -> None:
    values = np.array([[1.0, 3.0, 9.0, np.nan]], np.float32)
    picture = heat_picture(values, 3.0, 1.0)
    np.testing.assert_allclose(picture[0, 0], DARK_BLUE, atol=12)
    np.testing.assert_allclose(picture[0, 1], YELLOW, atol=12)
    assert picture[0, 2].tolist() == picture[0, 1].tolist()
    assert picture[0, 3].tolist() == [128, 128, 128]
    np.testing.assert_array_equal(
        heat_picture(np.zeros((2, 2), np.float32), 0.0)[0, 0], picture[0, 0]
    )


def test_a_difference_is_amplified_about_mid_grey() -> None:
    onset = np.full((4, 4, 3), 100, np.uint8)
    apex = onset.copy()
    apex[0, 0], apex[1, 1], apex[2, 2] = 103, 95, 255
    picture = difference_picture(onset, apex, 10.0)
    assert picture.shape == onset.shape
    assert [picture[k, k, 0] for k in range(4)] == [158, 78, 255, 128]


def test_outliers_do_not_end_a_scale() -> None:
    values = np.ones((100, 100), np.float32)
    values[0, :5], values[1, :5] = 50.0, np.nan
    assert percentile_99_9(values) == pytest.approx(1.0)


def test_frames_stand_side_by_side_under_their_names() -> None:
    shades = {f"<b>{shade}": np.full((SIDE, SIDE, 3), shade, np.uint8) for shade in (20, 200)}
    figure = frames_figure(shades, "Two frames", caption="the caption")
    assert [int(picture.mean()) for picture in pictures_of(figure)] == [20, 200]
    assert figure.layout.title.text == "Two frames"
    assert figure.layout.annotations[0].text == "&lt;b&gt;20"
    assert "the caption" in words_of(figure)


@pytest.mark.parametrize(
    ("mode", "title"),
    [("colour", "hue is direction"), ("quiver", "arrows"), ("strain", "strain")],
)
def test_a_gallery_has_a_picture_for_every_field(mode: str, title: str) -> None:
    stretch = np.stack(np.meshgrid(np.linspace(-1, 1, SIDE), np.zeros(SIDE))).astype(np.float32)
    fields = {"exact": stretch, "half": stretch / 2, "still": field(0), "other": -stretch}
    figure = flow_gallery_figure(fields, mode=mode, caption="the caption")
    pictures = pictures_of(figure)
    assert len(pictures) == 4 + (mode == "colour"), "the wheel is a picture too"
    assert pictures[0].shape == (SIDE, SIDE, 3)
    assert any(trace.type == "scatter" for trace in figure.data) == (mode == "strain")
    assert title in figure.layout.title.text
    words = words_of(figure)
    most = "peak 3.2 %" if mode == "strain" else "longest 0.50 px"
    assert f"<b>half</b> {most}" in words
    assert "the caption" in words


def test_a_gallery_is_on_the_scale_of_its_first_field() -> None:
    strong, weak = (pictures_of(flow_gallery_figure(fields)) for fields in ordered())
    assert strong[1].min() > 100, "half as long: half the saturation"
    assert weak[1].max() < 210, "twice as long as the scale: darkened"


def ordered() -> list[dict[str, np.ndarray]]:
    return [{"a": field(2), "b": field(1)}, {"b": field(1), "a": field(2)}]


def test_a_gallery_of_nothing_moving_can_be_seen() -> None:
    for mode in ("colour", "quiver", "strain"):
        assert pictures_of(flow_gallery_figure({"still": field(0)}, mode=mode))


def test_no_field_is_refused() -> None:
    with pytest.raises(ValueError, match="no motion field"):
        flow_gallery_figure({})


def test_errors_share_a_scale_and_say_their_mean() -> None:
    truth = field(1)
    truth[:, 0, 0] = np.nan
    fields = {"right": field(1), "<i>": field(1, 0.5), "still": field(0)}
    figure = error_figure(fields, truth, caption="the caption")
    right, half, still = pictures_of(figure)
    np.testing.assert_allclose(right[9, 9], DARK_BLUE, atol=16)
    np.testing.assert_allclose(still[9, 9], YELLOW, atol=16)
    assert right[9, 9].sum() < half[9, 9].sum() < still[9, 9].sum()
    words = words_of(figure)
    assert "<b>still</b> mean 1.000 px" in words
    assert "<b>&lt;i&gt;</b> mean 0.500 px" in words
    assert "the caption" in words
    bar = bar_of(figure)
    assert (bar.cmin, bar.cmax) == (0, pytest.approx(1.0))
    assert bar.colorbar.title.text == "error (px)"


def test_the_error_is_a_distance() -> None:
    np.testing.assert_allclose(error_px(field(3, 4), field(0)), 5.0)


def test_attention_over_steps_has_a_map_for_each_state() -> None:
    weights = shares(3)
    names = ("state passed up", "state of update 1", "state of update 2")
    figure = attention_figure(weights, names, caption="the caption")
    assert len(pictures_of(figure)) == 3
    assert "over the steps" in figure.layout.title.text
    words = words_of(figure)
    assert f"<b>state of update 1</b> mean {weights[1].mean():.3f}" in words
    assert "Equal shares would be 0.333" in words
    bar = bar_of(figure)
    assert (bar.cmin, bar.cmax) == pytest.approx((weights.min(), weights.max()))


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
    assert "over the regions" in figure.layout.title.text
    assert "Equal shares would be 0.020" in words_of(figure)


def test_attention_refuses_what_it_cannot_name() -> None:
    with pytest.raises(ValueError, match="2 names for 3 maps"):
        attention_figure(shares(3), ("a", "b"))
    with pytest.raises(ValueError, match="no square grid"):
        attention_figure(shares(3))
