import math

import numpy as np
import pytest
import torch

from hmrm_lab.flow.gru_attention.correlation import AllPairs, Local, Warped


def features(seed: int, height: int = 11, width: int = 9, depth: int = 5) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, depth, height, width, generator=generator)


def flow_like(onset: torch.Tensor, reach: float, seed: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    shape = (len(onset), 2, *onset.shape[2:])
    return reach * (2 * torch.rand(shape, generator=generator) - 1)


def pooled(image: np.ndarray) -> np.ndarray:
    """Means over 2 x 2, what is left at the edge by itself."""
    found = np.zeros([math.ceil(side / 2) for side in image.shape])
    for y, x in np.ndindex(found.shape):
        found[y, x] = image[2 * y : 2 * y + 2, 2 * x : 2 * x + 2].mean()
    return found


def bilinear(image: np.ndarray, x: float, y: float) -> float:
    """The value between pixels; beyond the image there is nothing."""
    total = 0.0
    for row in (math.floor(y), math.floor(y) + 1):
        for column in (math.floor(x), math.floor(x) + 1):
            if 0 <= row < image.shape[0] and 0 <= column < image.shape[1]:
                total += (1 - abs(y - row)) * (1 - abs(x - column)) * image[row, column]
    return total


def naive(
    onset: torch.Tensor, apex: torch.Tensor, flow: torch.Tensor, levels: int, radius: int
) -> np.ndarray:
    """The definition of the paper, one number at a time."""
    batch, depth, height, width = onset.shape
    side = 2 * radius + 1
    found = np.zeros((batch, levels * side * side, height, width))
    for b, i, j in np.ndindex(batch, height, width):
        volume = np.einsum("c,ckl->kl", onset[b, :, i, j], apex[b]) / math.sqrt(depth)
        channel = 0
        for level in range(levels):
            x = (j + float(flow[b, 0, i, j]) + 0.5) / 2**level - 0.5
            y = (i + float(flow[b, 1, i, j]) + 0.5) / 2**level - 0.5
            for dy in range(-radius, radius + 1):
                for dx in range(-radius, radius + 1):
                    found[b, channel, i, j] = bilinear(volume, x + dx, y + dy)
                    channel += 1
            volume = pooled(volume)
    return found


def test_the_pyramid_is_the_naive_loop() -> None:
    onset, apex = features(0), features(1)
    for reach in (0.0, 1.7, 14.0):
        flow = flow_like(onset, reach)
        expected = naive(onset, apex, flow, levels=4, radius=1)
        for kind in (AllPairs, Local):
            found = kind(onset, apex, levels=4, radius=1)(flow)
            assert found.numpy() == pytest.approx(expected, abs=1e-5)


def test_both_volumes_agree_in_values_and_gradients() -> None:
    results = []
    for kind in (AllPairs, Local):
        onset, apex = features(0).requires_grad_(), features(1).requires_grad_()
        flow = flow_like(onset, 2.3).requires_grad_()
        windows = kind(onset, apex, levels=3, radius=3)(flow)
        (windows * torch.linspace(-1, 1, windows.numel()).view_as(windows)).sum().backward()
        results.append((windows.detach(), onset.grad, apex.grad, flow.grad))
    for first, second in zip(*results, strict=True):
        assert torch.allclose(first, second, atol=1e-4)


def test_warped_windows_are_their_naive_loop() -> None:
    onset, apex = features(0, 6, 5), features(1, 6, 5)
    flow = flow_like(onset, 1.5)
    found = Warped(onset, apex, radius=1)(flow)
    for b, i, j in np.ndindex(2, 6, 5):
        for channel, (dy, dx) in enumerate(np.ndindex(3, 3)):
            y, x = i + dy - 1, j + dx - 1
            expected = 0.0
            if 0 <= y < 6 and 0 <= x < 5:
                u, v = flow[b, :, y, x].tolist()
                there = [bilinear(plane.numpy(), x + u, y + v) for plane in apex[b]]
                expected = float(onset[b, :, i, j] @ torch.tensor(there)) / math.sqrt(5)
            assert float(found[b, channel, i, j]) == pytest.approx(expected, abs=1e-5)
