"""VGG19 (Simonyan and Zisserman, ICLR 2015) on motion maps."""

from hmrm_lab.cards import Card
from hmrm_lab.models.compared.pictures import (
    ENLARGED,
    FROM_SCRATCH,
    NARROW,
    PLAIN,
    SIDE,
    OnMaps,
    Side,
    Width,
)
from hmrm_lab.models.compared.vgg import NORMALISED, VGG, VGG19
from hmrm_lab.models.options import Dropped
from hmrm_lab.records import CLASSES
from hmrm_lab.registry import systems

CARD = Card(
    takes="flow maps",
    citation="Simonyan and Zisserman, Very Deep Convolutional Networks for Large-Scale Image"
    " Recognition, ICLR 2015",
    fidelity="adapted",
    departures=(ENLARGED, NARROW, FROM_SCRATCH, NORMALISED),
)


@systems.register("vgg19", recipe=PLAIN, source="Simonyan and Zisserman 2015", card=CARD)
def vgg19(
    channels: int,
    size: int,
    *,
    side: Side = SIDE,
    width: Width = 0.25,
    dropout: Dropped = 0.5,
    batch_norm: bool = True,
) -> OnMaps:
    """Maps (B, C, H, H) of any `size` to logits (B, 1, K)."""
    network = VGG(
        channels,
        len(CLASSES),
        convolutions=VGG19,
        side=side,
        width=width,
        dropout=dropout,
        batch_norm=batch_norm,
    )
    return OnMaps(network, side)
