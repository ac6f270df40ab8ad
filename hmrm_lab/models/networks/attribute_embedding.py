"""Attributes embedded beside motion, joined by a contrast (Song et al., arXiv 2205.14643)."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from hmrm_lab.models.interface import SHARPNESS, Dropped, Features, system
from hmrm_lab.models.layers import Dropout, Linear
from hmrm_lab.models.networks.resnet import residual_encoder


@system("attribute_embedding")
class AttributeEmbedding(nn.Module):
    """Maps and attributes in one space; a class is a mixture of attributes, all of it learnt.

    Logits are cosines between a map's embedding and those of the classes, and with
    `loss.action_units` those of the action units, times ten. (B, C, H, H) to (B, 1, K).
    """

    def __init__(
        self,
        channels: int,
        size: int,
        classes: int,
        *,
        width: Features = 64,  # of the space
        attributes: Features = 12,
        contrast: Annotated[float, Field(ge=0, le=64)] = 0.1,  # weight of its loss
        dropout: Dropped = 0.2,
    ) -> None:
        super().__init__()
        self.contrast = contrast
        self.encode = residual_encoder(channels, width)
        self.dropout = Dropout(dropout)
        self.embed = Linear(width, width)
        self.attributes = nn.Parameter(torch.randn(attributes, width))
        self.shares = nn.Parameter(torch.randn(classes, attributes))  # in front of a softmax

    def forward(self, maps: Tensor) -> Tensor:
        return self.forward_tasks(maps)[0]

    def forward_tasks(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits, and the contrastive loss of maps and the attributes that they show."""
        features = self.encode(maps.contiguous(memory_format=torch.channels_last)).mean((2, 3))
        motion = F.normalize(self.embed(self.dropout(features)), dim=-1)  # (B, D)
        attributes = F.normalize(self.attributes, dim=-1)  # (A, D)
        classes = F.normalize(self.shares.softmax(-1) @ attributes, dim=-1)  # (K, D)
        shown = (SHARPNESS * motion @ attributes.mT).softmax(-1) @ attributes  # (B, D)
        alike = SHARPNESS * motion @ F.normalize(shown, dim=-1).mT  # (B, B)
        own = torch.arange(len(maps), device=maps.device)  # each finds its own, both ways
        loss = (F.cross_entropy(alike, own) + F.cross_entropy(alike.mT, own)) / 2
        return SHARPNESS * (motion @ classes.mT)[:, None], self.contrast * loss
