"""Layers of torch's with the same meaning, and never slower on the CPU.

Linear layers and the gradients of what they are given go through oneDNN where torch has it: in
float32 its products are as exact as MKL's, and faster on processors that MKL does not favour.
Dropout draws uniform numbers, which is faster than Bernoulli's. `benchmarks/layers.py` measures
both.

If asked for (`in_bfloat16`), linear layers round what they multiply to bfloat16 and add up in
float32: twice as fast on processors that have such products, with three digits (decision 0012).
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


Inputs = NDArray[Any]


@runtime_checkable
class Estimator(Protocol):
    """A system that learns from all training clips at once.

    Its builder takes the number of classes, and its settings as keyword arguments. `state_dict`
    holds all that was learnt, as tensors, so that a fitted system is stored without any code in
    the file.

    Shapes
    ------
    inputs : (n, C, H, W) float32 flow maps with the channels asked for, normalised, or
        (n, T, S, S) uint8 gray clips; the card says which
    labels : (n,)
    persons : `dataset/subject` of each clip, for choices on other people than those learnt from
    probabilities : (n, K) float32, each clip by itself
    """

    def fit(self, inputs: Inputs, labels: Ints, persons: Sequence[str], *, seed: int) -> None: ...

    def probabilities(self, inputs: Inputs) -> Floats: ...

    def state_dict(self) -> dict[str, Tensor]: ...

    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> None:
        """Take a fitted state over; `RuntimeError` if a tensor is missing or of another shape."""


Features = Annotated[int, Field(ge=1, le=1024)]  # numbers of a token, filters of a layer
Layers = Annotated[int, Field(ge=1, le=64)]
Heads = Annotated[int, Field(ge=1, le=64)]  # how many fit is for the width to say
Dropped = Annotated[float, Field(ge=0, lt=1)]  # share that dropout and its like take away

Blocks = Annotated[int, Field(ge=1, le=448)]  # along a side; how many fit is for the map to say
Bins = Annotated[int, Field(ge=1, le=360)]  # of directions
Radius = Annotated[int, Field(ge=1, le=448)]  # pixels or frames
InnerFolds = Annotated[int, Field(ge=2)]  # groups of training persons, for choices among them


@runtime_checkable
class MultiTask(Protocol):
    """A network with `forward` as every system has it, and this for its training.

    It is one pass: the logits are those that `forward` gives, and the loss is of the same maps.

    Shapes
    ------
    maps : (B, C, H, W)
    returns : logits (B, scales, K), and the extra loss (), already weighted, a mean over clips
    """

    def forward_tasks(self, maps: Tensor) -> tuple[Tensor, Tensor | float]: ...


def forward_tasks(network: nn.Module, maps: Tensor) -> tuple[Tensor, Tensor | float]:
    """The logits of any network, and its extra loss: 0 where it has none."""
    if isinstance(network, MultiTask):
        return network.forward_tasks(maps)
    return network(maps), 0.0


Describe = Callable[[Inputs], Floats]  # one clip's input to (F,) float32
REMEMBERED = 4096  # descriptions kept in a process; 80 MB of the longest

_known: "OrderedDict[str, Floats]" = OrderedDict()
_anew: ContextVar[bool] = ContextVar("anew", default=False)


def remembered(describe: "partial[Floats]") -> Describe:
    """The same description, computed once for a clip.

    It is found by the clip's own pixels and by the settings, so that no fold can hand anything to
    another.
    """
    settings = f"{describe.func.__qualname__} {sorted(describe.keywords.items())}"

    @wraps(describe.func)
    def known(clip: Inputs) -> Floats:
        if _anew.get():
            return describe(clip)
        digest = hashlib.sha256(f"{settings} {clip.shape} {clip.dtype.str}".encode())
        digest.update(np.ascontiguousarray(clip).tobytes())
        name = digest.hexdigest()
        if name not in _known:
            _known[name] = describe(clip)
            while len(_known) > REMEMBERED:
                _known.popitem(last=False)
        return _known[name]

    return known


@contextmanager
def described_anew() -> Iterator[None]:
    """Within it every description is computed, and none is kept: for timing."""
    before = _anew.set(True)
    try:
        yield
    finally:
        _anew.reset(before)
