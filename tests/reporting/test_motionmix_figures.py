"""MotionMix drawn."""

from base64 import b64decode

import cv2
import numpy as np
import pandas as pd
import pytest
from plotly import graph_objects as go

from hmrm_lab.datasets.classes import MEGC3
from hmrm_lab.reporting.motionmix_figures import (
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
from hmrm_lab.training.augment.motionmix import template_masks
from hmrm_lab.training.augment.provenance import mix_pair

MASK = template_masks(28).any(0)


def flat(u: float, strain: float = 0.0) -> np.ndarray:
    return np.stack([np.full((28, 28), n) for n in (u, 0.0, strain)]).astype(np.float32)


def pictures_of(figure: go.Figure) -> list[np.ndarray]:
    sources = [trace.source for trace in figure.data if trace.type == "image"]
    return [
        cv2.imdecode(np.frombuffer(b64decode(uri.partition(",")[2]), np.uint8), 1)[..., ::-1]
        for uri in sources
    ]


def words_of(figure: go.Figure) -> str:
    return " ".join(note.text.replace("<br>", " ") for note in figure.layout.annotations)


def test_the_mixture_is_b_inside_and_a_outside() -> None:
    own, partner = flat(1.0), flat(-2.0)
    pictures = mix_pictures(own, partner, MASK, mix_pair(own, partner, MASK, 1.0))
    inside, outside = (int(SIDE_PX * 0.25),) * 2, (int(SIDE_PX * 0.55), 8)
    assert list(pictures) == ["A", "B", "mask", "mixture"]
    assert pictures["mixture"][inside].tolist() == pictures["B"][inside].tolist()
    assert pictures["mixture"][outside].tolist() == pictures["A"][outside].tolist()
    assert pictures["A"][inside].min() > 100, "half as long: half the saturation"


@pytest.mark.parametrize("mode", ["colour", "quiver", "strain"])
def test_all_displays_have_one_size_and_differ(mode: str) -> None:
    own, partner = flat(1.0, 0.1), flat(-2.0, 0.4)
    scale = scale_of(own, partner)
    shown, other = (motion_picture(m, mode, scale) for m in (own, partner))
    assert shown.shape == other.shape == (SIDE_PX, SIDE_PX, 3)
    assert (shown != other).any()


def test_arrows_lie_over_the_faces() -> None:
    own, dark, light = flat(1.0), *(np.full((28, 28, 3), n, np.uint8) for n in (10, 240))
    pictures = mix_pictures(own, own, MASK, own, "quiver", frames=(dark, light))
    ground = {name: np.bincount(picture.ravel()).argmax() for name, picture in pictures.items()}
    assert (ground["A"], ground["B"], ground["mixture"]) == (10, 240, 10)


def test_a_mask_is_tinted_and_its_border_drawn() -> None:
    picture = mask_picture(MASK)
    large = cv2.resize(MASK.astype(np.uint8), (SIDE_PX, SIDE_PX), interpolation=0).astype(bool)
    assert len(np.unique(picture[large], axis=0)) == len(np.unique(picture[~large], axis=0)) == 1
    assert picture[large][0].tolist() != picture[~large][0].tolist()
    changed = (outlined(picture, MASK) != picture).any(2)
    assert 0 < changed.mean() < 0.08
    assert not (outlined(picture, np.zeros_like(MASK)) != picture).any()


def test_a_figure_says_what_its_colours_mean() -> None:
    own, partner = flat(1.0, 0.1), flat(-2.0, 0.4)
    mixed = mix_pair(own, partner, MASK, 1.0)
    colour = mix_figure(own, partner, MASK, mixed, caption="the caption")
    assert len(pictures_of(colour)) == 5, "the wheel is a picture too"
    assert "Full saturation is 2.00 px." in words_of(colour)
    assert f"mask M, {MASK.mean():.0%} of the map" in words_of(colour)
    assert "the caption" in words_of(colour)
    strain = mix_figure(own, partner, MASK, mixed, mode="strain")
    (bar,) = [trace.marker for trace in strain.data if trace.type == "scatter"]
    assert bar.cmax == pytest.approx(40)
    relative = mix_figure(own, partner, MASK, mixed, mode="strain", unit="relative")
    (bar,) = [trace.marker for trace in relative.data if trace.type == "scatter"]
    assert (bar.cmax, bar.colorbar.title.text) == (pytest.approx(0.4), "strain")


def test_nothing_that_moves_can_be_seen() -> None:
    for mode in ("colour", "quiver", "strain"):
        assert mix_pictures(flat(0), flat(0), MASK, flat(0), mode)["A"].std() < 60


def test_a_blend_runs_from_a_to_b() -> None:
    own, partner = flat(1.0), flat(-1.0)
    whole = np.ones_like(MASK)
    steps = {lam: mix_pair(own, partner, whole, lam) for lam in (0.0, 0.5, 1.0)}
    figure = blend_figure(steps)
    first, middle, last, _ = pictures_of(figure)
    assert (middle > 240).all(), "opposite motions cancel"
    assert np.abs(first.astype(int) - last).max() > 100
    assert "λ = 0.5" in words_of(figure)


def test_a_gallery_has_a_card_for_every_map() -> None:
    rows = {"negative": [("<a>", flat(1)), ("b", flat(2))], "positive": [("c", flat(3))]}
    figure = gallery_by_class_figure(rows, "Title", caption="the caption")
    assert len(pictures_of(figure)) == 4
    assert "negative &lt;a&gt;" in words_of(figure)


def test_means_are_of_their_class() -> None:
    maps, labels = np.stack([flat(1), flat(3), flat(-4)]), np.array([0, 0, 1])
    figure = means_by_class_figure(
        {"originals": (maps, labels), "mixtures": (maps[:1], labels[:1])}, MEGC3.classes
    )
    assert "negative 2 originals" in words_of(figure)
    assert "positive 1 originals" in words_of(figure)
    assert "surprise" not in words_of(figure)
    assert "Full saturation is 4.00 px." in words_of(figure)
    assert len(pictures_of(figure)) == 4


def test_distances_are_points_below_or_above_a_line() -> None:
    table = pd.DataFrame(
        {
            "kind": ["original", "mixture", "original"],
            "class": ["negative", "negative", "surprise"],
            "own": [1.0, 2.0, np.nan],
            "other": [2.0, 1.0, 3.0],
        }
    )
    figure = distance_figure(table, unit="px")
    points = {trace.name: list(zip(trace.x, trace.y, strict=True)) for trace in figure.data}
    assert points["original, negative"] == [(1, 2)]
    assert points["mixture, negative"] == [(2, 1)]
    assert points["original, surprise"] == []
    assert figure.layout.xaxis.title.text == "nearest of the same class (px)"
