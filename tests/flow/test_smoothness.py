import pytest
import torch
from torch.nn import functional as F

from hmrm_lab.flow.gru_attention.gradients import smooth_steps


def seeded(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def textured(rows: int, columns: int) -> torch.Tensor:
    """Products (1, 5, h, w) of a picture whose true step is (.4, -.3) everywhere."""
    x, y = seeded(2, 1, rows, columns, 6)
    xx, xy, yy = (x * x).mean(-1), (x * y).mean(-1), (y * y).mean(-1)
    xt, yt = -(0.4 * xx - 0.3 * xy), -(0.4 * xy - 0.3 * yy)
    return torch.stack([xx, xy, yy, xt, yt], dim=1)


def energy(products: torch.Tensor, flow: torch.Tensor, step: torch.Tensor, weight: float) -> float:
    """What `smooth_steps` lowers, summed over cells and pairs of neighbours."""
    xx, xy, yy, xt, yt = products[0]
    u, v = step
    data = xx * u * u + 2 * xy * u * v + yy * v * v + 2 * (xt * u + yt * v)
    total = flow[0] + step
    bend = (total.diff(dim=1) ** 2).sum() + (total.diff(dim=2) ** 2).sum()
    return float(data.sum() + weight * bend)


@pytest.mark.parametrize("size", [(16, 16), (9, 13), (1, 5)])
def test_without_stiffness_each_cell_follows_its_own_gradients(size: tuple[int, int]) -> None:
    products, still = textured(*size), torch.zeros(1, 2, *size)
    steps = smooth_steps(products, still, torch.full((1, 1, *size), 1e-6))
    assert steps.shape == (1, 1, 2, *size)
    truth = torch.tensor([0.4, -0.3]).view(2, 1, 1)
    assert torch.allclose(steps[0, 0], truth.expand(2, *size), atol=1e-3)


def test_steps_are_carried_into_flat_regions() -> None:
    products, still = textured(16, 16), torch.zeros(1, 2, 16, 16)
    products[..., 8:] = 0
    steps = smooth_steps(products, still, torch.full((1, 1, 16, 16), 0.01))
    far = steps[0, 0, :, :, -1].mean(dim=1)
    assert 0.2 < far[0] < 0.4
    assert -0.3 < far[1] < -0.15


@pytest.mark.parametrize("weight", [0.03, 0.3, 3.0])
def test_the_energy_falls(weight: float) -> None:
    products = textured(12, 10) + 0.1 * F.pad(seeded(1, 2, 12, 10, seed=2), (0, 0, 0, 0, 3, 0))
    flow = 0.3 * seeded(1, 2, 12, 10, seed=1)
    step = smooth_steps(products, flow, torch.full((1, 1, 12, 10), weight))[0, 0]
    assert energy(products, flow, step, weight) < energy(products, flow, 0 * step, weight)


def test_degrees_of_smoothness_do_not_mix() -> None:
    products, flow = textured(8, 8), seeded(1, 2, 8, 8, seed=1)
    weights = torch.tensor([0.01, 1.0]).view(1, 2, 1, 1).expand(1, 2, 8, 8)
    both = smooth_steps(products, flow, weights)
    for number in range(2):
        alone = smooth_steps(products, flow, weights[:, number : number + 1])
        assert torch.allclose(both[:, number], alone[:, 0], atol=1e-6)
