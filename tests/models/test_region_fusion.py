import pytest
import torch

from hmrm_lab.models.hmrm import HMRM
from hmrm_lab.models.region_fusion import RegionConcatenation, RegionFusion, split_regions


def test_sub_regions_follow_their_core_region() -> None:
    """Row 4 r + s of `fine` lies inside core region r, sub-region s, in reading order."""
    rows, columns = torch.meshgrid(torch.arange(28.0), torch.arange(28.0), indexing="ij")
    coarse, fine = split_regions(torch.stack([rows, columns])[None])
    assert coarse.shape == (1, 4, 49, 2)
    assert fine.shape == (1, 16, 49, 2)
    for core in range(4):
        top, left = 14 * (core // 2), 14 * (core % 2)
        centre = coarse[0, core].mean(0)
        torch.testing.assert_close(centre, torch.tensor([top + 6.5, left + 6.5]))
        for sub in range(4):
            corner = fine[0, 4 * core + sub, 0]
            expected = [top + 7 * (sub // 2), left + 7 * (sub % 2)]
            torch.testing.assert_close(corner, torch.tensor(expected, dtype=torch.float32))


def test_windows_keep_every_pixel_once() -> None:
    maps = torch.randn(2, 3, 28, 28)
    _, fine = split_regions(maps)
    torch.testing.assert_close(fine.flatten().sort().values, maps.flatten().sort().values)


def test_pixels_of_a_window_run_row_by_row() -> None:
    maps = torch.arange(28.0 * 28).reshape(1, 1, 28, 28)
    _, fine = split_regions(maps)
    torch.testing.assert_close(fine[0, 0, :, 0].reshape(7, 7), maps[0, 0, :7, :7])


def test_larger_maps_keep_49_tokens() -> None:
    coarse, fine = split_regions(torch.randn(2, 3, 56, 56))
    assert coarse.shape == (2, 4, 49, 12)
    assert fine.shape == (2, 16, 49, 12)


@pytest.mark.parametrize("shape", [(1, 3, 30, 30), (1, 3, 28, 56)])
def test_other_sizes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="multiple of 28"):
        split_regions(torch.zeros(shape))


def test_attention_lets_every_region_speak_to_every_other() -> None:
    torch.manual_seed(0)
    fusion = RegionFusion(8, heads=2, dropout=0.0)
    coarse = torch.randn(1, 4, 8, requires_grad=True)
    fine = torch.randn(1, 16, 8, requires_grad=True)
    first_region = fusion(coarse, fine).reshape(1, 20, 8)[0, 0].pow(2).sum()
    for gradient in torch.autograd.grad(first_region, [coarse, fine]):
        assert (gradient.abs().sum(-1) > 0).all()


def test_concatenation_lets_none_speak() -> None:
    coarse, fine = torch.randn(2, 4, 8), torch.randn(2, 16, 8)
    out = RegionConcatenation()(coarse, fine).reshape(2, 20, 8)
    torch.testing.assert_close(out, torch.cat([coarse, fine], dim=1))


@pytest.mark.parametrize("tokens", ["pixels", "windows"])
@pytest.mark.parametrize("fusion", ["attention", "none"])
def test_hmrm_has_three_scales(tokens: str, fusion: str) -> None:
    model = HMRM(3, 28, 3, width=8, depth=1, state=4, heads=2, tokens=tokens, fusion=fusion)
    assert model(torch.randn(2, 3, 28, 28)).shape == (2, 3, 3)


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
