"""MotionMix drawn."""

import cv2
import numpy as np
import pandas as pd
import pytest
from reporting.shown import bar_of, by_name, pictures_of, words_of

from hmrm_lab.datasets.classes import MEGC3
from hmrm_lab.reporting.plots.mixtures import (
    SIDE_PX,
    blend_figure,
    distance_figure,
    gallery_by_class_figure,
    mask_picture,
    means_by_class_figure,
    mix_figure,
    mix_pictures,
    motion_picture,
    outlined,
    scale_of,
)
from hmrm_lab.training.augmentation import template_masks
from hmrm_lab.training.mixing import mix_pair

MASK = template_masks(28).any(0)
MODES = ("colour", "quiver", "strain")


def flat(u: float, strain: float = 0.0) -> np.ndarray:
    return np.stack([np.full((28, 28), n) for n in (u, 0.0, strain)]).astype(np.float32)


OWN, PARTNER = flat(1.0, 0.1), flat(-2.0, 0.4)
MIXED = mix_pair(OWN, PARTNER, MASK, 1.0)


def test_the_mixture_is_b_inside_and_a_outside() -> None:
    pictures = mix_pictures(OWN, PARTNER, MASK, MIXED)
    inside, outside = (int(SIDE_PX * 0.25),) * 2, (int(SIDE_PX * 0.55), 8)
    assert list(pictures) == ["A", "B", "mask", "mixture"]
    assert pictures["mixture"][inside].tolist() == pictures["B"][inside].tolist()
    assert pictures["mixture"][outside].tolist() == pictures["A"][outside].tolist()
    assert pictures["A"][inside].min() > 100, "half as long: half the saturation"
    for mode in MODES:
        shown, other = (motion_picture(m, mode, scale_of(OWN, PARTNER)) for m in (OWN, PARTNER))
        assert shown.shape == other.shape == (SIDE_PX, SIDE_PX, 3)
        assert (shown != other).any()
        assert mix_pictures(flat(0), flat(0), MASK, flat(0), mode)["A"].std() < 60, "still"


def test_arrows_lie_over_the_faces() -> None:
    faces = tuple(np.full((28, 28, 3), n, np.uint8) for n in (10, 240))
    pictures = mix_pictures(OWN, OWN, MASK, OWN, "quiver", frames=faces)
    ground = {name: np.bincount(picture.ravel()).argmax() for name, picture in pictures.items()}
    assert (ground["A"], ground["B"], ground["mixture"]) == (10, 240, 10)


def test_a_mask_is_tinted_and_its_border_drawn() -> None:
    picture = mask_picture(MASK)
    large = cv2.resize(MASK.astype(np.uint8), (SIDE_PX, SIDE_PX), interpolation=0).astype(bool)
    assert len(np.unique(picture[large], axis=0)) == len(np.unique(picture[~large], axis=0)) == 1
    assert picture[large][0].tolist() != picture[~large][0].tolist()
    assert 0 < (outlined(picture, MASK) != picture).any(2).mean() < 0.08
    assert not (outlined(picture, np.zeros_like(MASK)) != picture).any()


def test_a_figure_says_what_its_colours_mean() -> None:
    colour = mix_figure(OWN, PARTNER, MASK, MIXED, caption="the caption")
    assert len(pictures_of(colour)) == 5, "the wheel is a picture too"
    for words in ("saturation is 2.00 px.", f"M, {MASK.mean():.0%} of the map", "the caption"):
        assert words in words_of(colour)
    bar = bar_of(mix_figure(OWN, PARTNER, MASK, MIXED, mode="strain"))
    assert bar.cmax == pytest.approx(40)
    bar = bar_of(mix_figure(OWN, PARTNER, MASK, MIXED, mode="strain", unit="relative"))
    assert (bar.cmax, bar.colorbar.title.text) == (pytest.approx(0.4), "strain")


def test_a_blend_runs_from_a_to_b() -> None:
    whole = np.ones_like(MASK)
    steps = {lam: mix_pair(flat(1.0), flat(-1.0), whole, lam) for lam in (0.0, 0.5, 1.0)}
    figure = blend_figure(steps)
    first, middle, last, _ = pictures_of(figure)
    assert (middle > 240).all(), "opposite motions cancel"
    assert np.abs(first.astype(int) - last).max() > 100
    assert "λ = 0.5" in words_of(figure)


def test_galleries_have_a_card_for_every_map_and_class() -> None:
    rows = {"negative": [("<a>", flat(1)), ("b", flat(2))], "positive": [("c", flat(3))]}
    figure = gallery_by_class_figure(rows, "Title")
    assert len(pictures_of(figure)) == 4
    assert "negative &lt;a&gt;" in words_of(figure)
    maps, labels = np.stack([flat(1), flat(3), flat(-4)]), np.array([0, 0, 1])
    groups = {"originals": (maps, labels), "mixtures": (maps[:1], labels[:1])}
    means = means_by_class_figure(groups, MEGC3.classes)
    for words in ("negative 2 originals", "positive 1 originals", "saturation is 4.00 px."):
        assert words in words_of(means)
    assert "surprise" not in words_of(means)
    assert len(pictures_of(means)) == 4


def test_distances_are_points_below_or_above_a_line() -> None:
    rows = [
        ("original", "negative", 1.0, 2.0),
        ("mixture", "negative", 2.0, 1.0),
        ("original", "surprise", np.nan, 3.0),
    ]
    table = pd.DataFrame(rows, columns=["kind", "class", "own", "other"])
    figure = distance_figure(table, unit="px")
    points = {name: [*zip(of.x, of.y, strict=True)] for name, of in by_name(figure).items()}
    assert points["original, negative"] == [(1, 2)]
    assert points["mixture, negative"] == [(2, 1)]
    assert points["original, surprise"] == []
    assert figure.layout.xaxis.title.text == "nearest of the same class (px)"
