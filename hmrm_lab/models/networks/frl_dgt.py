"""FRL-DGT: displacement generation and three fusions by transformers (Zhai et al., CVPR 2023)."""

import torch
from torch import Tensor, nn

from hmrm_lab.models.hmrm.region_fusion import CORE_REGIONS, SUB_REGIONS, split_regions
from hmrm_lab.models.layers import Dropout, Dropped, Features, Heads, Layers, Linear
from hmrm_lab.models.networks.backbone import MAP_RECIPE
from hmrm_lab.models.transformer import TransformerBlock, patches
from hmrm_lab.registry import Card, systems

PATCHES = 4  # along a side of the full face

CARD = Card(
    takes="flow maps",
    citation="Zhai et al., Feature Representation Learning with Adaptive Displacement Generation"
    " and Transformer Fusion for Micro-Expression Recognition, CVPR 2023",
    fidelity="sketch",
    departures=(
        "built from the abstract: layers, widths and losses are not public to us",
        "the displacement generator sees a flow map and corrects it; the authors' sees onset and"
        " apex frames and has self-supervised losses of its own, which need frames",
        "regions of action units are HMRM's 4 core regions of 4 sub-regions, on a grid",
        "recipe ours",
    ),
)


@systems.register("frl_dgt", recipe=MAP_RECIPE, source="Zhai et al. 2023", card=CARD)
class FRLDGT(nn.Module):
    """A learnt displacement, then local, global and full-face fusion by attention.

    Local: among the four sub-regions of a core region. Global: among the four core regions, each
    the mean of its sub-regions. Full face: among the patches of the whole map.

    Shapes
    ------
    maps : (B, C, H, H), H = `size`, a multiple of 28
    returns : (B, 1, K); K = `classes`
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

        def fusion(tokens: int) -> "Fusion":
            return Fusion(tokens, width, depth=depth, heads=heads, dropout=dropout)

        self.embed_region = Linear(pixels, width)
        self.embed_patch = Linear(pixels, width)
        self.local = fusion(SUB_REGIONS)
        self.overall = fusion(CORE_REGIONS)
        self.full_face = fusion(PATCHES**2)
        self.dropout = Dropout(dropout)
        self.head = nn.Linear(2 * width, classes)

    def displacement(self, maps: Tensor) -> Tensor:
        """Add the learnt correction to a map."""
        return maps + self.correction(maps)

    def forward(self, maps: Tensor) -> Tensor:
        motion = self.displacement(maps)
        regions = self.embed_region(split_regions(motion)[1].flatten(2))  # (B, 16, D)
        local = self.local(regions.unflatten(1, (CORE_REGIONS, SUB_REGIONS)).flatten(0, 1))
        areas = self.overall(local.mean(1).unflatten(0, (-1, CORE_REGIONS)))  # (B, 4, D)
        face = self.full_face(self.embed_patch(patches(motion, self.patch)))  # (B, 16, D)
        both = torch.cat([areas.mean(1), face.mean(1)], dim=1)
        return self.head(self.dropout(both))[:, None]


class Fusion(nn.Module):
    """A linear layer across tokens, then attention among them. (B, T, D)."""

    def __init__(self, tokens: int, width: int, *, depth: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.place = nn.Parameter(0.02 * torch.randn(tokens, width))
        self.mix = Linear(tokens, tokens)
        self.layers = nn.Sequential(
            *(TransformerBlock(width, heads=heads, dropout=dropout) for _ in range(depth)),
            nn.LayerNorm(width),
        )

    def forward(self, tokens: Tensor) -> Tensor:
        return self.layers(tokens + self.mix(tokens.mT).mT + self.place)
