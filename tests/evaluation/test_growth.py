"""Growth inside and outside the regions that move."""

import numpy as np
import pytest

from hmrm_lab.datasets.classes import MEGC3
from hmrm_lab.datasets.synthetic import synthetic
from hmrm_lab.errors import InputError
from hmrm_lab.evaluation.magnification import growth_of, growth_table, moving_region, without_head
from hmrm_lab.records import Clip, ClipKey


def test_growth_is_a_mean_of_quotients_of_lengths() -> None:
    flow = np.zeros((2, 2, 4, 4), np.float32)
    flow[:, 0], flow[:, 1] = 3.0, -4.0
    flow[0, :, 3, 3] = 0.0  # no motion grows to none
    times = np.ones((2, 1, 4, 4), np.float32)
    times[:, :, :2], times[1, :, 0, 0] = 3.0, 5.0
    moving = np.zeros((2, 4, 4), bool)
    moving[:, :2] = True
    growth = growth_of(flow, times * flow, moving)
    expected = ((15 * 3 + 5) / 16, 15 / 16)
    assert (growth.inside, growth.outside) == pytest.approx(expected)
    assert growth.ratio == pytest.approx(expected[0] / expected[1])
    for everywhere in (True, False):
        with pytest.raises(ValueError, match="inside and outside"):
            growth_of(flow, flow, np.full(moving.shape, everywhere))


def test_a_drawn_face_moves_where_its_action_units_are() -> None:
    clips = synthetic(subjects=2, clips=6)
    regions = np.stack([moving_region(clip, 28) for clip in clips])
    shares = regions.mean((1, 2))
    assert 0.01 < shares.min() < shares.max() < 0.3
    smiles = ["pos" in clip.key.clip for clip in clips]
    assert np.flatnonzero(regions[smiles].any((0, 2))).min() > 10, "below the eyes"
    assert moving_region(clips[0], 56).shape == (56, 56)
    flow = np.random.default_rng(0).normal(size=(6, 2, 28, 28)).astype(np.float32)
    table = growth_table(clips, flow, np.where(regions[:, None], 3.0, 1.5) * flow)
    assert table["Clip"].tolist() == [clip.key.clip for clip in clips]
    assert table["Ratio"].tolist() == pytest.approx([2.0] * 6)
    assert table["Share"].tolist() == pytest.approx(shares.tolist())
    frames = [np.zeros((8, 8, 3), np.uint8)] * 3
    clip = Clip(ClipKey("toy", "s01", "a"), 0, frames, 0, 1, 2, 200.0, classes=MEGC3.classes)
    with pytest.raises(InputError, match="the exact flow of clip toy/s01/a is not known"):
        moving_region(clip, 28)


def test_the_head_is_taken_away_and_the_expression_stays() -> None:
    rows, columns = np.indices((28, 28))
    head = np.stack([0.3 + 0.02 * columns - 0.01 * rows, -0.5 + 0.01 * columns + 0.02 * rows])
    brow = np.zeros((2, 28, 28))
    brow[1, 6:10, 4:12] = -1.0
    left = without_head((head + brow).astype(np.float32))
    np.testing.assert_allclose(left, brow, atol=1e-5)
    assert not without_head(np.zeros((2, 28, 28), np.float32)).any()
