"""VGG19 (Simonyan and Zisserman, ICLR 2015) on motion maps."""

from hmrm_lab.models.compared.own_weights import OwnWeights, load_own
from hmrm_lab.models.compared.pictures import (
    PLAIN,
    SIDE,
    OnMaps,
    Side,
    Width,
)
from hmrm_lab.models.compared.published_names import same_name
from hmrm_lab.models.compared.vgg import CARD, VGG, VGG19
from hmrm_lab.models.options import Dropped
from hmrm_lab.records import CLASSES
from hmrm_lab.registry import systems


@systems.register("vgg19", recipe=PLAIN, source="Simonyan and Zisserman 2015", card=CARD)
def vgg19(
    channels: int,
    size: int,
    *,
    side: Side = SIDE,
    width: Width = 0.25,
    dropout: Dropped = 0.5,
    batch_norm: bool = True,
    weights: OwnWeights = "",
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
    load_own(network, weights, same_name)
    return OnMaps(network, side)
