"""AMMSM: motion is magnified where it matters, and read where it moves (Liu et al. 2025)."""

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from hmrm_lab.errors import ConfigError
from hmrm_lab.models.ammsm.choice import (
    ALPHA_RANGE,
    RATIO_RANGE,
    STAGES,
    Alpha,
    Choice,
    Ratios,
    draw_choice,
    make_choice,
)
from hmrm_lab.models.ammsm.magnifier import Magnified, Magnifier, magnification_loss
from hmrm_lab.models.ammsm.spatial_stream import SpatialStream
from hmrm_lab.models.ammsm.ssd import SsdBackend
from hmrm_lab.models.ammsm.temporal_stream import TemporalStream, select_tokens
from hmrm_lab.models.layers import Dropout, Dropped, Features, Layers
from hmrm_lab.models.networks.pictures import Width
from hmrm_lab.registry import Card, Recipe, systems

CITATION = (
    "Liu et al., AMMSM: Adaptive Motion Magnification and Sparse Mamba for Micro-Expression"
    " Recognition, 2025"
)
FUSED_AFTER = 2  # stages of the temporal stream
SUPER = "a super-network draws alpha and ratios anew in every step, which no recording can do"

DEPARTURES = (
    "the magnifier's U-Net gives a gate: magnified flow is alpha times gate times flow, and an open"
    " gate has a price, without which nothing would be suppressed (decision 0017)",
    "widths, depths, state, heads and recipe are ours: the publication's are not public",
    "tokens are ranked by the length of the magnified flow over their patch; those that are not"
    " kept pass the SSD and the feed-forward layer by, and have the depth-wise convolution",
    "scans run over the kept tokens row by row, and backwards in every second block",
    "the factor and the ratios are options; they are searched for in a step of its own",
)

Depths = tuple[Layers, Layers, Layers, Layers]
Small = Annotated[int, Field(ge=1, le=256)]
Steps = Annotated[int, Field(ge=0, le=10**7)]
Price = Annotated[float, Field(ge=0, le=64)]


def _recipe(*channels: str) -> Recipe:
    return {
        "input": {"channels": list(channels), "normalise": "median_rms"},
        "augment": {"motionmix": 0.0},
        "loss": {"gamma": 0.0, "class_weight_power": 0.75},
        "training": {
            "epochs": 20,
            "batch": 32,
            "optimizer": "adamw",
            "lr": 2e-3,
            "weight_decay": 0.05,
            "schedule": "cosine",
            "warmup_epochs": 2,
        },
    }


def _card(*needs: str, departures: tuple[str, ...] = ()) -> Card:
    return Card(
        takes="flow maps and onset" if "onset" in needs else "flow maps",
        citation=CITATION,
        fidelity="sketch",
        departures=(*departures, *DEPARTURES),
        needs=needs,
    )


@systems.register(
    "ammsm",
    recipe=_recipe("u", "v", "onset"),
    source="Liu et al. 2025",
    card=_card(
        "u",
        "v",
        "onset",
        departures=(
            "the spatial stream is a quarter as wide as ResNet18, random at first, and cut after"
            " its second stage, where a linear layer adds it to the temporal tokens",
        ),
    ),
)
class AMMSM(nn.Module):
    """Magnifier, temporal stream on the magnified flow, spatial stream on the onset frame.

    Both streams are added at the end of the second temporal stage, where both have a map of 7 x 7.
    `spatial=False` is the ablation without the face: the onset is given, and not read.

    In the first `super_steps` training passes alpha and ratios are drawn at random, so that the
    weights serve all choices; then, and whenever the network answers, the `choice` holds.

    Shapes
    ------
    maps : (B, C, S, S), order (u, v, onset), S = `size`, a multiple of 28
    returns : (B, 1, K); K = `classes`
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
        magnifier: Literal["unet", "none"] = "unet",
        magnifier_width: Features = 8,
        price: Price = 1.0,  # of an open gate, in units of a map's RMS
        spatial: bool = True,
        spatial_width: Width = 0.25,
        width: Features = 32,  # of the first stage; twice that from stage to stage
        depths: Depths = (2, 2, 2, 2),
        expand: Annotated[int, Field(ge=1, le=8)] = 2,
        head: Small = 32,  # channels that share a decay
        state: Small = 16,
        ffn_ratio: Annotated[float, Field(ge=0, le=16)] = 2.0,
        dropout: Dropped = 0.1,
        super_steps: Steps = 0,
        ssd: SsdBackend = "auto",
    ) -> None:
        super().__init__()
        self.choice = make_choice(alpha, ratios)
        self.price, self.super_steps = price, super_steps
        self.magnifier = Magnifier(width=magnifier_width) if magnifier == "unet" else None
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
        self.spatial = (
            SpatialStream(self.temporal.widths[FUSED_AFTER - 1], width=spatial_width)
            if spatial
            else None
        )
        self.dropout = Dropout(dropout)
        self.head = nn.Linear(self.temporal.widths[-1], classes)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def choose(self, alpha: float, ratios: tuple[float, ...]) -> None:
        """Take this factor and these ratios from now on; a `ConfigError` if they cannot be."""
        self.choice = make_choice(alpha, ratios)

    def forward(self, maps: Tensor) -> Tensor:
        choice = self._next_choice()
        return self._classify(maps, self.magnify(maps[:, :2], choice.alpha), choice)

    def forward_tasks(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """The logits, and what the magnification owes."""
        choice, flow = self._next_choice(), maps[:, :2]
        seen = self.magnify(flow, choice.alpha)
        logits = self._classify(maps, seen, choice)
        if self.magnifier is None:
            return logits, logits.new_zeros(())
        return logits, magnification_loss(flow, seen, choice.alpha, self.price)

    def magnify(self, flow: Tensor, alpha: float) -> Magnified:
        """What the temporal stream reads of (B, 2, S, S): the flow itself without a magnifier."""
        if self.magnifier is None:
            return Magnified(flow, torch.ones_like(flow[:, :1]))
        return self.magnifier(flow, alpha)

    def _classify(self, maps: Tensor, seen: Magnified, choice: Choice) -> Tensor:
        selections = select_tokens(seen.flow, choice.ratios)
        tokens = self.temporal.begin(seen.flow)
        tokens = self.temporal.run(range(FUSED_AFTER), tokens, selections)  # (B, 49, 2 D)
        if self.spatial is not None:
            tokens = tokens + self.spatial(maps[:, 2:3])
        tokens = self.temporal.run(range(FUSED_AFTER, STAGES), tokens, selections)
        return self.head(self.dropout(self.temporal.end(tokens)))[:, None]

    def _next_choice(self) -> Choice:
        """The choice that holds, or one drawn while this is a super-network in training."""
        if not self.training or not self.super_steps:
            return self.choice
        if self.steps.is_cuda and torch.cuda.is_current_stream_capturing():
            raise ConfigError(SUPER, mend="leave training.cuda_graphs or model.super_steps out")
        self.steps += 1
        return draw_choice() if int(self.steps) <= self.super_steps else self.choice


@systems.register(
    "ammsm_temporal",
    recipe=_recipe("u", "v"),
    source="Liu et al. 2025",
    card=_card("u", "v", departures=("the temporal stream alone, for data without frames",)),
)
def ammsm_temporal(
    channels: int,
    size: int,
    classes: int,
    *,
    alpha: Alpha = 4.0,
    ratios: Ratios = (0.5, 0.5, 0.5, 0.5),
    magnifier: Literal["unet", "none"] = "unet",
    magnifier_width: Features = 8,
    price: Price = 1.0,
    width: Features = 32,
    depths: Depths = (2, 2, 2, 2),
    expand: Annotated[int, Field(ge=1, le=8)] = 2,
    head: Small = 32,
    state: Small = 16,
    ffn_ratio: Annotated[float, Field(ge=0, le=16)] = 2.0,
    dropout: Dropped = 0.1,
    super_steps: Steps = 0,
    ssd: SsdBackend = "auto",
) -> AMMSM:
    """AMMSM without its spatial stream: maps (B, 2, S, S), order (u, v), to logits (B, 1, K)."""
    return AMMSM(
        channels,
        size,
        classes,
        alpha=alpha,
        ratios=ratios,
        magnifier=magnifier,
        magnifier_width=magnifier_width,
        price=price,
        spatial=False,
        width=width,
        depths=depths,
        expand=expand,
        head=head,
        state=state,
        ffn_ratio=ffn_ratio,
        dropout=dropout,
        super_steps=super_steps,
        ssd=ssd,
    )
