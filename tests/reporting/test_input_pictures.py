"""Inputs of networks drawn: colours where the numbers are; magnified flow, surviving tokens."""

import numpy as np
import pytest
from reporting.shown import pictures_of, words_of

from hmrm_lab.preparation.clip_arrays import apex_weights, rank_weights
from hmrm_lab.reporting.plots import input_pictures as inputs
from hmrm_lab.reporting.plots.input_pictures import SIDE_PX, MagnifiedClip
from hmrm_lab.reporting.plots.region_tokens import REGION_LABELS


def seen() -> dict[str, np.ndarray]:
    flow = np.zeros((2, 56, 56), np.float32)
    flow[0, 20:30, 20:30] = 2
    picture = np.zeros((28, 28), np.float32)
    picture[7:14, 7:14] = 9
    return {"apex": picture, "flow": flow, "dual_phase": flow / 4, "mesti": picture}


def a_clip(times: float = 4.0, face: np.ndarray | None = None) -> MagnifiedClip:
    """Motion to the right in the upper half, magnified there and suppressed below."""
    flow = np.zeros((2, 28, 28), np.float32)
    flow[0, :14], flow[0, 14:] = 2.0, 1.0
    gate = np.zeros((28, 28), np.float32)
    gate[:14] = 1.0
    return MagnifiedClip(flow, times * gate * flow, gate, face)


def saturation(picture: np.ndarray, row: int, column: int = SIDE_PX // 2) -> int:
    return int(np.ptp(picture[row, column].astype(int)))


def test_each_input_stands_under_its_name_with_what_it_keeps() -> None:
    pictures = inputs.gallery_pictures(seen())
    assert {picture.shape for picture in pictures.values()} == {(SIDE_PX, SIDE_PX, 3)}
    strong, weak = (saturation(pictures[name], 100, 100) for name in ("flow", "dual_phase"))
    assert strong > 2 * weak > 0, "one scale"
    assert inputs.gallery_pictures({}) == {}
    signed = np.zeros((28, 28), np.float32)
    signed[:, :9], signed[:, 19:] = -5, 5
    colours = inputs.gallery_pictures({"mesti": signed})["mesti"][100, [10, 112, 214]]
    assert colours.tolist() == [[42, 135, 208], list(inputs.ZERO), [213, 94, 0]]
    figure = inputs.gallery_figure(
        seen(), "One clip", kept=dict.fromkeys(seen(), 2.5), caption="<b>"
    )
    for words in ("MESTI 2.5 times", "&lt;b&gt;"):
        assert words in words_of(figure)
    assert inputs.gallery_figure(seen(), "One clip").data
    kept = {"undisturbed": {"apex": 1.0, "mesti": 7.0}, "noise": {"mesti": 6.0}}
    table = inputs.kept_table(kept)
    assert table.loc["noise", "MESTI"] == 6
    assert np.isnan(table.loc["noise", "apex frame"])


def test_weights_on_one_scale() -> None:
    figure = inputs.weights_figure({"MESTI": apex_weights(8, 3), "dynamic image": rank_weights(8)})
    for trace in figure.data:
        assert np.mean(np.square(trace.y)) == pytest.approx(1, abs=1e-3)


def test_attention_shades_the_face_where_it_is() -> None:
    ground = np.full((56, 56, 3), 120, np.uint8)
    attention = np.zeros((2, 28, 28), np.float32)
    attention[0, :14], attention[1] = 1.0, 0.5
    figure = inputs.meganet_attention_figure([ground, ground], attention, ["<i>", "b"])
    assert words_of(figure).startswith("&lt;i&gt; b attention attention")
    _, _, over, _ = (picture.astype(int) for picture in pictures_of(figure))
    assert over[30, 100].sum() > over[190, 100].sum()
    shares, falls = np.random.default_rng(0).random((2, 16)).astype(np.float32)
    (points,) = inputs.attention_against_figure(shares, falls).data
    np.testing.assert_allclose([points.x, points.y], [shares, falls], atol=1e-5)
    assert list(points.text) == REGION_LABELS[4:]


def test_the_strength_of_the_colour_is_that_of_the_motion() -> None:
    drawn = inputs.magnified_pictures(a_clip(), full=4.0)
    assert saturation(drawn["original"], 20) == pytest.approx(255 / 4, abs=2)
    assert saturation(drawn["original"], 200) == pytest.approx(255 / 8, abs=2)
    assert saturation(drawn["magnified"], 20) == 255
    assert drawn["magnified"][200].min() == 255, "suppressed: white"
    assert (drawn["gate"][20, 20] != drawn["gate"][200, 20]).any()
    zero = np.zeros((2, 28, 28), np.float32)
    still = inputs.magnified_pictures(MagnifiedClip(zero, zero, zero[0]), full=4.0)
    assert still["original"].min() == still["magnified"].min() == 255
    figure = inputs.magnified_figure({"positive": a_clip(), "<surprise>": a_clip(2.0)}, 4.0)
    for words in ("<b>positive</b>, flow magnified, alpha 4", "<b>&lt;surprise&gt;</b>, flow"):
        assert words in words_of(figure)
    face = np.full((64, 64, 3), 90, np.uint8)
    faced = inputs.magnified_figure({"positive": a_clip(face=face)}, 4.0)
    assert "<b>positive</b>, onset flow" in words_of(faced)


def test_kept_tokens_are_lit_and_the_others_dark() -> None:
    ground = np.full((50, 50, 3), 200, np.uint8)
    for side in (14, 7, 4, 2):
        kept = np.zeros((side, side), bool)
        kept[0, 1] = True
        picture, token = inputs.survivors_picture(ground, kept), int(SIDE_PX / side)
        inside = slice(2, token - 2), slice(token + 2, 2 * token - 2)
        assert (picture[inside] == 200).all()
        assert (picture[2 : token - 2, 2 : token - 2] == 44).all()
        assert (inputs.survivors_picture(ground, ~kept)[inside] == 44).all()
    stages = [np.tri(side, dtype=bool) for side in (14, 7, 4, 2)]
    rows = {"ratio .5": stages, "ratio 1": [~kept for kept in stages]}
    figure = inputs.survivors_figure(ground, rows)
    assert words_of(figure).startswith("<b>ratio .5</b> stage 1: 105 of 196")
    assert "stage 4: 1 of 4" in words_of(figure)
