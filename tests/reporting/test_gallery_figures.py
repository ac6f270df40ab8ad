"""Pictures and figures of the inputs: colours where the numbers are."""

import numpy as np
import pytest

from hmrm_lab.preparation.dynamic_image import hump_weights, rank_weights
from hmrm_lab.reporting.plots.input_pictures import (
    ZERO,
    gallery_figure,
    gallery_pictures,
    kept_table,
    meganet_attention_figure,
    signed_picture,
    weights_figure,
)
from hmrm_lab.reporting.plots.region_tokens import attention_picture


def seen() -> dict[str, np.ndarray]:
    flow = np.zeros((2, 56, 56), np.float32)
    flow[0, 20:30, 20:30] = 2
    picture = np.zeros((28, 28), np.float32)
    picture[7:14, 7:14] = 9
    return {"apex": picture, "flow": flow, "dual_phase": flow / 4, "mesti": picture}


def test_blue_below_zero_orange_above() -> None:
    values = np.zeros((28, 28), np.float32)
    values[:, :9], values[:, 19:] = -5, 5
    picture = signed_picture(values)
    assert picture.shape == (224, 224, 3)
    assert picture[100, [10, 112, 214]].tolist() == [[42, 135, 208], list(ZERO), [213, 94, 0]]


def test_both_flows_have_one_scale() -> None:
    pictures = gallery_pictures(seen())
    assert {picture.shape for picture in pictures.values()} == {(224, 224, 3)}
    strong, weak = (pictures[name].astype(int)[100, 100] for name in ("flow", "dual_phase"))
    paleness = [int(colour.max() - colour.min()) for colour in (strong, weak)]
    assert paleness[0] > 2 * paleness[1] > 0
    assert gallery_pictures({}) == {}


def test_each_input_stands_under_its_name_with_what_it_keeps() -> None:
    figure = gallery_figure(seen(), "One clip", kept=dict.fromkeys(seen(), 2.5), caption="<b>")
    words = [note.text for note in figure.layout.annotations]
    assert "MESTI<br>2.5 times" in words
    assert len(figure.data) == 4 + 1, "the inputs and the colour wheel"
    assert "&lt;b&gt;" in words[-1]
    plain = [note.text for note in gallery_figure(seen(), "One clip").layout.annotations]
    assert "apex frame" in plain


def test_the_table_has_words_above_its_columns() -> None:
    table = kept_table({"undisturbed": {"apex": 1.0, "mesti": 7.0}, "noise": {"mesti": 6.0}})
    assert list(table) == ["apex frame", "MESTI"]
    assert table.loc["noise", "MESTI"] == 6


def test_weights_on_one_scale() -> None:
    figure = weights_figure({"MESTI": hump_weights(8), "dynamic image": rank_weights(8)})
    for trace in figure.data:
        assert np.mean(np.square(trace.y)) == pytest.approx(1, abs=1e-3)
    assert list(figure.data[0].y) == list(reversed(figure.data[0].y))
    assert figure.data[1].y[0] == min(figure.data[1].y)


def test_attention_shades_the_face_where_it_is() -> None:
    ground = np.full((56, 56, 3), 120, np.uint8)
    attention = np.zeros((2, 28, 28), np.float32)
    attention[0, :14], attention[1] = 1.0, 0.5
    picture = attention_picture(ground, attention[0], 0.0, 1.0).astype(int)
    assert picture[30, 100].sum() > picture[190, 100].sum()
    figure = meganet_attention_figure([ground, ground], attention, ["<i>", "b"])
    assert [note.text for note in figure.layout.annotations][:3] == ["&lt;i&gt;", "b", "attention"]
    assert sum(trace.type == "image" for trace in figure.data) == 4
