from dataclasses import replace
from functools import partial

import pytest
import torch
from test_provenance import make_mix, mixed

from hmrm_lab.config.sections import AugmentConfig
from hmrm_lab.flow.motion_maps import select_channels
from hmrm_lab.training.augmentation import blend, draw_blend, draw_moves, flip, jitter, shift


@pytest.mark.parametrize(("right", "down"), [(0, 0), (1, 0), (0, -2), (2, 1), (-2, -2)])
def test_shift_moves_by_whole_pixels(right: int, down: int) -> None:
    maps = torch.zeros(1, 3, 9, 9)
    maps[..., 4, 4] = 1
    moved = shift(maps, right, down)
    assert moved.shape == maps.shape
    assert torch.nonzero(moved[0, 0]).tolist() == [[4 + down, 4 + right]]


def test_shift_stays_within_its_reach() -> None:
    torch.manual_seed(0)
    maps = torch.zeros(200, 3, 28, 28)
    maps[:, 2, 14, 14] = 1
    moved = jitter(maps, *draw_moves(200, AugmentConfig(shift_px=2)))[:, 2]
    rows = (moved.sum(2) * torch.arange(28.0)).sum(1) / moved.sum((1, 2)) - 14
    assert 0.8 < rows.std() < rows.abs().max() <= 2.5


def test_turning_turns_vectors_with_the_picture() -> None:
    """A radial field looks the same from every side: turning must not change it."""
    torch.manual_seed(0)
    rows, columns = torch.meshgrid(*[torch.linspace(-1, 1, 28)] * 2, indexing="ij")
    radial = torch.stack([columns, rows, torch.ones_like(rows)])[None].expand(8, -1, -1, -1)
    turned = jitter(radial, *draw_moves(8, AugmentConfig(rotate_deg=30.0)))
    centre = (..., slice(8, 20), slice(8, 20))
    torch.testing.assert_close(turned[centre], radial[centre], atol=1e-4, rtol=0)


def test_flip_half_of_the_time() -> None:
    torch.manual_seed(0)
    maps = torch.ones(2000, 3, 4, 4)
    flipped = jitter(maps, *draw_moves(2000, AugmentConfig(flip=True)))[:, 0, 0, 0] < 0
    assert flipped.float().mean() == pytest.approx(0.5, abs=0.04)


def test_all_maps_of_a_sequence_are_changed_alike() -> None:
    """A sequence of one map, seen three times, becomes that map changed, three times."""
    maps, targets = torch.randn(12, 3, 28, 28), torch.eye(12)
    everything = AugmentConfig(flip=True, shift_px=2, scale=0.1, rotate_deg=10.0)
    for change in (
        flip,
        partial(shift, right_px=1, down_px=-2),
        lambda given: jitter(given, *draw_moves(12, everything)),
        partial(select_channels, channels=("magnitude", "v")),
        lambda given: mixed(replace(make_mix(share=0.5, strength=(0.2, 1.0)), maps=given)),
        lambda given: blend(given, targets, *draw_blend(12, 0.4))[0],
    ):
        changed = []
        for given in (maps, maps[:, None].expand(-1, 3, -1, -1, -1)):
            torch.manual_seed(0)
            changed.append(change(given))
        expected = changed[0][:, None].expand(-1, 3, -1, -1, -1)
        torch.testing.assert_close(changed[1], expected, rtol=1e-5, atol=1e-6)
        assert not torch.equal(changed[0], maps)
