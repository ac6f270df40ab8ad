"""Temporal stream (AMMSM, Figure 2): magnified flow to tokens, four stages of SSSD blocks."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from hmrm_lab.models.ammsm.sparse_activation import (
    Selection,
    halve_motion,
    motion_of_tokens,
    select_moving,
)
from hmrm_lab.models.ammsm.ssd import SSSDBlock, TokenConvolution
from hmrm_lab.models.layers import Linear, TransformerBlock, patches

SIDES = (14, 7, 4, 2)  # tokens along a side, stage by stage
ATTENTIVE = 2  # so many of the last stages end in self-attention
HEAD = 32  # channels of a head of self-attention


class TemporalStream(nn.Module):
    """From flow to the vector that is classified; `block` are options of `SSSDBlock`.

    Flow is (B, 2, S, S), S a multiple of 14; tokens are (B, side^2, width), twice the width from
    stage to stage.
    """

    def __init__(self, size: int, *, width: int, depths: Sequence[int], **block: Any) -> None:
        super().__init__()
        self.patch = size // SIDES[0]
        self.widths = [width * 2**number for number in range(len(SIDES))]
        self.embed = Linear(2 * self.patch**2, width)
        self.place = nn.Parameter(0.02 * torch.randn(SIDES[0] ** 2, width))
        shapes = enumerate(zip(self.widths, SIDES, depths, strict=True))
        self.stages = nn.ModuleList(
            Stage(*shape, attentive=number >= len(SIDES) - ATTENTIVE, **block)
            for number, shape in shapes
        )
        self.halvings = nn.ModuleList(
            TokenConvolution(side, *widths, stride=2)
            for side, widths in zip(SIDES, pairwise(self.widths), strict=False)
        )
        self.norm = nn.LayerNorm(self.widths[-1])

    def begin(self, flow: Tensor) -> Tensor:
        """Embed patches as tokens. (B, 2, S, S) to (B, 196, width)."""
        return self.embed(patches(flow, self.patch)) + self.place

    def run(self, stages: range, tokens: Tensor, selections: Sequence[Selection]) -> Tensor:
        """Run these stages, each but the first after its halving."""
        for number in stages:
            if number:
                tokens = self.halvings[number - 1](tokens)
            tokens = self.stages[number](tokens, selections[number])
        return tokens

    def end(self, tokens: Tensor) -> Tensor:
        """Average the last tokens. (B, 4, D) to (B, D)."""
        return self.norm(tokens).mean(1)


def select_tokens(flow: Tensor, ratios: Sequence[float]) -> list[Selection]:
    """Select the tokens that each stage keeps, by the flow (B, 2, S, S)."""
    motions = [motion_of_tokens(flow, SIDES[0])]
    for _ in pairwise(SIDES):
        motions.append(halve_motion(motions[-1]))
    both = zip(motions, ratios, strict=True)
    return [select_moving(motion.flatten(1), ratio) for motion, ratio in both]


class Stage(nn.Module):
    """Blocks on one map of tokens; every second scan is reversed. (B, side^2, D).

    The last block of an attentive stage is self-attention over all of its tokens.
    """

    def __init__(self, width: int, side: int, depth: int, *, attentive: bool, **block: Any) -> None:
        super().__init__()
        sparse = depth - 1 if attentive else depth
        self.blocks = nn.ModuleList(
            SSSDBlock(width, side, reverse=number % 2 == 1, **block) for number in range(sparse)
        )
        self.attention = nn.Sequential()
        if attentive:
            shared = {name: block[name] for name in ("ffn_ratio", "dropout")}
            self.attention.append(TransformerBlock(width, heads=max(1, width // HEAD), **shared))

    def forward(self, tokens: Tensor, selection: Selection) -> Tensor:
        for block in self.blocks:
            tokens = block(tokens, selection)
        return self.attention(tokens)
