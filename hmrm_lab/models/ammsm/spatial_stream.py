"""Spatial stream (AMMSM, Figure 2): ResNet18 on the onset frame, up to where the streams fuse."""

from torch import Tensor, nn

from hmrm_lab.models.layers import Linear
from hmrm_lab.models.networks.pictures import begin_as_he, count_filters, enlarge
from hmrm_lab.models.networks.resnet import STAGES, STEM, pooled_stem, stage

SIDE = 56  # pixels: after stem and two stages the map is 7 x 7, as temporal tokens are then
BLOCKS = 2  # of each stage of ResNet18


class SpatialStream(nn.Module):
    """The face as it is, for the tokens of its motion.

    Shapes
    ------
    onset : (B, 1, S, S)
    returns : (B, 49, `out`), row by row
    """

    def __init__(self, out: int, *, width: float) -> None:
        super().__init__()
        stem, first, second = (count_filters(n, width) for n in (STEM, STAGES[0], STAGES[1]))
        self.features = nn.Sequential(
            pooled_stem(1, stem),
            stage(stem, first, BLOCKS, stride=1),
            stage(first, second, BLOCKS, stride=2),
        )
        self.project = Linear(second, out)
        begin_as_he(self.features)

    def forward(self, onset: Tensor) -> Tensor:
        features = self.features(enlarge(onset, SIDE))  # (B, F, 7, 7)
        return self.project(features.movedim(1, 3).flatten(1, 2))
