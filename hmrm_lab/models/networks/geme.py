"""GEME (Nie et al., Neurocomputing 2021): a stream for gender beside the one for expressions."""

import torch
from torch import Tensor, nn

from hmrm_lab.models.layers import Dropout, Dropped
from hmrm_lab.models.networks import backbone
from hmrm_lab.models.networks.backbone import begin_as_he, count_filters, enlarge
from hmrm_lab.models.networks.resnet import STAGES, STEM, pooled_stem, stage
from hmrm_lab.registry import Card, Recipe, systems

RECIPE: Recipe = {
    **backbone.PICTURE_RECIPE,
    "loss": {"gamma": 2.0, "class_weight_power": 1.0},  # class-balanced focal loss
}

CARD = Card(
    takes="flow maps",
    citation="Nie et al., GEME: Dual-stream multi-task GEnder-based micro-expression recognition,"
    " Neurocomputing 2021",
    fidelity="sketch",
    departures=(
        "no layer of it is known to us: both streams are narrow ResNet18s of our choice",
        "reads flow maps; the paper reads dynamic images",
        "the recordings here have no gender labels, so the second stream has no task of its own",
        "balanced by the share of each class, not by its effective number of clips",
        backbone.FROM_SCRATCH,
    ),
)


@systems.register("geme", recipe=RECIPE, source="Nie et al. 2021", card=CARD)
class GEME(nn.Module):
    """Two streams of residual stages; after each the second is added to the first by a 1x1.

    Shapes: maps (B, C, H, H) of any `size` to logits (B, 1, K).
    """

    def __init__(
        self,
        channels: int,
        size: int,
        classes: int,
        *,
        side: backbone.Side = backbone.SIDE,
        width: backbone.Width = 0.125,
        dropout: Dropped = 0.5,
    ) -> None:
        super().__init__()
        self.side = side
        stem, *filters = (count_filters(count, width) for count in (STEM, *STAGES))
        self.expression_stem, self.other_stem = (pooled_stem(channels, stem) for _ in range(2))
        given = [stem, *filters[:-1]]
        self.expression_stages, self.other_stages = (
            nn.ModuleList(
                stage(before, after, 2, stride=2 if place else 1)
                for place, (before, after) in enumerate(zip(given, filters, strict=True))
            )
            for _ in range(2)
        )
        self.passages = nn.ModuleList(nn.Conv2d(count, count, 1) for count in filters)
        self.dropout = Dropout(dropout)
        self.head = nn.Linear(2 * filters[-1], classes)
        begin_as_he(self)

    def forward(self, maps: Tensor) -> Tensor:
        pictures = enlarge(maps, self.side)
        expression, other = self.expression_stem(pictures), self.other_stem(pictures)
        stages = zip(self.expression_stages, self.other_stages, self.passages, strict=True)
        for own_stage, other_stage, passage in stages:
            other = other_stage(other)
            expression = own_stage(expression) + passage(other)
        features = torch.cat([expression, other], dim=1).mean((2, 3))
        return self.head(self.dropout(features))[:, None]
