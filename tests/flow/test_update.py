"""The boxes of GRU-AOFE's update against their formulas, and the evidence of gradients."""

from itertools import product

import pytest
import torch
from torch.nn import functional as F

from hmrm_lab.flow.gru_attention import gradients
from hmrm_lab.flow.gru_attention.encoder import convex_upsample
from hmrm_lab.flow.gru_attention.update import AdditiveAttention


def seeded(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_attention_over_steps_is_its_formula() -> None:
    attention = AdditiveAttention(hidden=4, width=3, kind="steps")
    history = [seeded(1, 4, 3, 2, seed=k) for k in range(3)]
    context, alpha = attention(history)
    w_s, b_s = attention.of_state.weight[..., 0, 0], attention.of_state.bias
    w_h = attention.of_key.weight[..., 0, 0]
    for i, j in product(range(3), range(2)):
        states = torch.stack([state[0, :, i, j] for state in history])
        energies = torch.tanh(w_s @ states[-1] + b_s + states @ w_h.T) @ attention.score
        weights = energies.softmax(0)
        assert torch.allclose(alpha[0, :, i, j], weights, atol=1e-6)
        assert torch.allclose(context[0, :, i, j], weights @ states, atol=1e-6)


def test_attention_over_space_is_its_formula() -> None:
    attention = AdditiveAttention(hidden=4, width=3, kind="space")
    state = seeded(2, 4, 14, 21)
    context, alpha = attention([state])
    regions = F.adaptive_avg_pool2d(state, 7).flatten(2)[1]  # (D, J)
    w_s, b_s = attention.of_state.weight[..., 0, 0], attention.of_state.bias
    query = w_s @ state[1, :, 5, 11] + b_s
    keys = attention.of_key.weight[..., 0, 0] @ regions
    weights = (attention.score @ torch.tanh(query[:, None] + keys)).softmax(0)
    assert torch.allclose(alpha[1, :, 5, 11], weights, atol=1e-6)
    assert torch.allclose(context[1, :, 5, 11], regions @ weights, atol=1e-6)


def test_convex_upsampling_is_the_naive_sum() -> None:
    flow, weights = seeded(1, 2, 3, 4), seeded(1, 36, 3, 4, seed=1)
    found = convex_upsample(flow, weights, 2)
    share = weights.view(9, 2, 2, 3, 4).softmax(0)
    padded = F.pad(flow, (1, 1, 1, 1), mode="replicate")[0]
    for axis, y, x in [(0, 0, 0), (1, 3, 5), (0, 5, 7), (1, 2, 2)]:
        row, column = y // 2, x // 2
        cells = padded[axis, row : row + 3, column : column + 3].flatten()
        expected = float(share[:, y % 2, x % 2, row, column] @ cells)
        assert float(found[0, axis, y, x]) == pytest.approx(expected, abs=1e-6)


def waves(size: int, shift: tuple[float, float]) -> torch.Tensor:
    """A smooth picture, exactly shifted."""
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    x, y = columns - shift[0], rows - shift[1]
    picture = torch.sin(x / 3.1) + torch.cos(y / 2.7) + torch.sin((x + y) / 4.3)
    return picture[None, None].float()


def test_every_step_finds_a_shift() -> None:
    solver = gradients.GradientSteps(windows=(0, 2), smooth=2)
    onset, apex = waves(64, (0, 0)), waves(64, (0.3, -0.2))
    still, quiet = torch.zeros(1, 2, 16, 16), torch.zeros(1, 1, 1, 1)
    steps, _ = solver(onset, apex, still, quiet, still)
    inner = steps[0, 1:, :, 3:-3, 3:-3].mean((2, 3))
    assert torch.allclose(inner, torch.tensor([0.3, -0.2]), atol=0.03)
    there = torch.tensor([0.3, -0.2]).view(1, 2, 1, 1).expand(1, 2, 16, 16)
    again, _ = solver(onset, apex, there, quiet, still)
    assert again[0, 1:, :, 3:-3, 3:-3].abs().mean() < 0.03


def test_steps_end_at_the_truth() -> None:
    """No evidence of a further step is left where the flow is right, under other light too."""
    onset, apex = gradients.smoothed(waves(64, (0, 0))), gradients.smoothed(waves(64, (1.4, 0.9)))
    there = torch.tensor([1.4, 0.9]).view(1, 2, 1, 1).expand(1, 2, 16, 16)
    for picture in (apex, apex + 0.5 + torch.linspace(-0.2, 0.2, 64)):
        products, change = gradients.gradient_products(onset, picture, there)
        assert change[..., 16:-16, 16:-16].abs().max() < 0.1
        assert products[:, 3:, 4:-4, 4:-4].abs().max() < 0.02


def textured(rows: int, columns: int) -> torch.Tensor:
    """Products (1, 5, h, w) of a picture whose true step is (.4, -.3) everywhere."""
    x, y = seeded(2, 1, rows, columns, 6)
    xx, xy, yy = (x * x).mean(-1), (x * y).mean(-1), (y * y).mean(-1)
    xt, yt = -(0.4 * xx - 0.3 * xy), -(0.4 * xy - 0.3 * yy)
    return torch.stack([xx, xy, yy, xt, yt], dim=1)


def test_steps_follow_gradients_and_are_carried_into_flat_regions() -> None:
    for size in ((16, 16), (9, 13), (1, 5)):
        products, still = textured(*size), torch.zeros(1, 2, *size)
        steps = gradients.smooth_steps(products, still, torch.full((1, 1, *size), 1e-6))
        assert steps.shape == (1, 1, 2, *size)
        truth = torch.tensor([0.4, -0.3]).view(2, 1, 1)
        assert torch.allclose(steps[0, 0], truth.expand(2, *size), atol=1e-3)
    products, still = textured(16, 16), torch.zeros(1, 2, 16, 16)
    products[..., 8:] = 0
    steps = gradients.smooth_steps(products, still, torch.full((1, 1, 16, 16), 0.01))
    far = steps[0, 0, :, :, -1].mean(dim=1)
    assert 0.2 < far[0] < 0.4 and -0.3 < far[1] < -0.15
