"""AMMSM: motion is magnified where it matters, and read where it moves (Liu et al. 2025)."""

import inspect
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from hmrm_lab.errors import ConfigError
from hmrm_lab.models.ammsm.magnifier import Magnified, Magnifier, magnification_loss
from hmrm_lab.models.ammsm.sparse_activation import (
    ALPHA_RANGE,
    RATIO_RANGE,
    Alpha,
    Choice,
    Ratios,
    draw_choice,
    make_choice,
)
from hmrm_lab.models.ammsm.ssd import SsdBackend
from hmrm_lab.models.ammsm.temporal_stream import SIDES, TemporalStream, select_tokens
from hmrm_lab.models.interface import Dropped, Features, Layers, system
from hmrm_lab.models.layers import Dropout, Linear, evaluation_mode
from hmrm_lab.models.networks.backbone import Width, begin_as_he, count_filters, enlarge
from hmrm_lab.models.networks.resnet import BASIC, STEM, pooled_stem, residual_stages
from hmrm_lab.models.networks.resnet import STAGES as FILTERS

ONSET_SIDE = 56  # pixels: after stem and two stages the map is 7 x 7, as temporal tokens are then
FUSED_AFTER = 2  # stages of the temporal stream
SUPER = "a super-network draws alpha and ratios in every step, which a CUDA graph cannot do"

Small = Annotated[int, Field(ge=1, le=256)]


class SpatialStream(nn.Module):
    """Features of the onset frame, for the temporal tokens. (B, 1, S, S) to (B, 49, D)."""

    def __init__(self, out: int, *, width: float) -> None:
        super().__init__()
        stem, *filters = (count_filters(count, width) for count in (STEM, *FILTERS[:2]))
        self.features = nn.Sequential(
            pooled_stem(1, stem), *residual_stages(stem, filters, BASIC[:2])
        )
        self.project = Linear(filters[-1], out)
        begin_as_he(self.features)

    def forward(self, onset: Tensor) -> Tensor:
        features = self.features(enlarge(onset, ONSET_SIDE))  # (B, F, 7, 7)
        return self.project(features.movedim(1, 3).flatten(1, 2))


@system("ammsm")
class AMMSM(nn.Module):
    """Magnifier, temporal stream on the magnified flow, spatial stream on the onset frame.

    Both streams are added after the second temporal stage, where both have a map of 7 x 7.
    `spatial=False` is the ablation without the onset frame, which is given but not read.

    In the first `super_steps` training steps alpha and ratios are drawn at random, so that the
    weights serve all choices; afterwards, and in evaluation, `choice` holds.

    (B, C, S, S), order (u, v, onset), S = `size`, a multiple of 28, to (B, 1, K).
    """

    alpha_range: ClassVar[tuple[float, float]] = ALPHA_RANGE  # what a super-network draws
    ratio_range: ClassVar[tuple[float, float]] = RATIO_RANGE
    steps: Tensor

    def __init__(
        self,
        channels: int,
        size: int,
        classes: int,
        *,
        alpha: Alpha = 4.0,
        ratios: Ratios = (0.5, 0.5, 0.5, 0.5),
        magnifier: Literal["unet", "gated", "none"] = "unet",
        magnifier_width: Features = 8,
        price: Annotated[float, Field(ge=0, le=64)] = 1.0,  # of an open gate, in a map's RMS
        spatial: bool = True,
        spatial_width: Width = 0.25,
        width: Features = 32,  # of the first stage; twice that from stage to stage
        depths: tuple[Layers, Layers, Layers, Layers] = (2, 2, 2, 2),
        expand: Annotated[int, Field(ge=1, le=8)] = 2,
        head: Small = 32,  # channels that share a decay
        state: Small = 16,
        ffn_ratio: Annotated[float, Field(ge=0, le=16)] = 2.0,
        dropout: Dropped = 0.1,
        super_steps: Annotated[int, Field(ge=0, le=10**7)] = 0,
        ssd: SsdBackend = "auto",
    ) -> None:
        super().__init__()
        self.choice = make_choice(alpha, ratios)
        self.super_steps, gated = super_steps, magnifier == "gated"
        self.price = price if gated else 0.0
        magnifies = magnifier != "none"
        self.magnifier = Magnifier(width=magnifier_width, gated=gated) if magnifies else None
        self.temporal = TemporalStream(
            size,
            width=width,
            depths=depths,
            expand=expand,
            head=head,
            state=state,
            ffn_ratio=ffn_ratio,
            dropout=dropout,
            backend=ssd,
        )
        fused = self.temporal.widths[FUSED_AFTER - 1]
        self.spatial = SpatialStream(fused, width=spatial_width) if spatial else None
        self.dropout = Dropout(dropout)
        self.head = nn.Linear(self.temporal.widths[-1], classes)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def choose(self, alpha: float, ratios: tuple[float, ...]) -> None:
        """Set the magnification factor and the ratios; raise `ConfigError` if out of range."""
        self.choice = make_choice(alpha, ratios)

    def forward(self, maps: Tensor) -> Tensor:
        return self.forward_tasks(maps)[0]

    def forward_tasks(self, maps: Tensor) -> tuple[Tensor, Tensor | float]:
        """Return the logits and the loss of the magnification, if there is one."""
        choice, flow = self._next_choice(), maps[:, :2]
        motion = self.magnify(flow, choice.alpha)
        selections = select_tokens(motion.flow, choice.ratios)
        tokens = self.temporal.begin(motion.flow)
        tokens = self.temporal.run(range(FUSED_AFTER), tokens, selections)  # (B, 49, 2 D)
        if self.spatial is not None:
            tokens = tokens + self.spatial(maps[:, 2:3])
        tokens = self.temporal.run(range(FUSED_AFTER, len(SIDES)), tokens, selections)
        logits = self.head(self.dropout(self.temporal.end(tokens)))[:, None]
        if self.magnifier is None:
            return logits, 0.0
        return logits, magnification_loss(flow, motion, choice.alpha, self.price)

    def magnify(self, flow: Tensor, alpha: float) -> Magnified:
        """Magnify flow (B, 2, S, S) for the temporal stream; unchanged without a magnifier."""
        if self.magnifier is None:
            return Magnified(flow, torch.ones_like(flow[:, :1]))
        return self.magnifier(flow, alpha)

    def _next_choice(self) -> Choice:
        """Return the set choice, or a random one in the first steps of a super-network."""
        if not self.training or not self.super_steps:
            return self.choice
        if self.steps.is_cuda and torch.cuda.is_current_stream_capturing():
            raise ConfigError(SUPER, hint="leave training.cuda_graphs or model.super_steps out")
        self.steps += 1
        return draw_choice() if int(self.steps) <= self.super_steps else self.choice


_temporal: Any = partial(AMMSM, spatial=False)
_options = inspect.signature(AMMSM).parameters.items()
_temporal.__signature__ = inspect.Signature(
    [option for name, option in _options if not name.startswith("spatial")]
)
system("ammsm_temporal")(_temporal)


@torch.no_grad()
def surviving_tokens(model: AMMSM, maps: Tensor, choice: Choice | None = None) -> list[Tensor]:
    """Mark the tokens that each stage keeps, under this choice (default: the model's).

    Shapes: maps (B, C, S, S) to four masks (B, side, side), side = 14, 7, 4, 2.
    """
    chosen = choice or model.choice
    selections = select_tokens(magnified(model, maps, chosen.alpha).flow, chosen.ratios)
    return [
        selection.mask().unflatten(1, (side, side))
        for selection, side in zip(selections, SIDES, strict=True)
    ]


@torch.no_grad()
def magnified(model: AMMSM, maps: Tensor, alpha: float) -> Magnified:
    """Magnify the flow of maps by this alpha, with the model in evaluation mode.

    Without a magnifier the flow is unchanged, and every gate is open. Maps (B, C, S, S), as the
    model is given them, to flow (B, 2, S, S), order (u, v), and gate (B, 1, S, S).
    """
    with evaluation_mode(model):
        return model.magnify(maps[:, :2], alpha)
