"""HTNet (Wang et al. 2024): NesT (Zhang et al., AAAI 2022) over areas of the face."""

from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from hmrm_lab.models.interface import Dropped, Features, Heads, Layers, system
from hmrm_lab.models.layers import Linear, TransformerBlock, patches

SIDE = 4  # tokens along a side: patches of 7 x 7 in a map of 28 x 28
LEVELS = {
    "published": ((4, 4), (2, 2), (1, 1)),
    "areas": ((4, 2), (2, 1), (2, 1)),
}  # tokens and blocks along a side, at each level


@system("htnet")
class HTNet(nn.Module):
    """Three levels of transformers within blocks of the face, 139.6 M parameters.

    `published`: 16 blocks, then 4, then 1, each of one token, which attends to itself with weight
    1: queries and keys get no gradient (decision 0014). `areas`: the four areas of the face, then
    all of the map of 2 x 2, twice; four tokens attend to each other at every level. A position is
    one number per token, which layer norms remove again: only the aggregation reads it.

    (B, C, H, H), H = `size`, a multiple of 4, to (B, 1, K).
    """

    def __init__(
        self,
        channels: int,
        size: int,
        classes: int,
        *,
        width: Features = 256,  # twice and four times that at the levels above
        heads: Heads = 3,  # likewise
        repeats: tuple[Layers, Layers, Layers] = (2, 2, 10),
        ffn_ratio: Annotated[float, Field(gt=0, le=16)] = 4.0,
        attention: Literal["published", "areas"] = "published",
        dropout: Dropped = 0.0,
    ) -> None:
        super().__init__()
        self.patch = size // SIDE
        widths, sides = (width, 2 * width, 4 * width), LEVELS[attention]
        shared: dict[str, Any] = {"ffn_ratio": ffn_ratio, "dropout": dropout}
        self.embed = Linear(channels * self.patch**2, width)
        self.levels = nn.ModuleList(
            Level(*sides[n], repeats[n], widths[n], heads=heads * 2**n, **shared) for n in range(3)
        )
        self.aggregations = nn.ModuleList(
            Aggregation(widths[n], widths[n + 1], sides[n][0], sides[n + 1][0]) for n in range(2)
        )
        self.norm = nn.LayerNorm(widths[2])
        self.head = nn.Linear(widths[2], classes)

    def forward(self, maps: Tensor) -> Tensor:
        tokens = self.levels[0](self.embed(patches(maps, self.patch)))  # (B, 16, D)
        for aggregate, level in zip(self.aggregations, self.levels[1:], strict=True):
            tokens = level(aggregate(tokens))  # (B, 4, 2 D), then (B, 1 or 4, 4 D)
        return self.head(self.norm(tokens).mean(1))[:, None]


class Level(nn.Module):
    """Transformer layers within each block of the map. (B, side^2, D)."""

    def __init__(self, side: int, blocks: int, repeats: int, width: int, **layer: Any) -> None:
        super().__init__()
        self.side, self.blocks = side, blocks
        self.place = nn.Parameter(torch.randn((side // blocks) ** 2))
        self.layers = nn.Sequential(
            *(TransformerBlock(width, qkv_bias=False, **layer) for _ in range(repeats))
        )

    def forward(self, tokens: Tensor) -> Tensor:
        within = blocks_of(tokens, self.side, self.blocks) + self.place[:, None]
        return from_blocks(self.layers(within), self.side, self.blocks)


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


class Aggregation(nn.Module):
    """A convolution across blocks and max pooling. (B, side^2, D) to (B, side_out^2, E)."""

    def __init__(self, width: int, width_out: int, side: int, side_out: int) -> None:
        super().__init__()
        self.side = side
        self.convolve = nn.Conv2d(width, width_out, kernel_size=3, padding=1)
        self.norm = nn.LayerNorm(width_out)
        pool = nn.MaxPool2d(3, stride=side // side_out, padding=1)
        self.pool = nn.Identity() if side == side_out else pool

    def forward(self, tokens: Tensor) -> Tensor:
        grid = self.convolve(tokens.mT.unflatten(2, (self.side, self.side)))
        grid = self.norm(grid.movedim(1, 3)).movedim(3, 1)  # (B, E, side, side)
        return self.pool(grid).flatten(2).mT
