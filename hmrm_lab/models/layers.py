"""Layers, option types and the interface of estimators that systems share.

`Linear` and `Dropout` have the meaning of torch's and are never slower on the CPU: products go
through oneDNN where torch has it, as exact in float32 as MKL's and faster on processors that MKL
does not favour; dropout draws uniform numbers, not Bernoulli's (`benchmarks/layers.py`).

After `in_bfloat16` linear layers multiply in bfloat16 and add up in float32: twice as fast on
processors that have such products, with three digits (decision 0012).
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial, wraps
from typing import Annotated, Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from hmrm_lab.records import Floats, Ints

TINY = 1e-30  # no division by zero where p = 1
ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


class Linear(nn.Linear):
    """`nn.Linear` by oneDNN, or with products in bfloat16. (..., in) to (..., out)."""

    rounds = False

    def forward(self, input: Tensor) -> Tensor:
        if self.rounds:
            return _Bfloat16Linear.apply(input, self.weight, self.bias)
        if _fits(input):
            return _OneDnnLinear.apply(input, self.weight, self.bias)
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
        # oneDNN would copy both of these to transpose them.
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
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = (short @ weight).to(grad.dtype).view(ctx.shape)
        bias = grad_rows.sum(0) if ctx.has_bias else None
        return grad_x, (short.mT @ rows).to(grad.dtype), bias


def in_bfloat16(model: nn.Module) -> nn.Module:
    """Let the `Linear` layers of a model multiply in bfloat16; returns the model."""
    for layer in model.modules():
        if isinstance(layer, Linear):
            layer.rounds = True
    return model


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Put a model in evaluation mode, and back in its own afterwards."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def _onednn(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Multiply x (..., K) by weight (N, K) to (..., N)."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


def _fits(tensor: Tensor) -> bool:
    plain = tensor.device.type == "cpu" and tensor.dtype == torch.float32
    return ONEDNN and plain and tensor.ndim > 1 and tensor.numel() > 0


Inputs = NDArray[Any]


@runtime_checkable
class Estimator(Protocol):
    """A system that learns from all training clips at once, without epochs.

    Its builder takes the number of classes, and its settings as keyword arguments. `state_dict`
    holds everything learnt, as tensors.

    Shapes
    ------
    inputs : (n, C, H, W) float32 flow maps of the named channels, normalised, or
        (n, T, S, S) uint8 gray clips; the card says which
    labels : (n,)
    subjects : `dataset/subject` of each clip, for choices on held-out subjects
    probabilities : (n, K) float32, each clip by itself
    """

    def fit(self, inputs: Inputs, labels: Ints, subjects: Sequence[str], *, seed: int) -> None: ...

    def probabilities(self, inputs: Inputs) -> Floats: ...

    def state_dict(self) -> dict[str, Tensor]: ...

    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> None:
        """Load a fitted state; raise `RuntimeError` if a tensor is missing or of another shape."""


Features = Annotated[int, Field(ge=1, le=1024)]  # numbers of a token, filters of a layer
Layers = Annotated[int, Field(ge=1, le=64)]
Heads = Annotated[int, Field(ge=1, le=64)]  # the width limits them further
Dropped = Annotated[float, Field(ge=0, lt=1)]  # share that dropout removes

Blocks = Annotated[int, Field(ge=1, le=448)]  # along a side; the map limits them further
Bins = Annotated[int, Field(ge=1, le=360)]  # of directions
Radius = Annotated[int, Field(ge=1, le=448)]  # pixels or frames
InnerFolds = Annotated[int, Field(ge=2)]  # groups of training subjects


Descriptor = Callable[[Inputs], Floats]  # one clip's input to (F,) float32
CACHED = 4096  # descriptors of clips kept in a process; 80 MB of the longest

_cached: "OrderedDict[str, Floats]" = OrderedDict()
_bypassed: ContextVar[bool] = ContextVar("bypassed", default=False)


def cached_descriptor(describe: "partial[Floats]") -> Descriptor:
    """Compute a descriptor once for each clip.

    It is found by the clip's own pixels and by the settings, so that nothing passes between folds.
    """
    settings = f"{describe.func.__qualname__} {sorted(describe.keywords.items())}"

    @wraps(describe.func)
    def cached(clip: Inputs) -> Floats:
        if _bypassed.get():
            return describe(clip)
        digest = hashlib.sha256(f"{settings} {clip.shape} {clip.dtype.str}".encode())
        digest.update(np.ascontiguousarray(clip).tobytes())
        name = digest.hexdigest()
        if name not in _cached:
            _cached[name] = describe(clip)
            while len(_cached) > CACHED:
                _cached.popitem(last=False)
        return _cached[name]

    return cached


@contextmanager
def bypass_cache() -> Iterator[None]:
    """Compute every descriptor again and cache none, for timing."""
    before = _bypassed.set(True)
    try:
        yield
    finally:
        _bypassed.reset(before)
