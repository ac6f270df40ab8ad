"""Transformers over patches of a map: SLSTT, MFDAN and FRL-DGT."""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from hmrm_lab.models.hmrm.region_fusion import CORE_REGIONS, SUB_REGIONS, split_regions
from hmrm_lab.models.interface import Dropped, Features, Heads, Layers, system
from hmrm_lab.models.layers import (
    Dropout,
    Linear,
    TransformerBlock,
    patches,
    transformer,
    width_of_heads,
)

PATCHES = 4  # along a side
STEPS = 3  # of a steady motion up to the apex, in place of a sequence


def as_sequence(maps: Tensor) -> Tensor:
    """Return a sequence (B, T, C, H, H) unchanged, and one map (B, C, H, H) as `STEPS` shares.

    The shares are 1/3, 2/3 and 1 of the map, as if the face moved steadily up to the apex.
    """
    if maps.ndim == 5:
        return maps
    shares = torch.arange(1, STEPS + 1, device=maps.device) / STEPS
    return maps[:, None] * shares[:, None, None, None]


class PatchEncoder(nn.Module):
    """A class token over the patches of a map, through a transformer. (B, C, H, H) to (B, D)."""

    def __init__(self, channels: int, size: int, width: int, depth: int, **layer: Any) -> None:
        super().__init__()
        self.patch = size // PATCHES
        self.embed = Linear(channels * self.patch**2, width)
        self.answer = nn.Parameter(torch.zeros(1, 1, width))
        self.place = nn.Parameter(0.02 * torch.randn(PATCHES**2 + 1, width))
        self.layers = transformer(width, depth, **layer)

    def forward(self, maps: Tensor) -> Tensor:
        tokens = self.embed(patches(maps, self.patch))  # (B, 16, D)
        class_tokens = self.answer.expand(len(tokens), 1, -1)
        return self.layers(torch.cat([class_tokens, tokens], dim=1) + self.place)[:, 0]


@system("slstt")
class SLSTT(nn.Module):
    """A transformer over the patches of each flow map, then an aggregator over time (Zhang 2022).

    The short range is within a patch, the long range between patches, by a class token. An LSTM is
    read at its last state. A sequence (B, T, C, H, H), H = `size`, a multiple of 4, to (B, 1, K);
    of one map (B, C, H, H), the shares of `as_sequence`.
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
        aggregator: Literal["lstm", "mean"] = "lstm",
        dropout: Dropped = 0.1,
    ) -> None:
        super().__init__()
        self.encoder = PatchEncoder(channels, size, width, depth, heads=heads, dropout=dropout)
        self.lstm = nn.LSTM(width, width, batch_first=True) if aggregator == "lstm" else None
        self.head = nn.Linear(width, classes)

    def forward(self, maps: Tensor) -> Tensor:
        sequence = as_sequence(maps)
        over_time = self.encoder(sequence.flatten(0, 1)).unflatten(0, sequence.shape[:2])
        if self.lstm is None:
            return self.head(over_time.mean(1))[:, None]
        return self.head(self.lstm(over_time)[0][:, -1])[:, None]


@system("mfdan")
class MFDAN(nn.Module):
    """At every level the flow branch guides the attention of the image branch (Cai et al. 2024).

    It reads the first two channels; the products of its queries and keys are added to the attention
    logits of the image branch. (B, C, H, H), H = `size`, a multiple of 4, to (B, 1, K).
    """

    def __init__(
        self,
        channels: int,
        size: int,
        classes: int,
        *,
        width: Features = 64,
        levels: Layers = 3,
        heads: Heads = 4,
        drop_key: Dropped = 0.2,
        dropout: Dropped = 0.1,
    ) -> None:
        super().__init__()
        self.patch, self.heads = size // PATCHES, heads
        self.flow_channels = min(2, channels)
        self.embed = Linear(channels * self.patch**2, width)
        self.embed_flow = Linear(self.flow_channels * self.patch**2, width)
        self.place = nn.Parameter(0.02 * torch.randn(PATCHES**2, width))
        self.flow_layers = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), Linear(width, width), nn.GELU(), Dropout(dropout))
            for _ in range(levels)
        )
        self.guides = nn.ModuleList(
            Linear(width, 2 * width_of_heads(width, heads)) for _ in range(levels)
        )
        self.layers = nn.ModuleList(
            TransformerBlock(width, heads=heads, dropout=dropout, drop_key=drop_key)
            for _ in range(levels)
        )
        self.norm = nn.LayerNorm(2 * width)
        self.head = nn.Linear(2 * width, classes)

    def forward(self, maps: Tensor) -> Tensor:
        tokens = self.embed(patches(maps, self.patch)) + self.place  # (B, 16, D)
        flow = self.embed_flow(patches(maps[:, : self.flow_channels], self.patch)) + self.place
        for encode, project, layer in zip(self.flow_layers, self.guides, self.layers, strict=True):
            flow = flow + encode(flow)
            tokens = layer(tokens, self.guide(project(flow)))
        both = torch.cat([tokens, flow], dim=2).mean(1)
        return self.head(self.norm(both))[:, None]

    def guide(self, projected: Tensor) -> Tensor:
        """Compute attention logits from the flow. (B, T, 2 D) to (B, heads, T, T)."""
        split = projected.unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        queries, keys = split  # each (B, heads, T, D / heads)
        return queries @ keys.mT / queries.shape[-1] ** 0.5


@system("frl_dgt")
class FRLDGT(nn.Module):
    """A learnt displacement, then local, global and full-face fusion by attention (Zhai 2023).

    Local: among the four sub-regions of a core region. Global: among the four core regions, each
    the mean of its sub-regions. Full face: among the patches of the whole map. (B, C, H, H),
    H = `size`, a multiple of 28, to (B, 1, K).
    """

    def __init__(
        self,
        channels: int,
        size: int,
        classes: int,
        *,
        width: Features = 64,
        depth: Layers = 1,
        heads: Heads = 4,
        filters: Features = 16,
        dropout: Dropped = 0.1,
    ) -> None:
        super().__init__()
        self.patch = size // PATCHES
        pixels = channels * self.patch**2
        self.correction = nn.Sequential(
            nn.Conv2d(channels, filters, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(filters, filters, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(filters, channels, 3, padding=1),
        )
        self.embed_region, self.embed_patch = Linear(pixels, width), Linear(pixels, width)
        self.local, self.overall, self.full_face = (
            Fusion(tokens, width, depth, heads=heads, dropout=dropout)
            for tokens in (SUB_REGIONS, CORE_REGIONS, PATCHES**2)
        )
        self.dropout = Dropout(dropout)
        self.head = nn.Linear(2 * width, classes)

    def forward(self, maps: Tensor) -> Tensor:
        motion = maps + self.correction(maps)
        regions = self.embed_region(split_regions(motion)[1].flatten(2))  # (B, 16, D)
        local = self.local(regions.unflatten(1, (CORE_REGIONS, SUB_REGIONS)).flatten(0, 1))
        areas = self.overall(local.mean(1).unflatten(0, (-1, CORE_REGIONS)))  # (B, 4, D)
        face = self.full_face(self.embed_patch(patches(motion, self.patch)))  # (B, 16, D)
        both = torch.cat([areas.mean(1), face.mean(1)], dim=1)
        return self.head(self.dropout(both))[:, None]


class Fusion(nn.Module):
    """A linear layer across tokens, then attention among them. (B, T, D)."""

    def __init__(self, tokens: int, width: int, depth: int, **layer: Any) -> None:
        super().__init__()
        self.place = nn.Parameter(0.02 * torch.randn(tokens, width))
        self.mix = Linear(tokens, tokens)
        self.layers = transformer(width, depth, **layer)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.layers(tokens + self.mix(tokens.mT).mT + self.place)
