"""SSSD block (AMMSM, Figure 3): depth-wise convolution, sparse activation, SSD, feed-forward."""

from torch import Tensor, nn

from hmrm_lab.models.ammsm.sparse_activation import Selection
from hmrm_lab.models.ammsm.ssd import SSD, SsdBackend
from hmrm_lab.models.layers import Dropout, Linear


class SSSDBlock(nn.Module):
    """All tokens meet their neighbours; the moving ones alone meet each other.

    Every part stands behind a norm and beside a shortcut. Tokens that are not kept have the
    convolution, and pass the SSD and the feed-forward layer by.

    Shapes
    ------
    tokens : (B, side^2, D), row by row
    returns : the same
    """

    def __init__(
        self,
        width: int,
        side: int,
        *,
        expand: int,
        head: int,
        state: int,
        ffn_ratio: float,
        dropout: float,
        reverse: bool,
        backend: SsdBackend,
    ) -> None:
        super().__init__()
        hidden = max(1, round(ffn_ratio * width))
        self.local = LocalMixing(width, side)
        self.mix = nn.Sequential(
            nn.LayerNorm(width),
            SSD(width, expand=expand, head=head, state=state, reverse=reverse, backend=backend),
            Dropout(dropout),
        )
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(width),
            Linear(width, hidden),
            nn.GELU(),
            Linear(hidden, width),
            Dropout(dropout),
        )

    def forward(self, tokens: Tensor, selection: Selection) -> Tensor:
        tokens = tokens + self.local(tokens)
        kept = selection.gather(tokens)
        kept = kept + self.mix(kept)
        return selection.scatter(tokens, kept + self.feed_forward(kept))


class LocalMixing(nn.Module):
    """Norm and depth-wise 3x3 convolution over the map of tokens. (B, side^2, D)."""

    def __init__(self, width: int, side: int) -> None:
        super().__init__()
        self.side = side
        self.norm = nn.LayerNorm(width)
        self.convolve = nn.Conv2d(width, width, 3, padding=1, groups=width)

    def forward(self, tokens: Tensor) -> Tensor:
        return to_tokens(self.convolve(to_map(self.norm(tokens), self.side)))


def to_map(tokens: Tensor, side: int) -> Tensor:
    """(B, side^2, D) to (B, D, side, side), channels last in memory: nothing is copied."""
    return tokens.unflatten(1, (side, side)).movedim(3, 1)


def to_tokens(features: Tensor) -> Tensor:
    """The inverse of `to_map`."""
    return features.movedim(1, 3).flatten(1, 2)
