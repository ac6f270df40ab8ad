"""Magnified flow and surviving tokens, drawn."""

import numpy as np
import pytest

from hmrm_lab.reporting.plots.input_pictures import (
    SIDE_PX,
    MagnifiedClip,
    magnified_figure,
    magnified_pictures,
    survivors_figure,
    survivors_picture,
)


def a_clip(times: float = 4.0) -> MagnifiedClip:
    """Motion to the right in the upper half, magnified there and suppressed below."""
    flow = np.zeros((2, 28, 28), np.float32)
    flow[0, :14], flow[0, 14:] = 2.0, 1.0
    gate = np.zeros((28, 28), np.float32)
    gate[:14] = 1.0
    return MagnifiedClip(flow, times * gate * flow, gate)


def saturation(picture: np.ndarray, row: int) -> int:
    pixel = picture[row, SIDE_PX // 2].astype(int)
    return int(pixel.max() - pixel.min())


def test_the_strength_of_the_colour_is_that_of_the_motion() -> None:
    drawn = magnified_pictures(a_clip(), full=4.0)
    assert saturation(drawn["original"], 20) == pytest.approx(255 / 4, abs=2)
    assert saturation(drawn["original"], 200) == pytest.approx(255 / 8, abs=2)
    assert saturation(drawn["magnified"], 20) == 255
    assert drawn["magnified"][200].min() == 255, "suppressed: white"


def test_what_is_beyond_the_scale_is_darker() -> None:
    brightest = [
        magnified_pictures(a_clip(), full)["magnified"][20].max() for full in (1.0, 4.0, 16.0)
    ]
    assert brightest == [191, 255, 255]


def test_the_gate_runs_from_dark_blue_to_yellow() -> None:
    gate = magnified_pictures(a_clip(), full=4.0)["gate"]
    red, green, blue = gate[20, 20].astype(int)
    assert min(red, green) > 200 > blue
    red, green, blue = gate[200, 20].astype(int)
    assert max(red, green) < 60 < blue


def test_a_still_face_is_white() -> None:
    zero = np.zeros((2, 28, 28), np.float32)
    drawn = magnified_pictures(MagnifiedClip(zero, zero, zero[0]), full=4.0)
    assert drawn["original"].min() == drawn["magnified"].min() == 255


def test_a_row_for_every_class() -> None:
    clips = {"positive": a_clip(), "<surprise>": a_clip(2.0)}
    figure = magnified_figure(clips, 4.0, caption="Drawn.")
    words = [note.text for note in figure.layout.annotations]
    assert "<b>positive</b>, flow" in words
    assert "<b>&lt;surprise&gt;</b>, flow" in words
    assert words.count("magnified, alpha 4") == 2
    assert len(figure.data) == 2 * 3 + 1, "and the wheel"
    face = np.full((64, 64, 3), 90, np.uint8)
    faced = {name: MagnifiedClip(c.flow, c.magnified, c.gate, face) for name, c in clips.items()}
    assert len(magnified_figure(faced, 4.0).data) == 2 * 4 + 1


@pytest.mark.parametrize("side", [14, 7, 4, 2])
def test_kept_tokens_are_lit_and_the_others_dark(side: int) -> None:
    ground = np.full((50, 50, 3), 200, np.uint8)
    kept = np.zeros((side, side), bool)
    kept[0, 1] = True
    picture = survivors_picture(ground, kept)
    token = SIDE_PX / side
    inside = slice(2, int(token) - 2), slice(int(token) + 2, int(2 * token) - 2)
    assert (picture[inside] == 200).all()
    assert (picture[2 : int(token) - 2, 2 : int(token) - 2] == 44).all()
    assert (picture[0, int(token) + 2] == 255).all(), "framed"
    assert (survivors_picture(ground, ~kept)[inside] == 44).all()


def test_a_row_for_every_ratio_and_a_picture_for_every_stage() -> None:
    stages = [np.tri(side, dtype=bool) for side in (14, 7, 4, 2)]
    ground = np.zeros((28, 28, 3), np.uint8)
    figure = survivors_figure(ground, {"ratio .5": stages, "ratio 1": [~s for s in stages]})
    words = [note.text for note in figure.layout.annotations]
    assert words[0] == "<b>ratio .5</b><br>stage 1: 105 of 196"
    assert "stage 4: 1 of 4" in words
    assert len(figure.data) == 8
