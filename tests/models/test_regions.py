"""Regions of HMRM: how maps are split, where tokens lie, and what the fusion reads."""

import numpy as np
import pytest
import torch

from hmrm_lab.errors import ConfigError, InputError
from hmrm_lab.models.hmrm import HMRM
from hmrm_lab.models.hmrm.region_fusion import (
    RegionFusion,
    region_boxes,
    region_mask,
    region_motion,
    region_names,
    split_regions,
    token_centres,
)


def test_attention_lets_every_region_speak_to_every_other() -> None:
    torch.manual_seed(0)
    fusion = RegionFusion(8, heads=2, dropout=0.0)
    coarse = torch.randn(1, 4, 8, requires_grad=True)
    fine = torch.randn(1, 16, 8, requires_grad=True)
    first_region = fusion(torch.cat([coarse, fine], dim=1))[0, 0].pow(2).sum()
    for gradient in torch.autograd.grad(first_region, [coarse, fine]):
        assert (gradient.abs().sum(-1) > 0).all()


def test_coarse_head_sees_core_regions_only_at_half_resolution() -> None:
    """A checkerboard vanishes in the coarse head, and not in the fine one."""
    torch.manual_seed(0)
    model = HMRM(1, 28, 3, width=8, depth=1, state=4, heads=2).eval()
    board = torch.ones(1, 1, 28, 28)
    board[..., ::2, 1::2] = board[..., 1::2, ::2] = -1
    with torch.no_grad():
        change = (model(board) - model(torch.zeros_like(board))).abs().amax(-1)[0]
    assert change[1] == 0
    assert change[2] > 1e-6


def test_core_regions_are_quarters_and_sub_regions_quarters_of_those() -> None:
    assert region_names("core") == ["top left", "top right", "bottom left", "bottom right"]
    expected = [[0, 0, 14, 14], [14, 0, 28, 14], [0, 14, 14, 28], [14, 14, 28, 28]]
    assert region_boxes("core").tolist() == expected
    boxes = region_boxes("sub")
    assert region_names("sub")[6] == "top right, its bottom left"
    assert boxes[6].tolist() == [14, 7, 21, 14]


def test_pixel_tokens_run_row_by_row() -> None:
    fine, coarse = token_centres("sub")[6], token_centres("core")[3]
    assert fine[:2].tolist() == [[14.5, 7.5], [15.5, 7.5]]
    assert fine[7].tolist() == [14.5, 8.5]
    assert coarse[:2].tolist() == [[15, 15], [17, 15]], "the mean of 2x2 cells"
    assert coarse.shape == (49, 2)


@pytest.mark.parametrize(("grain", "number"), [("core", 0), ("sub", 1)])
def test_a_mask_holds_what_the_model_gets(grain: str, number: int) -> None:
    for region in range(len(region_names(grain))):
        inside = torch.from_numpy(region_mask(grain, region)).float()[None, None]
        windows = split_regions(inside)[number][0]
        assert (windows[region] == 1).all()
        assert windows.sum() == 49
    assert region_mask(grain, 0, 224).sum() == 64 * region_mask(grain, 0).sum()


def test_the_motion_of_a_region_and_its_direction() -> None:
    motion = np.zeros((3, 28, 28), np.float32)
    motion[1, :7, :7] = 2.0
    moved = region_motion(motion, "sub", 0)
    assert moved[:5] == (0, 2, 2, 90, "down")
    assert region_motion(motion, "core", 0).length == pytest.approx(0.5)
    motion[1, :7, :3], motion[1, :7, 3:7] = -1.0, 0.75
    still = region_motion(motion, "sub", 0)
    assert (still.length, still.mean_length) == pytest.approx((0, 6 / 7))
    motion[0], motion[1] = -1.0, -1.0
    assert region_motion(motion, "core", 3).words == "up left"


def test_what_is_no_region_is_refused() -> None:
    for shape in ((1, 3, 30, 30), (1, 3, 28, 56)):
        with pytest.raises(ValueError, match="multiple of 28"):
            split_regions(torch.zeros(shape))
    with pytest.raises(ConfigError, match="did you mean 'core'"):
        region_names("cores")
    with pytest.raises(InputError, match="no core region 4; take one of 0 to 3"):
        region_mask("core", 4)
