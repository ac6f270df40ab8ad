"""HMRM (paper 3, Figure 1): Grained Mamba over regions and sub-regions, fused, classified."""

from functools import partial
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from hmrm_lab.errors import ConfigError
from hmrm_lab.models.hmrm.grained_mamba import GrainedMambaEncoder
from hmrm_lab.models.hmrm.region_fusion import (
    MAP_SIDE,
    REGIONS,
    WINDOW,
    RegionFusion,
    split_regions,
)
from hmrm_lab.models.interface import Dropped, Features, Heads, Layers, system
from hmrm_lab.models.layers import TINY, Dropout, Linear
from hmrm_lab.models.scan import Backend

Kernel = Annotated[int, Field(ge=1, le=WINDOW**2)]  # no longer than the tokens of a region


@system("hmrm")
class HMRM(nn.Module):
    """Motion map to logits at three scales: fused, coarse (core regions), fine (sub-regions).

    (B, C, H, H), H = `size`, a multiple of 28, to (B, 3, K), in this order of scales; or a sequence
    (B, T, C, H, H), by the same weights. Defaults are the paper's where it gives a value.
    """

    def __init__(
        self,
        channels: int,
        size: int,
        classes: int,
        *,
        width: Features = 192,  # 4.2
        depth: Layers = 4,  # 4.2
        state: Annotated[int, Field(ge=1, le=256)] = 16,  # 4.2
        expand: Annotated[int, Field(ge=1, le=8)] = 2,
        tokens: Literal["pixels", "windows"] = "pixels",  # Algorithm 1; decision 0003
        coarse_kernel: Kernel = 5,  # 3.2: each grain has a kernel of its own; the text gives none
        fine_kernel: Kernel = 3,
        share_encoder: bool = False,  # Algorithm 1 has one encoder, Figure 1 one of each grain
        heads: Heads = 4,
        fusion: Literal["attention", "none"] = "attention",  # "none" is ablation M3
        equal_regions: bool = False,  # a norm takes from a region how much it moves; decision 0025
        ffn_ratio: Annotated[float, Field(ge=0, le=16)] = 0.0,
        layer_scale: Annotated[float, Field(ge=0, le=1)] = 1.0,
        dropout: Dropped = 0.0,
        drop_path: Dropped = 0.0,
        scan: Backend | Literal["none"] = "auto",
    ) -> None:
        super().__init__()
        if share_encoder and coarse_kernel != fine_kernel:
            problem = f"one encoder cannot have kernels of {coarse_kernel} and of {fine_kernel}"
            raise ConfigError(problem, hint="set model.coarse_kernel to model.fine_kernel")
        pixel = channels * (size // MAP_SIDE) ** 2
        encoder = partial(
            RegionEncoder,
            width,
            pixel=pixel,
            tokens=tokens,
            depth=depth,
            state=state,
            expand=expand,
            ffn_ratio=ffn_ratio,
            layer_scale=layer_scale,
            drop_path=drop_path,
            equal=equal_regions,
            scan=scan,
        )
        self.coarse_encoder = encoder(regions=REGIONS["core"], kernel=coarse_kernel)
        self.fine_encoder = encoder(regions=REGIONS["sub"], kernel=fine_kernel)
        if share_encoder:
            self.fine_encoder.share(self.coarse_encoder)
        attends = fusion == "attention"
        self.fusion = (
            RegionFusion(width, heads=heads, dropout=dropout, equal=equal_regions)
            if attends
            else nn.Identity()
        )
        self.dropout = Dropout(dropout)
        self.fused_head, self.coarse_head, self.fine_head = (
            nn.Linear(REGIONS[grain] * width, classes) for grain in ("both", "core", "sub")
        )

    def forward(self, maps: Tensor) -> Tensor:
        if maps.ndim == 4:
            maps = maps[:, None]  # (B, T, C, H, H)
        coarse, fine = (
            encoder(windows.unflatten(0, maps.shape[:2]))  # (B, 4, D), (B, 16, D)
            for encoder, windows in zip(
                (self.coarse_encoder, self.fine_encoder),
                split_regions(maps.flatten(0, 1)),
                strict=True,
            )
        )
        fused = self.fusion(torch.cat([coarse, fine], dim=1))  # (B, 20, D)
        logits = [
            self.fused_head(self.dropout(fused.flatten(1))),
            self.coarse_head(self.dropout(coarse.flatten(1))),
            self.fine_head(self.dropout(fine.flatten(1))),
        ]
        return torch.stack(logits, dim=1)


class RegionEncoder(nn.Module):
    """One vector per region (decision 0003). (B, T, R, 49, C) to (B, R, D), T maps of a clip.

    `pixels`: the 49 pixels of a region are its sequence, and their mean is its vector, as in
    Algorithm 1. `windows`: a region is one token, and the sequence runs over the regions. Of
    several maps, sequences follow one another in time, and a vector is the mean over the maps,
    each weighted by the energy of its motion (decision 0024).
    """

    def __init__(self, width: int, *, regions: int, pixel: int, tokens: str, **block: Any) -> None:
        super().__init__()
        mamba = GrainedMambaEncoder(width, **block)  # drawn first: a seed keeps its weights
        self.per_pixel = tokens == "pixels"
        length, features = (WINDOW**2, pixel) if self.per_pixel else (regions, WINDOW**2 * pixel)
        self.embed = Linear(features, width)
        self.place = nn.Parameter(0.02 * torch.randn(length, width))
        self.mamba = mamba

    def share(self, other: "RegionEncoder") -> None:
        """Take all weights of another grain but the places of windows, of which it has others."""
        self.embed, self.mamba = other.embed, other.mamba
        if self.per_pixel:
            self.place = other.place

    def forward(self, windows: Tensor) -> Tensor:
        batch, times, regions = windows.shape[:3]
        if self.per_pixel:
            series = windows.transpose(1, 2).flatten(0, 1)  # (B R, T, 49, C)
            tokens = (self.embed(series) + self.place).flatten(1, 2)
            encoded = self.mamba(tokens).reshape(-1, WINDOW**2, tokens.shape[-1])  # (B R T, 49, D)
            vectors = encoded.mean(1).reshape(batch, regions, times, -1).transpose(1, 2)
        else:
            tokens = self.embed(windows.flatten(3)) + self.place  # (B, T, R, D)
            vectors = self.mamba(tokens.flatten(1, 2)).unflatten(1, (times, regions))
        energy = windows.detach().square().mean((2, 3, 4)) + TINY  # (B, T)
        weights = energy / energy.sum(1, keepdim=True)
        return (vectors * weights[:, :, None, None]).sum(1)
