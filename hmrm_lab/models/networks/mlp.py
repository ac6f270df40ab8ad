"""The baseline: a perceptron over regions of the map."""

from typing import Literal

import torch
from torch import Tensor, nn

from hmrm_lab.models.hmrm.region_fusion import (
    CORE_REGIONS,
    MAP_SIDE,
    SUB_REGIONS,
    WINDOW,
    split_regions,
)
from hmrm_lab.models.layers import Dropout, Dropped, Features, Linear
from hmrm_lab.models.networks.backbone import recipe
from hmrm_lab.registry import Card, Recipe, systems

# HMRM's default preset without what has no meaning here
RECIPE: Recipe = {
    **recipe(
        *("u", "v", "magnitude"),
        augment={"flip": True, "shift_px": 2, "scale": 0.1, "rotate_deg": 5.0},
        loss={"class_weight_power": 0.75, "label_smoothing": 0.1},
        epochs=24,
        batch=64,
        lr=2e-3,
        schedule="cosine",
        warmup_epochs=3,
        ema=0.99,
    ),
    "evaluation": {"tta_flip": True, "tta_shift_px": 1},
}

CARD = Card(
    takes="flow maps",
    citation="hmrm-lab: a perceptron over the regions of HMRM's Algorithm 1",
    fidelity="faithful",
    departures=(
        "a baseline of this project's own, of which nothing is published",
        "on published maps u and v are scaled each by its own RMS before magnitude, and not turned",
    ),
)

REGIONS = {
    "core": CORE_REGIONS,
    "sub": CORE_REGIONS * SUB_REGIONS,
    "both": CORE_REGIONS * (1 + SUB_REGIONS),
}


@systems.register("mlp", recipe=RECIPE, source="hmrm-lab", card=CARD)
class RegionMLP(nn.Module):
    """A shared layer for each region, a layer for all of them, and a linear head.

    The regions are HMRM's: 4 core regions at half resolution, then 16 sub-regions, four of each
    core region in turn. The recipe is HMRM's default preset without MotionMix and without heads
    per granularity, not tuned.

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
        width: Features = 32,
        hidden: Features = 64,
        regions: Literal["core", "sub", "both"] = "both",
        dropout: Dropped = 0.4,
    ) -> None:
        super().__init__()
        self.regions = regions
        pixels = WINDOW**2 * channels * (size // MAP_SIDE) ** 2
        self.embed = nn.Sequential(Linear(pixels, width), nn.GELU())
        self.mix = nn.Sequential(
            Dropout(dropout), Linear(REGIONS[regions] * width, hidden), nn.GELU(), Dropout(dropout)
        )
        self.head = nn.Linear(hidden, classes)

    def tokens(self, maps: Tensor) -> Tensor:
        """Flatten the regions. (B, R, 49 P C), R = 4, 16 or 20; P as in `split_regions`."""
        coarse, fine = split_regions(maps)
        chosen = {"core": [coarse], "sub": [fine], "both": [coarse, fine]}[self.regions]
        return torch.cat(chosen, dim=1).flatten(2)

    def forward(self, maps: Tensor) -> Tensor:
        return self.head(self.mix(self.embed(self.tokens(maps)).flatten(1)))[:, None]
