"""Motion fields drawn and read; MotionMix drawn."""

import numpy as np
import pandas as pd
import pytest
from hmrm_widgets.flow_explorer import point_words
from reporting.shown import bar_of, by_name, pictures_of, uniform, words_of

from hmrm_lab.datasets.classes import MEGC3
from hmrm_lab.errors import InputError
from hmrm_lab.reporting.drawing import longest_px
from hmrm_lab.reporting.plots import motion_fields as motion
from hmrm_lab.reporting.plots.motion_fields import flow_gallery_figure, mix_figure, vector_words
from hmrm_lab.training.augmentation import template_masks
from hmrm_lab.training.mixing import mix_pair

MODES = ("colour", "quiver", "strain")
GRADIENT = np.stack(np.meshgrid(np.linspace(-1, 1, 32), np.zeros(32))).astype(np.float32)
MASK = template_masks(28).any(0)


def still_but(u: float, v: float) -> np.ndarray:
    """Motion at column 3, row 1 alone; 4 rows of 5 columns."""
    flow = np.zeros((2, 4, 5), np.float32)
    flow[:, 1, 3] = u, v
    return flow


def flat(u: float, strain: float = 0.0) -> np.ndarray:
    return np.stack([np.full((28, 28), n) for n in (u, 0.0, strain)]).astype(np.float32)


OWN, PARTNER = flat(1.0, 0.1), flat(-2.0, 0.4)
MIXED = mix_pair(OWN, PARTNER, MASK, 1.0)


@pytest.mark.parametrize("mode", MODES)
def test_fields_keep_to_the_pixels_of_their_frame(mode: str) -> None:
    frame = np.full((40, 56, 3), 90, np.uint8)
    flow = np.stack(np.meshgrid(np.linspace(-2, 2, 56), np.linspace(0, 1, 40))).astype(np.float32)
    for ground in (frame, None):
        figure = motion.flow_figure(ground, flow, mode=mode, caption="the caption")
        scale = motion.ARROW_SHARPNESS if mode == "quiver" else 1
        assert pictures_of(figure)[int(ground is not None)].shape[1] == scale * 56
        assert figure.html().count("<img") == 1 + (ground is not None) + (mode == "colour")
        assert "the caption" in figure.html()
        assert f"{longest_px(flow):.2f} px" in words_of(figure)
    fields = {"exact": GRADIENT, "half": GRADIENT / 2, "still": uniform(0), "<i>": -GRADIENT}
    figure = flow_gallery_figure(fields, mode=mode, caption="the caption")
    most = "peak 3.2 %" if mode == "strain" else "longest 0.50 px"
    for words in (f"<b>half</b> {most}", "<b>&lt;i&gt;</b>", "the caption"):
        assert words in words_of(figure)
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
    fields = {"right": uniform(1), "half": uniform(1, 0.5), "still": uniform(0)}
    figure = motion.error_figure(fields, truth)
    right, half, still = (picture[9, 9].sum() for picture in pictures_of(figure))
    assert right < half < still
    for words in ("<b>still</b> mean 1.000 px", "<b>half</b> mean 0.500 px"):
        assert words in words_of(figure)
    assert (bar_of(figure).cmin, bar_of(figure).cmax) == (0, pytest.approx(1.0))


def test_the_direction_is_that_of_the_picture() -> None:
    for u, v, angle, towards in (
        (2.0, 0.0, 0, "the right"),
        (1.0, -1.0, 45, "the upper right"),
        (0.0, -3.0, 90, "the top"),
        (-1.0, 1.0, 225, "the lower left"),
        (1.0, 0.01, 359, "the right"),
    ):
        row = motion.point_table({"dis": still_but(u, v)}, (3, 1)).loc["dis"]
        assert row.tolist() == pytest.approx([u, v, np.hypot(u, v), angle], abs=0.6)
        assert f"to {towards} ({angle}°)" in vector_words(u, v)
    still = motion.point_table({"dis": still_but(1, 1)}, (0, 0)).loc["dis"]
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
            motion.vector_at(fields["dis"], point)


@pytest.mark.parametrize("mode", MODES)
def test_the_mixture_is_b_inside_and_a_outside(mode: str) -> None:
    figure = mix_figure(OWN, PARTNER, MASK, MIXED, mode=mode, caption="the caption")
    own, partner, _, mixture, *_ = pictures_of(figure)
    assert (own != partner).any()
    if mode == "colour":
        inside, outside = (int(motion.SIDE_PX * 0.25),) * 2, (int(motion.SIDE_PX * 0.55), 8)
        np.testing.assert_allclose(mixture[inside], partner[inside], atol=4)
        np.testing.assert_allclose(mixture[outside], own[outside], atol=4)
        assert "saturation is 2.00 px." in words_of(figure)
    if mode == "strain":
        assert bar_of(figure).cmax == pytest.approx(40)
        bar = bar_of(mix_figure(OWN, PARTNER, MASK, MIXED, mode=mode, unit="relative"))
        assert (bar.cmax, bar.colorbar.title.text) == (pytest.approx(0.4), "strain")
    assert f"M, {MASK.mean():.0%} of the map" in words_of(figure)
    assert pictures_of(mix_figure(flat(0), flat(0), MASK, flat(0), mode=mode))[0].std() < 60


def test_faces_lie_under_the_arrows_and_a_blend_runs_from_a_to_b() -> None:
    faces = tuple(np.full((28, 28, 3), n, np.uint8) for n in (10, 240))
    figure = mix_figure(OWN, OWN, MASK, OWN, mode="quiver", frames=faces)
    ground = [np.bincount(picture.ravel()).argmax() for picture in pictures_of(figure)]
    assert [ground[0], ground[1], ground[3]] == pytest.approx([10, 240, 10], abs=3)
    whole = np.ones_like(MASK)
    steps = {lam: mix_pair(flat(1.0), flat(-1.0), whole, lam) for lam in (0.0, 0.5, 1.0)}
    first, middle, last, _ = pictures_of(motion.blend_figure(steps))
    assert (middle > 240).all(), "opposite motions cancel"
    assert np.abs(first.astype(int) - last).max() > 100


def test_galleries_have_a_card_for_every_map_and_class() -> None:
    rows = {"negative": [("<a>", flat(1)), ("b", flat(2))], "positive": [("c", flat(3))]}
    figure = motion.gallery_by_class_figure(rows, "Title")
    assert "negative &lt;a&gt;" in words_of(figure)
    maps, labels = np.stack([flat(1), flat(3), flat(-4)]), np.array([0, 0, 1])
    groups = {"originals": (maps, labels), "mixtures": (maps[:1], labels[:1])}
    means = motion.means_by_class_figure(groups, MEGC3.classes)
    for words in ("negative 2 originals", "positive 1 originals", "saturation is 4.00 px."):
        assert words in words_of(means)
    assert "surprise" not in words_of(means)


def test_distances_are_points_below_or_above_a_line() -> None:
    rows = [("original", "negative", 1.0, 2.0), ("mixture", "negative", 2.0, 1.0)]
    rows.append(("original", "surprise", np.nan, 3.0))
    table = pd.DataFrame(rows, columns=["kind", "class", "own", "other"])
    figure = motion.distance_figure(table, unit="px")
    points = {name: [*zip(of.x, of.y, strict=True)] for name, of in by_name(figure).items()}
    assert points == {"negative, original": [(1, 2)], "negative, mixture": [(2, 1)]}
