"""SLSTT: a vision transformer on long-term flow and an aggregator over time (Zhang et al. 2022)."""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from hmrm_lab.models.layers import Dropped, Features, Heads, Layers, Linear
from hmrm_lab.models.networks.backbone import MAP_RECIPE
from hmrm_lab.models.transformer import TransformerBlock, patches
from hmrm_lab.registry import Card, systems

PATCHES = 4  # along a side

CARD = Card(
    takes="flow maps",
    citation="Zhang et al., Short and Long Range Relation Based Spatio-Temporal Transformer for"
    " Micro-Expression Recognition, IEEE Transactions on Affective Computing 2022",
    fidelity="adapted",
    departures=(
        "the flow from the onset to each frame is not in the data: the frames on the way to the"
        " apex are the apex map times 1/T ... T/T, as if the face moved steadily",
        "3 layers of width 64 on 4 x 4 patches, and one LSTM layer of 64, from scratch; the"
        " authors take ViT-B/16 (12 layers of 768) with pre-trained weights and three LSTM layers"
        " of 512",
        "recipe ours",
    ),
)


@systems.register("slstt", recipe=MAP_RECIPE, source="Zhang et al. 2022", card=CARD)
class SLSTT(nn.Module):
    """A transformer over the patches of each flow map, then an aggregator over time.

    The short range is within a patch, the long range between patches, by a class token. The
    aggregator is an LSTM, read at its last state, or the mean.

    Shapes
    ------
    maps : (B, C, H, H), H = `size`, a multiple of 4
    returns : (B, 1, K); K = `classes`
    """

    def __init__(
        self,
        channels: int,
        size: int,
        classes: int,
        *,
        width: Features = 64,
        depth: Layers = 3,
        heads: Heads = 4,
        frames: Annotated[int, Field(ge=1, le=64)] = 3,
        aggregator: Literal["lstm", "mean"] = "lstm",
        dropout: Dropped = 0.1,
    ) -> None:
        super().__init__()
        self.patch, self.frames = size // PATCHES, frames
        self.embed = Linear(channels * self.patch**2, width)
        self.answer = nn.Parameter(torch.zeros(1, 1, width))
        self.place = nn.Parameter(0.02 * torch.randn(PATCHES**2 + 1, width))
        self.layers = nn.Sequential(
            *(TransformerBlock(width, heads=heads, dropout=dropout) for _ in range(depth))
        )
        self.norm = nn.LayerNorm(width)
        self.lstm = nn.LSTM(width, width, batch_first=True) if aggregator == "lstm" else None
        self.head = nn.Linear(width, classes)

    def forward(self, maps: Tensor) -> Tensor:
        shares = torch.arange(1, self.frames + 1, device=maps.device) / self.frames
        motion = maps[:, None] * shares[:, None, None, None]  # (B, T, C, H, H)
        tokens = self.embed(patches(motion.flatten(0, 1), self.patch))  # (B T, 16, D)
        class_tokens = self.answer.expand(len(tokens), 1, -1)
        encoded = self.layers(torch.cat([class_tokens, tokens], dim=1) + self.place)
        over_time = self.norm(encoded[:, 0]).unflatten(0, (-1, self.frames))  # (B, T, D)
        if self.lstm is None:
            return self.head(over_time.mean(1))[:, None]
        return self.head(self.lstm(over_time)[0][:, -1])[:, None]
