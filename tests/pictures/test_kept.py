"""On faces whose motion is known, MESTI keeps what the dynamic image loses."""

import numpy as np
import pytest

from hmrm_lab.preparation.network_inputs import (
    FRAMES,
    PEAK_PX,
    Condition,
    gray,
    kept,
    measure_pooling,
    moving_pixels,
    rise_and_fall,
)

CLIPS = range(3)  # one of each class


def ratios(**disturbed: float) -> dict[str, float]:
    return measure_pooling(rise_and_fall(number, Condition(**disturbed)) for number in CLIPS)


def test_the_movement_goes_back_to_where_it_began() -> None:
    frames = rise_and_fall(1, Condition())
    assert np.abs(frames.flow(0, FRAMES - 1)).max() < 0.01
    assert np.hypot(*frames.flow(0, frames.script.apex)).max() == pytest.approx(PEAK_PX, rel=0.05)
    assert (gray(frames)[0] == gray(frames)[-1]).all()


def test_what_is_left_at_the_end() -> None:
    frames = rise_and_fall(1, Condition(left=0.5))
    at_the_end = np.hypot(*frames.flow(0, FRAMES - 1)).max()
    assert at_the_end == pytest.approx(PEAK_PX / 2, rel=0.05)


def test_the_ratio_by_hand() -> None:
    moving = np.array([[True, False], [False, False]])
    assert kept(np.array([[-6, 1], [2, 2]], np.float32), moving) == pytest.approx(6 / 3**0.5)


def test_a_moving_head_moves_nothing_of_the_face() -> None:
    flow = np.zeros((2, 224, 224), np.float32)
    flow[:, 100:120, 40:80] = 1
    still = moving_pixels(flow)
    assert still.sum() == 10 * 20
    assert (moving_pixels(flow + 3) == still).all()


def test_without_a_disturbance_all_see_the_same() -> None:
    seen = ratios()
    assert seen["MESTI"] == pytest.approx(seen["dynamic image"], rel=0.1)
    assert seen["MESTI"] > 4


def test_light_drifts_and_mesti_still_sees_the_movement() -> None:
    """The dynamic image shows the face by its light: it keeps less than half as much."""
    seen = ratios(noise=2, drift=0.03)
    assert seen["MESTI"] > 2 * seen["dynamic image"]
    assert seen["MESTI"] > 1.5 * seen["apex less onset"]
    assert seen["slope"] < 1.5


@pytest.mark.parametrize("apex", [0.25, 0.75])
def test_the_apex_need_not_lie_in_the_middle(apex: float) -> None:
    seen = ratios(noise=2, drift=0.03, apex=apex)
    assert seen["MESTI"] > 1.5 * seen["dynamic image"]
