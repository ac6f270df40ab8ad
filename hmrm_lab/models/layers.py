"""Layers that systems share: linear layers and dropout, attention, the transformer block, patches.

`Linear` and `Dropout` are torch's, never slower on the CPU (`benchmarks/layers.py`): products go
through oneDNN, as exact in float32 as MKL's, and dropout draws uniform numbers, not Bernoulli's.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from hmrm_lab.errors import ConfigError

Draw = Callable[[Tensor], Tensor]  # uniform random numbers like a tensor

TINY = 1e-30  # no division by zero where p = 1
ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


class Linear(nn.Linear):
    """`nn.Linear` by oneDNN, or with products in bfloat16. (..., in) to (..., out)."""

    rounds = False

    def forward(self, input: Tensor) -> Tensor:
        if self.rounds:
            product = F.linear(input.bfloat16(), self.weight.bfloat16()).to(input.dtype)
            return product if self.bias is None else product + self.bias
        plain = input.device.type == "cpu" and input.dtype == torch.float32
        if ONEDNN and plain and input.ndim > 1 and input.numel() > 0 and not is_stacked():
            return _OneDnnLinear.apply(input, self.weight, self.bias)
        return F.linear(input, self.weight, self.bias)


class Dropout(nn.Dropout):
    """`nn.Dropout`, faster. Any shape."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return input
        kept = uniform_like(input) >= self.p
        return input * kept / max(1 - self.p, TINY)


_draws: list[Draw] = []  # of stacked folds; global, as torch's own random numbers are


def is_stacked() -> bool:
    """Whether the network is that of several folds, each with its own weights, under `vmap`."""
    return bool(_draws)


@contextmanager
def stacked_folds(draws: Sequence[Draw]) -> Iterator[None]:
    """Let each of the stacked folds draw its random numbers by itself."""
    _draws[:] = draws
    try:
        yield
    finally:
        _draws.clear()


def uniform_like(x: Tensor) -> Tensor:
    """Draw numbers in 0..1 of the shape of x."""
    return _DrawByFold.apply(x.detach()) if is_stacked() else torch.rand_like(x)


class _DrawByFold(Function):
    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return torch.rand_like(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.mark_non_differentiable(output)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int], x: Tensor) -> tuple[Tensor, int]:
        folds = x.movedim(in_dims[0], 0)
        return torch.stack([draw(one) for draw, one in zip(_draws, folds, strict=True)]), 0


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


def _onednn(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Multiply x (..., K) by weight (N, K) to (..., N)."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


def in_bfloat16(model: nn.Module) -> nn.Module:
    """Let layers multiply in bfloat16, up to twice as fast (decision 0012)."""
    for layer in model.modules():
        if hasattr(layer, "rounds"):
            layer.rounds = True  # type: ignore[assignment]
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


class Attention(nn.Module):
    """Multi-head self-attention (Vaswani et al. 2017). (B, T, D) to (B, T, D).

    Of a width that the heads do not divide, the rest is unused, as in NesT. `drop_key` hides keys
    at random while training (DropKey, Li et al., CVPR 2023). Dropout is on the weights, and on the
    output unless `drop_output` is off.
    """

    def __init__(
        self,
        width: int,
        *,
        heads: int,
        dropout: float = 0.0,
        drop_output: bool = True,
        drop_key: float = 0.0,
        qkv_bias: bool = True,
    ) -> None:
        super().__init__()
        inner = width_of_heads(width, heads)
        self.heads, self.drop_key, self.drop_output = heads, drop_key, drop_output
        self.project_in = Linear(width, 3 * inner, bias=qkv_bias)
        self.project_out = Linear(inner, width)
        self.dropout = Dropout(dropout)

    def forward(self, tokens: Tensor, guide: Tensor | None = None) -> Tensor:
        """Attend; `guide` (B, heads, T, T) is added to the logits."""
        queries, keys, values = self._split(tokens)
        weights = self.dropout(self._weigh(queries, keys, guide))
        output: Tensor = self.project_out((weights @ values).transpose(1, 2).flatten(2))
        return self.dropout(output) if self.drop_output else output

    def weights(self, tokens: Tensor, guide: Tensor | None = None) -> Tensor:
        """Return how much each token takes from each, (B, heads, T, T): rows add up to one."""
        queries, keys, _ = self._split(tokens)
        return self._weigh(queries, keys, guide)

    def _split(self, tokens: Tensor) -> Tensor:
        """Project to queries, keys and values. (3, B, heads, T, D / heads)."""
        return self.project_in(tokens).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)

    def _weigh(self, queries: Tensor, keys: Tensor, guide: Tensor | None) -> Tensor:
        logits = queries @ keys.mT / queries.shape[-1] ** 0.5
        if guide is not None:
            logits = logits + guide
        if self.training and self.drop_key:
            hidden = uniform_like(logits) < self.drop_key
            logits = logits.masked_fill(hidden, -1e4)  # finite: all keys of a query may be hidden
        return logits.softmax(-1)


def width_of_heads(width: int, heads: int) -> int:
    """Return the largest width up to this one that the heads divide, or raise `ConfigError`."""
    if not 1 <= heads <= width:
        hint = "take at least one head, and a width that is no smaller than the heads"
        raise ConfigError(f"{heads} heads do not fit into a width of {width}", hint=hint)
    return width // heads * heads


class TransformerBlock(nn.Module):
    """Pre-norm attention and feed-forward layer, each with a shortcut. (B, T, D)."""

    def __init__(
        self,
        width: int,
        *,
        heads: int,
        ffn_ratio: float = 4.0,
        dropout: float = 0.0,
        activation: Callable[[], nn.Module] = nn.GELU,
        **attention: Any,
    ) -> None:
        super().__init__()
        hidden = max(1, int(width * ffn_ratio))
        self.norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads=heads, dropout=dropout, **attention)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(width),
            Linear(width, hidden),
            activation(),
            Dropout(dropout),
            Linear(hidden, width),
            Dropout(dropout),
        )

    def forward(self, tokens: Tensor, guide: Tensor | None = None) -> Tensor:
        tokens = tokens + self.attention(self.norm(tokens), guide)
        return tokens + self.feed_forward(tokens)


def transformer(width: int, depth: int, **layer: Any) -> nn.Sequential:
    """Make transformer blocks with a layer norm at the end. (B, T, D)."""
    blocks = (TransformerBlock(width, **layer) for _ in range(depth))
    return nn.Sequential(*blocks, nn.LayerNorm(width))


def patches(maps: Tensor, patch: int) -> Tensor:
    """Cut non-overlapping patches, row by row. (B, C, H, H) to (B, (H / patch)^2, patch^2 C)."""
    return F.unfold(maps, patch, stride=patch).mT
