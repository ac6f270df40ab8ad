"""Residual networks (He et al., CVPR 2016): the blocks, and ResNet as a whole."""

import re
from functools import partial

from torch import Tensor, nn
from torch.nn import functional as F

from hmrm_lab.models.layers import Dropout
from hmrm_lab.models.networks import backbone
from hmrm_lab.models.networks.backbone import begin_as_he, conv_norm, count_filters
from hmrm_lab.registry import Card

STEM = 64  # filters of the first convolution
STAGES = (64, 128, 256, 512)
EXPANSION = 4  # of a bottleneck: its output has as many times the filters of its inside

CARD = Card(
    takes="flow maps",
    citation="He et al., Deep Residual Learning for Image Recognition, CVPR 2016",
    fidelity="adapted",
    departures=(backbone.ENLARGED, backbone.NARROW, backbone.OR_OWN_WEIGHTS),
)


class ResNet(nn.Module):
    """Stem, four stages that halve the map, mean, linear layer. (B, C, H, W) to (B, K)."""

    def __init__(
        self,
        channels: int,
        classes: int,
        *,
        blocks: tuple[int, int, int, int],
        bottleneck: bool,
        width: float = 1.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        given = count_filters(STEM, width)
        self.stem = pooled_stem(channels, given)
        self.stages = nn.Sequential()
        for place, (published, count) in enumerate(zip(STAGES, blocks, strict=True)):
            filters = count_filters(published, width)
            stride = 2 if place else 1
            self.stages.append(stage(given, filters, count, stride=stride, bottleneck=bottleneck))
            given = filters * EXPANSION if bottleneck else filters
        self.dropout = Dropout(dropout)
        self.head = nn.Linear(given, classes)
        begin_as_he(self)

    def forward(self, pictures: Tensor) -> Tensor:
        features = self.stages(self.stem(pictures)).mean((2, 3))
        return self.head(self.dropout(features))


def pooled_stem(channels: int, filters: int) -> nn.Sequential:
    """Make a 7x7 convolution and a pooling; the map is a quarter as high and wide."""
    return nn.Sequential(
        conv_norm(channels, filters, 7, stride=2), nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
    )


def stage(
    given: int, filters: int, count: int, *, stride: int, bottleneck: bool = False
) -> nn.Sequential:
    """Make a sequence of residual blocks; the first has the stride."""
    blocks = nn.Sequential()
    for number in range(count):
        step = 1 if number else stride
        blocks.append(Residual(given, filters, stride=step, bottleneck=bottleneck))
        given = filters * EXPANSION if bottleneck else filters
    return blocks


class Residual(nn.Module):
    """Two 3x3 convolutions, or 1x1, 3x3, 1x1 as a bottleneck, with a shortcut. (B, F, H, W).

    The shortcut is a 1x1 convolution where the shape changes; a bottleneck has 4 F filters.
    """

    def __init__(self, given: int, filters: int, *, stride: int, bottleneck: bool) -> None:
        super().__init__()
        out = filters * EXPANSION if bottleneck else filters
        layers = (
            [
                conv_norm(given, filters, 1),
                conv_norm(filters, filters, 3, stride=stride),
                conv_norm(filters, out, 1, activation=None),
            ]
            if bottleneck
            else [
                conv_norm(given, filters, 3, stride=stride),
                conv_norm(filters, out, 3, activation=None),
            ]
        )
        self.body = nn.Sequential(*layers)
        same = stride == 1 and given == out
        self.shortcut = (
            nn.Identity() if same else conv_norm(given, out, 1, stride=stride, activation=None)
        )

    def forward(self, given: Tensor) -> Tensor:
        return F.relu(self.body(given) + self.shortcut(given))


def torchvision_name(name: str) -> str:
    """Translate `layer2.0.conv1.weight` to `stages.1.0.body.0.0.weight`, and so on."""
    if name.startswith(("conv1.", "bn1.")):
        return re.sub(r"^conv1", "stem.0.0", re.sub(r"^bn1", "stem.0.1", name))
    name = re.sub(r"^layer(\d+)", lambda found: f"stages.{int(found[1]) - 1}", name)
    name = re.sub(r"\.conv(\d)", lambda found: f".body.{int(found[1]) - 1}.0", name)
    name = re.sub(r"\.bn(\d)", lambda found: f".body.{int(found[1]) - 1}.1", name)
    return re.sub(r"^fc\.", "head.", name.replace(".downsample.", ".shortcut."))


for _name, _blocks, _bottleneck in (
    ("resnet18", (2, 2, 2, 2), False),
    ("resnet50", (3, 4, 6, 3), True),
):
    backbone.register_backbone(
        _name,
        partial(ResNet, blocks=_blocks, bottleneck=_bottleneck),
        torchvision_name,
        dropout=0.0,
        source="He et al. 2016",
        card=CARD,
    )
