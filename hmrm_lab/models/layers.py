"""Layers of torch's with the same meaning, and never slower on the CPU.

Linear layers and the gradients of what they are given go through oneDNN where torch has it: in
float32 its products are as exact as MKL's, and faster on processors that MKL does not favour.
Dropout draws uniform numbers, which is faster than Bernoulli's. `benchmarks/layers.py` measures
both.

If asked for (`in_bfloat16`), linear layers round what they multiply to bfloat16 and add up in
float32: twice as fast on processors that have such products, with three digits (decision 0012).
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

TINY = 1e-30  # with p = 1 nothing is kept, and nothing is divided by zero
ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


class Linear(nn.Linear):
    """`nn.Linear` by oneDNN, or with products in bfloat16. (..., in) to (..., out)."""

    rounds = False

    def forward(self, input: Tensor) -> Tensor:
        if self.rounds:
            rounded: Tensor = _Bfloat16Linear.apply(input, self.weight, self.bias)
            return rounded
        if _fits(input):
            output: Tensor = _OneDnnLinear.apply(input, self.weight, self.bias)
            return output
        return F.linear(input, self.weight, self.bias)


class Dropout(nn.Dropout):
    """`nn.Dropout`, faster. Any shape."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return input
        kept = torch.rand_like(input) >= self.p
        return input * kept / max(1 - self.p, TINY)


class _OneDnnLinear(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.has_bias = bias is not None
        return _onednn(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        rows, grad_rows = x.flatten(0, -2), grad.flatten(0, -2)
        grad_x = _onednn(grad, weight.mT) if ctx.needs_input_grad[0] else None
        # oneDNN would copy both of these to turn them round.
        grad_weight = grad_rows.mT @ rows
        return grad_x, grad_weight, grad_rows.sum(0) if ctx.has_bias else None


class _Bfloat16Linear(Function):
    """Inputs, weights and gradients are rounded for the products; parameters remain float32."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        rows, short = x.flatten(0, -2).bfloat16(), weight.bfloat16()
        ctx.save_for_backward(rows, short)
        ctx.shape, ctx.has_bias = x.shape, bias is not None
        product = (rows @ short.mT).to(x.dtype).view(*x.shape[:-1], -1)
        return product if bias is None else product + bias

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight = ctx.saved_tensors
        grad_rows = grad.flatten(0, -2)
        short = grad_rows.bfloat16()
        given = (short @ weight).to(grad.dtype).view(ctx.shape) if ctx.needs_input_grad[0] else None
        bias = grad_rows.sum(0) if ctx.has_bias else None
        return given, (short.mT @ rows).to(grad.dtype), bias


def in_bfloat16(model: nn.Module) -> nn.Module:
    """The same model; its `Linear` layers multiply in bfloat16 from now on."""
    for layer in model.modules():
        if isinstance(layer, Linear):
            layer.rounds = True
    return model


def _onednn(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x (..., K) and weight (N, K) to (..., N)."""
    product: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return product


def _fits(tensor: Tensor) -> bool:
    plain = tensor.device.type == "cpu" and tensor.dtype == torch.float32
    return ONEDNN and plain and tensor.ndim > 1 and tensor.numel() > 0
