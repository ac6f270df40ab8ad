"""EfficientNet-B0 (Tan and Le, ICML 2019)."""

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hmrm_lab.models.layers import Dropout
from hmrm_lab.models.networks import backbone
from hmrm_lab.models.networks.backbone import begin_as_he, conv_norm, count_filters

B0_STEM, B0_LAST = 32, 1280
B0_STAGES = (  # Table 1: expansion, filters, blocks, kernel, stride
    (1, 16, 1, 3, 1),
    (6, 24, 2, 3, 2),
    (6, 40, 2, 5, 2),
    (6, 80, 3, 3, 2),
    (6, 112, 3, 5, 1),
    (6, 192, 4, 5, 2),
    (6, 320, 1, 3, 1),
)
SQUEEZE = 4  # a gate sees the filters through a quarter of those that enter its block

convolution = partial(conv_norm, activation=nn.SiLU)


class EfficientNetB0(nn.Module):
    """Stem, sixteen inverted bottlenecks, 1x1 convolution, mean, linear (Tan and Le, ICML 2019).

    Parts have torchvision's names.
    """

    def __init__(
        self, channels: int, classes: int, *, width: float = 1.0, dropout: float = 0.2
    ) -> None:
        super().__init__()
        given, last = count_filters(B0_STEM, width), count_filters(B0_LAST, width)
        self.features = nn.Sequential(convolution(channels, given, 3, stride=2))
        for expansion, published, count, kernel, stride in B0_STAGES:
            filters, stage = count_filters(published, width), nn.Sequential()
            for place in range(count):
                step = 1 if place else stride
                stage.append(InvertedBottleneck(given, filters, expansion, kernel, stride=step))
                given = filters
            self.features.append(stage)
        self.features.append(convolution(given, last, 1))
        self.classifier = nn.Sequential(Dropout(dropout), nn.Linear(last, classes))
        begin_as_he(self)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.classifier(self.features(pictures).mean((2, 3)))


class InvertedBottleneck(nn.Module):
    """Widen, convolve depth-wise, gate, narrow; with a shortcut if shapes agree. (B, F, H, W).

    Without a gate it is the inverted residual of MobileNetV2 (Sandler et al., CVPR 2018).
    """

    def __init__(
        self,
        given: int,
        filters: int,
        expansion: int,
        kernel: int,
        *,
        stride: int = 1,
        gated: bool = True,
    ) -> None:
        super().__init__()
        inside = given * expansion
        self.block = nn.Sequential()
        if expansion > 1:
            self.block.append(convolution(given, inside, 1))
        self.block.append(convolution(inside, inside, kernel, stride=stride, groups=inside))
        if gated:
            self.block.append(Gate(inside, max(1, given // SQUEEZE)))
        self.block.append(convolution(inside, filters, 1, activation=None))
        self.adds = stride == 1 and given == filters

    def forward(self, given: Tensor) -> Tensor:
        return given + self.block(given) if self.adds else self.block(given)


class Gate(nn.Module):
    """Squeeze and excitation: filters weighted by the means of all. (B, F, H, W)."""

    def __init__(self, filters: int, squeezed: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Conv2d(filters, squeezed, 1), nn.Conv2d(squeezed, filters, 1)

    def forward(self, given: Tensor) -> Tensor:
        means = given.mean((2, 3), keepdim=True)
        return given * torch.sigmoid(self.fc2(F.silu(self.fc1(means))))


backbone.register_backbone("efficientnet_b0", EfficientNetB0, dropout=0.2)
