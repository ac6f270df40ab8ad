"""Regions held still: a planted region is found, and shares are shares."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import grid_masks, make_flowset

from hmrm_lab.evaluation.recording_prediction import hold_still, occlusion_falls, shares_of
from hmrm_lab.records import FlowSet

MASKS = grid_masks(28)


def test_a_region_is_held_at_the_motion_of_the_head() -> None:
    motion = make_flowset().maps[0] + np.array([3, -2, 0], np.float32)[:, None, None]
    u, v = np.median(motion[:2], axis=(1, 2))
    for one, mask in zip(hold_still(motion, MASKS), MASKS, strict=True):
        assert (one[:, mask] == np.array([u, v, 0], np.float32)[:, None]).all()
        assert (one[:, ~mask] == motion[:, ~mask]).all()


def planted(flowset: FlowSet) -> np.ndarray:
    """Answers that rest on sub-region 9 (for) and 2 (against) alone."""
    energy = (flowset.maps[:, :2] ** 2).sum(1)
    score = energy[:, MASKS[9]].mean(1) - 0.5 * energy[:, MASKS[2]].mean(1)
    win = 1 / (1 + np.exp(-score))
    return np.stack([(1 - win) / 2, win, (1 - win) / 2], axis=1)


def test_a_planted_region_is_found() -> None:
    clip = make_flowset().take([0])
    moving = MASKS[[9, 2, 5]].any(0)
    maps = np.broadcast_to(moving.astype(np.float32), clip.maps.shape)
    falls = occlusion_falls(planted, replace(clip, maps=maps), MASKS)
    assert falls.argmax() == 9
    assert falls[2] < 0
    assert np.abs(np.delete(falls, [9, 2])).max() < 1e-6
    assert shares_of(falls)[9] == pytest.approx(1)


def test_shares_sum_to_1_or_are_all_0() -> None:
    assert shares_of(np.array([0.3, -0.2, 0.1], np.float32)) == pytest.approx([0.75, 0, 0.25])
    assert not shares_of(np.array([0.004, -0.2, 0.001], np.float32)).any()
