"""The faster linear layer against torch's own."""

import pytest
import torch

from hmrm_lab.models.linear import Linear, multiply


@pytest.mark.parametrize("shape", [(1, 3), (5, 3), (2, 7, 3), (64, 16, 3)])
@pytest.mark.parametrize("bias", [True, False])
def test_layer_and_gradients_are_torchs(shape: tuple[int, ...], bias: bool) -> None:
    torch.manual_seed(0)
    layer = Linear(3, 5, bias=bias)
    exact = torch.nn.Linear(3, 5, bias=bias, dtype=torch.float64)
    exact.load_state_dict(layer.state_dict())
    x = torch.randn(shape)
    results = []
    for module in (layer, exact):
        inputs = x.to(module.weight.dtype).requires_grad_()
        y = module(inputs)
        gradients = torch.autograd.grad(y.pow(2).sum(), [inputs, *module.parameters()])
        results.append([y.detach(), *gradients])
    for ours, theirs in zip(*results, strict=True):
        assert ours.shape == theirs.shape
        assert (ours - theirs).abs().max() <= 1e-6 * theirs.abs().max()


def test_frozen_input_and_other_types() -> None:
    layer = Linear(3, 5)
    layer(torch.randn(2, 3)).sum().backward()
    assert layer.weight.grad is not None
    torch.testing.assert_close(Linear(3, 5).double()(torch.ones(1, 3).double()).shape, (1, 5))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_products_of_views(dtype: torch.dtype) -> None:
    left, right = torch.randn(7, 4, dtype=dtype).mT, torch.randn(5, 7, dtype=dtype).mT
    torch.testing.assert_close(multiply(left, right), left @ right)
