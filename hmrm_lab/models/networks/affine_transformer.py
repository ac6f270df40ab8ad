"""An entry of the 7th ABAW (Shen et al., arXiv 2407.12258): many extractors, aligned and fused."""

import torch
from torch import Tensor, nn

from hmrm_lab.models.hmrm.region_fusion import MAP_SIDE, REGIONS, WINDOW, split_regions
from hmrm_lab.models.interface import Features, system
from hmrm_lab.models.layers import Linear, transformer
from hmrm_lab.models.networks.backbone import conv_norm
from hmrm_lab.models.networks.resnet import residual_encoder

HEADS, DEPTH, DROPOUT = 4, 2, 0.1


@system("affine_transformer")
class AffineTransformer(nn.Module):
    """A flow CNN, a residual network and region tokens in one width, read by a transformer.

    The affine module is a layer norm and a linear layer for each extractor. A class token reads all
    tokens; with `loss.action_units` its head answers for them as well. (B, C, H, H), H = `size`, a
    multiple of 28, to (B, 1, K).
    """

    def __init__(self, channels: int, size: int, classes: int, *, width: Features = 64) -> None:
        super().__init__()
        quarter, half = max(1, width // 4), max(1, width // 2)
        self.flow = nn.Sequential(
            conv_norm(channels, quarter, 5, stride=2), conv_norm(quarter, half, 5, stride=2)
        )
        self.residual = residual_encoder(channels, width)
        pixels = WINDOW**2 * channels * (size // MAP_SIDE) ** 2
        self.align = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(given), Linear(given, width))
            for given in (half, width, pixels)
        )
        self.place = nn.Parameter(0.02 * torch.randn(REGIONS["sub"], width))
        self.answer = nn.Parameter(torch.zeros(1, 1, width))
        self.layers = transformer(width, DEPTH, heads=HEADS, dropout=DROPOUT)
        self.head = nn.Linear(width, classes)

    def forward(self, maps: Tensor) -> Tensor:
        pictures = maps.contiguous(memory_format=torch.channels_last)
        features = (
            self.flow(pictures).mean((2, 3))[:, None],  # (B, 1, D / 2)
            self.residual(pictures).mean((2, 3))[:, None],  # (B, 1, D)
            split_regions(maps)[1].flatten(2),  # (B, 16, 49 P C)
        )
        aligned = (align(own) for align, own in zip(self.align, features, strict=True))
        flow, residual, regions = aligned  # of width D
        answer = self.answer.expand(len(maps), 1, -1)
        tokens = torch.cat([answer, flow, residual, regions + self.place], dim=1)
        return self.head(self.layers(tokens)[:, :1])
