"""Frames, faces and flow as pictures."""

import numpy as np
import pytest
from reporting.shown import uniform

from hmrm_lab.faces.align import AlignedFrames
from hmrm_lab.faces.landmarks import Affine, core_regions, mean_face
from hmrm_lab.reporting import drawing
from hmrm_lab.reporting.drawing import core_outlines, face_picture, flow_to_rgb

GREY = np.full((224, 224, 3), 120, np.uint8)


def test_flow_has_the_colours_of_middlebury() -> None:
    for u, colour in ((1, (255, 0, 0)), (0, (255, 255, 255)), (-1, (0, 208, 255))):
        np.testing.assert_allclose(flow_to_rgb(uniform(u), max_px=1.0)[0, 0], colour, atol=12)
    weak, strong = (flow_to_rgb(uniform(u), max_px=1.0)[0, 0].astype(int) for u in (0.25, 1.0))
    assert weak[1] > strong[1] + 100
    flow = uniform(1)
    flow[:, 3, 4] = np.nan
    assert flow_to_rgb(flow)[3, 4].tolist() == [128, 128, 128], "grey: not known"
    wheel = drawing.wheel_picture(65)
    for column, u in ((64, drawing.WHEEL_REACH), (48, drawing.WHEEL_REACH / 2)):
        colour = flow_to_rgb(uniform(u), max_px=1)[0, 0]
        np.testing.assert_array_equal(wheel[32, column, :3], colour, "the rim is of longer flow")


def test_what_was_not_recorded_is_grey() -> None:
    frames = AlignedFrames([GREY], Affine(np.eye(2), np.array([20.0, 0.0])))
    shown = drawing.frame_picture(frames, 0)
    assert shown[0, 10].tolist() == [128] * 3
    assert shown[0, 30].tolist() == [120] * 3
    assert drawing.frame_picture([GREY], 0) is GREY


def test_heat_runs_from_low_to_high_and_the_unknown_is_grey() -> None:
    picture = drawing.heat_picture(np.array([[1.0, 3.0, 9.0, np.nan]], np.float32), 3.0, 1.0)
    np.testing.assert_allclose(picture[0, 0], (0, 32, 76), atol=12)
    np.testing.assert_allclose(picture[0, 1:3], [(254, 232, 56)] * 2, atol=12)
    assert picture[0, 3].tolist() == [128, 128, 128]
    assert (drawing.heat_picture(np.zeros((2, 2), np.float32), 0.0) == picture[0, 0]).all()
    values = np.ones((100, 100), np.float32)
    values[0, :5], values[1, :5] = 50.0, np.nan
    assert drawing.percentile_99_9(values) == pytest.approx(1.0)
    np.testing.assert_allclose(drawing.error_px(uniform(3, 4), uniform(0)), 5.0)


def test_motion_is_magnified_and_differences_are_amplified() -> None:
    onset = np.zeros((64, 64, 3), np.uint8)
    onset[:, 20] = 255
    assert drawing.magnified(onset, uniform(1.5, 0, 64), 4.0)[32, :, 0].argmax() == 26
    before = np.full((2, 2, 3), 100, np.uint8)
    after = np.array([[103, 95], [255, 100]], np.uint8)[..., None].repeat(3, 2)
    picture = drawing.difference_picture(before, after, 10.0)
    assert picture[..., 0].tolist() == [[158, 78], [255, 128]]


def test_landmarks_lie_where_they_are() -> None:
    drawn = face_picture(GREY, mean_face(), ("landmarks",))
    assert drawn.shape == (448, 448, 3)
    x, y = np.round(2 * (mean_face() + 0.5) - 0.5).astype(int)[30]
    assert drawn[y, x].tolist() == [255, 214, 64]
    assert (face_picture(GREY, mean_face(), ()) == 120).all()
    with pytest.raises(ValueError, match="wrinkles"):
        face_picture(GREY, mean_face(), ("wrinkles",))


def test_parts_have_their_colours_and_regions_turn_with_the_face() -> None:
    drawn = face_picture(GREY, mean_face(), ("parts",)).astype(int)
    for points, channel in ((slice(36, 42), 2), (slice(48, 68), 0)):
        x, y = (2 * mean_face()[points].mean(axis=0)).astype(int)
        assert drawn[y, x].argmax() == channel, "eyes are blue, the mouth is red"
    upright = core_outlines(mean_face())
    left, top, right, bottom = core_regions(mean_face())[0]
    np.testing.assert_allclose(upright[0, [0, 2]], [(left, top), (right, bottom)], atol=0.01)
    turn = Affine(np.array([[0.0, -1], [1, 0]]), np.array([224.0, 0]))
    turned = core_outlines(turn.points(mean_face())).reshape(-1, 2)
    np.testing.assert_allclose(turned, turn.points(upright.reshape(-1, 2)), atol=0.01)
