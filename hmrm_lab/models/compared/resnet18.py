"""ResNet18 (He et al., CVPR 2016) on motion maps."""

from hmrm_lab.models.compared.own_weights import OwnWeights, load_own
from hmrm_lab.models.compared.pictures import (
    PLAIN,
    SIDE,
    OnMaps,
    Side,
    Width,
)
from hmrm_lab.models.compared.published_names import resnet_name
from hmrm_lab.models.compared.residual import CARD, ResNet
from hmrm_lab.models.options import Dropped
from hmrm_lab.records import CLASSES
from hmrm_lab.registry import systems


@systems.register("resnet18", recipe=PLAIN, source="He et al. 2016", card=CARD)
def resnet18(
    channels: int,
    size: int,
    *,
    side: Side = SIDE,
    width: Width = 0.25,
    dropout: Dropped = 0.0,
    weights: OwnWeights = "",
) -> OnMaps:
    """Maps (B, C, H, H) of any `size` to logits (B, 1, K)."""
    network = ResNet(
        channels,
        len(CLASSES),
        blocks=(2, 2, 2, 2),
        bottleneck=False,
        width=width,
        dropout=dropout,
    )
    load_own(network, weights, resnet_name)
    return OnMaps(network, side)
