"""MFDAN: attention that optical flow drives, at several levels (Cai et al., TCSVT 2024)."""

import torch
from torch import Tensor, nn

from hmrm_lab.models.layers import Dropout, Dropped, Features, Heads, Layers, Linear
from hmrm_lab.models.networks.backbone import MAP_RECIPE
from hmrm_lab.models.transformer import TransformerBlock, patches, width_of_heads
from hmrm_lab.registry import Card, Recipe, systems

PATCHES = 4  # along a side

RECIPE: Recipe = {
    **MAP_RECIPE,
    "loss": {"gamma": 2.0, "class_weight_power": 0.0},  # focal, as the authors; exponent not public
}

CARD = Card(
    takes="flow maps",
    citation="Cai et al., MFDAN: Multi-Level Flow-Driven Attention Network for Micro-Expression"
    " Recognition, IEEE Transactions on Circuits and Systems for Video Technology 2024",
    fidelity="sketch",
    departures=(
        "built from the abstract: layers, widths, the form of the guidance and all settings but"
        " DropKey and focal loss are not public to us",
        "the image branch reads the motion map as well: there are no frames in a flow map",
        "recipe ours, but for focal loss",
    ),
)


@systems.register("mfdan", recipe=RECIPE, source="Cai et al. 2024", card=CARD)
class MFDAN(nn.Module):
    """Two branches: at every level the flow branch guides the attention of the image branch.

    The products of its queries and keys are added to the attention logits of the image branch. The
    head reads both branches.

    Shapes
    ------
    maps : (B, C, H, H), H = `size`, a multiple of 4; the flow branch reads the first two channels
    returns : (B, 1, K); K = `classes`
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
