"""The pre-norm transformer block of the compared systems, and HMRM's attention."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from hmrm_lab.errors import ConfigError
from hmrm_lab.models.layers import Dropout, Linear


class Attention(nn.Module):
    """Multi-head self-attention (Vaswani et al. 2017). (B, T, D) to (B, T, D).

    Heads are `width // heads` wide: of a width that they do not divide, the rest is unused, as in
    NesT. `drop_key` hides keys at random while training, before the softmax (DropKey, Li et al.,
    CVPR 2023). Dropout is on the weights, and on the output unless `drop_output` is off.
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
            hidden = torch.rand_like(logits) < self.drop_key
            logits = logits.masked_fill(hidden, -1e4)  # finite: all keys of a query may be hidden
        return logits.softmax(-1)


def width_of_heads(width: int, heads: int) -> int:
    """Return the largest width up to this one that the heads divide, or raise `ConfigError`."""
    if not 1 <= heads <= width:
        raise ConfigError(
            f"{heads} heads do not fit into a width of {width}",
            hint="take at least one head, and a width that is no smaller than the heads",
        )
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
        drop_key: float = 0.0,
        qkv_bias: bool = True,
        activation: Callable[[], nn.Module] = nn.GELU,
    ) -> None:
        super().__init__()
        hidden = max(1, int(width * ffn_ratio))
        self.norm = nn.LayerNorm(width)
        self.attention = Attention(
            width, heads=heads, dropout=dropout, drop_key=drop_key, qkv_bias=qkv_bias
        )
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


def patches(maps: Tensor, patch: int) -> Tensor:
    """Cut non-overlapping patches, row by row. (B, C, H, H) to (B, (H / patch)^2, patch^2 C)."""
    return nn.functional.unfold(maps, patch, stride=patch).mT


def blocks_of(tokens: Tensor, side: int, blocks: int) -> Tensor:
    """Make a sequence of the tokens of each of `blocks` x `blocks` blocks of a map.

    (B, side^2, D), row by row, to (B blocks^2, (side / blocks)^2, D).
    """
    inner = side // blocks
    grid = tokens.unflatten(1, (blocks, inner, blocks, inner))
    return grid.transpose(2, 3).flatten(3, 4).flatten(0, 2)


def from_blocks(blocks_tokens: Tensor, side: int, blocks: int) -> Tensor:
    """Invert `blocks_of`."""
    inner = side // blocks
    grid = blocks_tokens.unflatten(0, (-1, blocks, blocks)).unflatten(3, (inner, inner))
    return grid.transpose(2, 3).flatten(1, 4)
