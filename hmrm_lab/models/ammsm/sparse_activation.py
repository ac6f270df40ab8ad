"""Sparse activation (AMMSM, Figure 3): a layer processes only the tokens that move most."""

import math
from collections.abc import Sequence
from typing import Annotated, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor
from torch.nn import functional as F

from hmrm_lab.errors import ConfigError

STAGES = 4
ALPHA_RANGE = (1.0, 16.0)  # drawn evenly in the logarithm
RATIO_RANGE = (0.2, 1.0)  # drawn evenly

Alpha = Annotated[float, Field(ge=1, le=64)]  # 1 magnifies nothing
Ratio = Annotated[float, Field(gt=0, le=1)]  # share of a stage's tokens; 1 keeps all
Ratios = tuple[Ratio, Ratio, Ratio, Ratio]


class Choice(BaseModel):
    """The magnification factor and the share of tokens that each stage keeps: what is evolved."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    alpha: Alpha
    ratios: Ratios


def make_choice(alpha: float, ratios: Sequence[float]) -> Choice:
    """Make a checked choice, or raise `ConfigError`."""
    try:
        return Choice.model_validate({"alpha": alpha, "ratios": tuple(ratios)})
    except ValidationError:
        hint = f"give an alpha from 1 to 64 and {STAGES} ratios above 0, at most 1"
        raise ConfigError(f"alpha {alpha}, ratios {[*ratios]} do not fit", hint=hint) from None


def draw_choice() -> Choice:
    """Draw a choice by torch's random numbers, for a step of a super-network."""
    alpha, *ratios = torch.rand(1 + STAGES).tolist()
    low, high = map(math.log, ALPHA_RANGE)
    least, most = RATIO_RANGE
    return make_choice(
        math.exp(low + alpha * (high - low)), [least + ratio * (most - least) for ratio in ratios]
    )


class Selection(NamedTuple):
    """The kept tokens of each map: positions (B, k) in rising order, of `tokens` in all."""

    kept: Tensor
    tokens: int

    @property
    def rows(self) -> Tensor:
        """Return the positions among the tokens of all maps. (B k,)"""
        first = torch.arange(len(self.kept), device=self.kept.device) * self.tokens
        return (self.kept + first[:, None]).flatten()

    def gather(self, tokens: Tensor) -> Tensor:
        """Return the kept tokens. (B, L, D) to (B, k, D)."""
        if self.kept.shape[1] == self.tokens:
            return tokens
        return tokens.flatten(0, 1).index_select(0, self.rows).unflatten(0, self.kept.shape)

    def scatter(self, tokens: Tensor, changed: Tensor) -> Tensor:
        """Replace the kept tokens of (B, L, D) by `changed` (B, k, D)."""
        if self.kept.shape[1] == self.tokens:
            return changed
        rows = tokens.flatten(0, 1).index_copy(0, self.rows, changed.flatten(0, 1))
        return rows.view_as(tokens)

    def mask(self) -> Tensor:
        """Return True for the tokens that are kept. (B, L)"""
        none = torch.zeros(len(self.kept), self.tokens, dtype=torch.bool, device=self.kept.device)
        return none.scatter(1, self.kept, True)


def select_moving(motion: Tensor, ratio: float) -> Selection:
    """Select the ceil(ratio L) tokens with the most motion (B, L); there is no gradient."""
    count = count_kept(motion.shape[1], ratio)
    kept = motion.detach().topk(count, dim=1, sorted=False).indices.sort(dim=1).values
    return Selection(kept, motion.shape[1])


def count_kept(tokens: int, ratio: float) -> int:
    """Compute ceil(ratio L), at least one, without rounding errors of the product."""
    return min(tokens, max(1, math.ceil(ratio * tokens - 1e-6)))


def motion_of_tokens(flow: Tensor, side: int) -> Tensor:
    """Average the length of flow over each token's patch. (B, 2, S, S) to (B, 1, side, side)."""
    length = flow.detach().square().sum(1, keepdim=True).sqrt()
    return F.avg_pool2d(length, flow.shape[-1] // side)


def halve_motion(motion: Tensor) -> Tensor:
    """Average the motion of tokens over what the convolution of a halving reads."""
    return F.avg_pool2d(motion, 3, stride=2, padding=1, count_include_pad=False)
