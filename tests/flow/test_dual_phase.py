"""Two phases of one movement, joined."""

import numpy as np
import pytest

from hmrm_lab.flow.motion_maps import combine, dual_phase


def field(seed: int, scale: float = 1.0, size: int = 24) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, scale, (3, 2, size, size)).astype(np.float32)


def rms(flow: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(flow))))


def test_by_hand() -> None:
    """One pixel: shared (1.5, 0), apart (0.5, 0), so 2.25 / 2.5 of the shared."""
    rise, fall = np.zeros((2, 2, 1, 1), np.float32)
    rise[0], fall[0] = 2, -1
    assert combine(rise, fall).ravel() == pytest.approx([1.5 * 0.9, 0])


def test_a_movement_that_goes_back_is_the_rise() -> None:
    rise = field(0)
    assert combine(rise, -rise) == pytest.approx(rise, abs=1e-6)
    assert combine(rise, -rise).dtype == np.float32


def test_nothing_moves() -> None:
    still = np.zeros((2, 5, 6), np.float32)
    assert (combine(still, still) == 0).all()


def test_what_goes_on_the_same_way_is_no_rise_and_fall() -> None:
    drift = field(0)
    assert (combine(drift, drift) == 0).all()


def test_a_head_that_moves_on_does_not_drown_the_face() -> None:
    """Half a pixel there and back, and a head that goes a pixel in each phase."""
    movement = np.zeros((2, 24, 24), np.float32)
    movement[0, 4:8, 4:12] = 0.5
    head = np.float32([1, -0.5])[:, None, None]
    assert dual_phase(movement + head, head - movement) == pytest.approx(movement, abs=1e-6)
    assert np.abs(combine(movement + head, head - movement)).max() < 0.25


@pytest.mark.parametrize("phase", [0, 1])
def test_what_one_phase_alone_shows_is_a_quarter(phase: int) -> None:
    flows = [np.zeros((3, 2, 24, 24), np.float32)] * 2
    flows[phase] = field(0)
    assert np.abs(combine(*flows)) == pytest.approx(np.abs(field(0)) / 4, abs=1e-6)


@pytest.mark.parametrize("phase", [0, 1])
def test_noise_in_one_phase_does_half_the_harm(phase: int) -> None:
    movement, noise = np.full((3, 2, 24, 24), 1.0, np.float32), field(1, 0.3)
    flows = [movement.copy(), -movement]
    flows[phase] += noise
    assert rms(combine(*flows) - movement) < 0.6 * rms(noise)


def test_noise_in_both_phases_is_less_than_in_one() -> None:
    movement = np.zeros((3, 2, 24, 24), np.float32)
    movement[..., :12, :] = 1.0
    rise, fall = movement + field(1, 0.3), -movement + field(2, 0.3)
    found = combine(rise, fall)
    for rows in (slice(0, 12), slice(12, 24)):
        error, alone = (rms((flow - movement)[..., rows, :]) for flow in (found, rise))
        assert error < 0.8 * alone


def test_the_larger_of_two_movements_keeps_more() -> None:
    """The same difference between the phases costs a large movement less of itself."""
    rise, fall = np.zeros((2, 2, 1, 2), np.float32)
    rise[0], fall[0] = [[3.25, 0.75]], [[-2.75, -0.25]]
    assert combine(rise, fall)[0, 0] / [3, 0.5] == pytest.approx([144 / 145, 0.8])


def test_a_turned_picture_is_a_turned_flow() -> None:
    """No direction is special: u and v change places as they do in both phases."""
    rise, fall = field(3), field(4)
    swapped = combine(rise[:, ::-1], fall[:, ::-1])
    assert swapped == pytest.approx(combine(rise, fall)[:, ::-1], abs=1e-6)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="of one shape"):
        combine(field(0), field(0)[:2])
    with pytest.raises(ValueError, match="of one shape"):
        combine(field(0)[:, :1], field(0)[:, :1])
