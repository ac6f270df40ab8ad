"""The faster linear layer against torch's own."""

from copy import deepcopy

import pytest
import torch
from conftest import quick_config
from torch import nn

from hmrm_lab.models.layers import Dropout, Linear, in_bfloat16
from hmrm_lab.training.learner import average_weights, build_learner


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


@pytest.mark.parametrize("shape", [(3,), (0, 3), (2, 0, 3)])
def test_a_single_vector_and_nothing_at_all(shape: tuple[int, ...]) -> None:
    layer, x = Linear(3, 5), torch.randn(shape, requires_grad=True)
    y = layer(x)
    torch.testing.assert_close(y, torch.nn.functional.linear(x, layer.weight, layer.bias))
    y.sum().backward()
    assert x.grad.shape == shape


def test_dropout_keeps_the_mean_and_its_share() -> None:
    torch.manual_seed(0)
    layer = Dropout(0.3)
    x = torch.ones(200, 500, requires_grad=True)
    y = layer(x)
    assert y.detach().unique().tolist() == pytest.approx([0, 1 / 0.7])
    assert y.mean().item() == pytest.approx(1, abs=0.01)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())
    assert torch.equal(layer.eval()(x), x)


def test_products_in_bfloat16_are_near_and_parameters_stay() -> None:
    torch.manual_seed(0)
    exact, x = Linear(96, 40), torch.randn(3, 7, 96, requires_grad=True)
    rounded = in_bfloat16(nn.Sequential(deepcopy(exact)))
    weights, results = torch.randn(3, 7, 40), []
    for layer in (exact, rounded):
        y = layer(x)
        results.append([y, *torch.autograd.grad((y * weights).sum(), [x, *layer.parameters()])])
    for true, near in zip(*results, strict=True):
        assert near.dtype == torch.float32
        assert (near - true).norm() / true.norm() < 0.01
    assert not torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][3], results[1][3])  # that of the bias has no product


def test_a_setting_puts_all_linear_layers_of_a_training_in_bfloat16() -> None:
    plain, short = (
        build_learner(quick_config("hmrm", f"training.bfloat16={value}"), 28, 3)
        for value in ("false", "true")
    )
    layers = [layer for layer in short.modules() if isinstance(layer, Linear)]
    assert layers and all(layer.rounds for layer in layers)
    assert not any(layer.rounds for layer in plain.modules() if isinstance(layer, Linear))
    averaged = average_weights(short, 0.9).module
    assert all(layer.rounds for layer in averaged.modules() if isinstance(layer, Linear))
