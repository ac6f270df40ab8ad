"""Layers of torch's with the same meaning, and never slower on the CPU.

Linear layers and the gradients of what they are given go through oneDNN where torch has it: in
float32 its products are as exact as MKL's, and faster on processors that MKL does not favour.
Dropout draws uniform numbers, which is faster than Bernoulli's. `benchmarks/layers.py` measures
both.
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
    """`nn.Linear` by oneDNN. (..., in) to (..., out)."""

    def forward(self, input: Tensor) -> Tensor:
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


def _onednn(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x (..., K) and weight (N, K) to (..., N)."""
    product: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return product


def _fits(tensor: Tensor) -> bool:
    plain = tensor.device.type == "cpu" and tensor.dtype == torch.float32
    return ONEDNN and plain and tensor.ndim > 1 and tensor.numel() > 0
