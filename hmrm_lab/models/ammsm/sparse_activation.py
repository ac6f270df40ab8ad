"""Sparse activation (AMMSM, Figure 3): only the tokens that move most go through a layer."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True, eq=False)
class Selection:
    """Which tokens of each map are kept, the same number of all.

    Shapes
    ------
    kept : (B, k), positions of tokens in rising order: row by row over the face
    tokens : how many there are of each map
    """

    kept: Tensor
    tokens: int

    @property
    def rows(self) -> Tensor:
        """The positions among the tokens of all maps, one map after the other. (B k,)"""
        first = torch.arange(len(self.kept), device=self.kept.device) * self.tokens
        return (self.kept + first[:, None]).flatten()

    def gather(self, tokens: Tensor) -> Tensor:
        """The kept tokens. (B, L, D) to (B, k, D)."""
        if self.kept.shape[1] == self.tokens:
            return tokens
        return tokens.flatten(0, 1).index_select(0, self.rows).unflatten(0, self.kept.shape)

    def scatter(self, tokens: Tensor, changed: Tensor) -> Tensor:
        """The tokens (B, L, D) with the kept ones (B, k, D) in their places."""
        if self.kept.shape[1] == self.tokens:
            return changed
        rows = tokens.flatten(0, 1).index_copy(0, self.rows, changed.flatten(0, 1))
        return rows.view_as(tokens)

    def mask(self) -> Tensor:
        """True for the tokens that are kept. (B, L)"""
        none = torch.zeros(len(self.kept), self.tokens, dtype=torch.bool, device=self.kept.device)
        return none.scatter(1, self.kept, True)


def select_moving(motion: Tensor, ratio: float) -> Selection:
    """The ceil(ratio L) tokens with the most motion. (B, L)

    A choice has no gradient: what is kept learns, what is not passes by.
    """
    tokens = motion.shape[1]
    count = count_kept(tokens, ratio)
    kept = motion.detach().topk(count, dim=1, sorted=False).indices.sort(dim=1).values
    return Selection(kept, tokens)


def count_kept(tokens: int, ratio: float) -> int:
    """ceil(ratio L), one at least; rounding errors of the product do not count."""
    return min(tokens, max(1, math.ceil(ratio * tokens - 1e-6)))


def motion_of_tokens(flow: Tensor, side: int) -> Tensor:
    """The mean length of flow over each token's patch. (B, 2, S, S) to (B, 1, side, side)."""
    length = flow.detach().square().sum(1, keepdim=True).sqrt()
    return F.avg_pool2d(length, flow.shape[-1] // side)


def halve_motion(motion: Tensor) -> Tensor:
    """The motion of tokens after down-sampling: the mean over what its convolution reads."""
    return F.avg_pool2d(motion, 3, stride=2, padding=1, count_include_pad=False)
