"""What compared networks share: enlarged maps, narrow filters, and weights of one's own.

A network for pictures of 224 pixels reads maps enlarged to `side`, and is as published but for its
`width`, the share of its filters. `side=224` and `width=1` are the published network, which is too
slow for a leave-one-subject-out on a CPU.
"""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import torch
from pydantic import AfterValidator, Field
from torch import Tensor, nn
from torch.nn import functional as F

from hmrm_lab.errors import ConfigError
from hmrm_lab.models.interface import Dropped, system
from hmrm_lab.models.layers import Dropout, Linear
from hmrm_lab.runtime.store import read_tensors

Side = Annotated[int, Field(ge=32, le=448)]  # pixels of the enlarged map
Width = Annotated[float, Field(gt=0, le=1)]  # share of the published filters

SIDE = 56  # twice the map: the last features of a network that halves five times are 2x2
EIGHT = 8  # filters are counted in eights, as in EfficientNet


class OnMaps(nn.Module):
    """A network for pictures that reads enlarged maps. (B, C, H, W) to (B, 1, K)."""

    def __init__(self, network: nn.Module, side: int) -> None:
        super().__init__()
        self.network, self.side = network, side

    def forward(self, maps: Tensor) -> Tensor:
        return self.network(enlarge(maps, self.side))[:, None]


def enlarge(maps: Tensor, side: int) -> Tensor:
    """Resize (B, C, H, W) to (B, C, side, side), bilinear, channels last in memory."""
    larger = F.interpolate(maps, size=(side, side), mode="bilinear", align_corners=False)
    return larger.contiguous(memory_format=torch.channels_last)


def count_filters(published: int, width: float) -> int:
    """Scale a number of filters to the nearest multiple of eight, at least eight."""
    return max(EIGHT, round(published * width / EIGHT) * EIGHT)


def conv_norm(
    given: int,
    filters: int,
    kernel: int,
    *,
    stride: int = 1,
    groups: int = 1,
    activation: type[nn.Module] | None = nn.ReLU,
) -> nn.Sequential:
    """Make convolution, batch normalisation and activation; the stride alone shrinks the map."""
    layers = nn.Sequential(
        nn.Conv2d(given, filters, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(filters),
    )
    return layers.append(activation()) if activation else layers


@torch.no_grad()
def begin_as_he(network: nn.Module) -> None:
    """Draw the weights of convolutions as He et al. 2015 do for ReLU; biases begin at zero."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            # Within a group, as torch's own function does not count it.
            fan_out = layer.out_channels // layer.groups * layer.weight[0, 0].numel()
            nn.init.normal_(layer.weight, std=(2 / fan_out) ** 0.5)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def three_linear(given: int, hidden: int, classes: int, dropout: float) -> nn.Sequential:
    """Make the three linear layers that end a network, with ReLU and dropout between them."""
    layers = nn.Sequential()
    for before in (given, hidden):
        layers.extend([Linear(before, hidden), nn.ReLU(), Dropout(dropout)])
    return layers.append(nn.Linear(hidden, classes))


COLOURS, DIGITS = 3, 16
PINNED = re.compile(rf"@sha256:[0-9a-f]{{{DIGITS}}}$")
HEADS = ("head.", "classifier.")  # the last layers stay as drawn
BIAS = re.compile(r"features\.(\d+)\.bias$")  # of a VGG's convolution, or of its normalisation
COUNTER = "num_batches_tracked"  # used by no network

FITTING = (
    "take weights of this very network: model.width=1 for published ones, and for a VGG"
    " model.batch_norm as in the file"
)
Renaming = Callable[[str], str]


def pin(weights: str) -> str:
    """Make `PATH@sha256:DIGITS` of a path; what is pinned already, or empty, is unchanged."""
    if not weights or PINNED.search(weights):
        return weights
    path = Path(weights).expanduser()
    try:
        with path.open("rb") as file:
            digits = hashlib.file_digest(file, "sha256").hexdigest()[:DIGITS]
    except OSError as error:
        problem = f"no readable file of weights ({error.strerror})"
        hint = "set model.weights to a safetensors file"
        raise ConfigError(problem, where=path, hint=hint) from None
    return f"{path}@sha256:{digits}"


OwnWeights = Annotated[str, AfterValidator(pin)]


def register_backbone(
    name: str,
    network: Callable[..., nn.Module],
    rename: Renaming = str,
    *,
    dropout: float,
    family: str = "",
) -> None:
    """Register a network for pictures, (B, C, H, W) to (B, K), as a system that reads maps."""
    drop = dropout

    @system(name, family=family)
    def build(
        channels: int,
        size: int,
        classes: int,
        *,
        side: Side = SIDE,
        width: Width = 0.25,
        dropout: Dropped = drop,
        weights: OwnWeights = "",
    ) -> OnMaps:
        built = network(channels, classes, width=width, dropout=dropout)
        load_own(built, weights, rename)
        return OnMaps(built, side)


def load_own(network: nn.Module, weights: str, rename: Renaming = str) -> None:
    """Load the tensors of a safetensors file into a network; no file for an empty name.

    Tensors are named as in the network, or as torchvision names them and `rename` translates. The
    last layers stay as drawn: for a VGG all three linear ones. A first convolution for three
    colours is averaged over them, times 3 / C. A bias before batch normalisation, as torchvision's
    VGGs have, is subtracted from the running mean.

    Raises `ConfigError` if the file has changed since the settings were read, or naming the first
    tensor that is missing, is left over, does not fit, or is not finite.
    """
    if not weights:
        return
    path = Path(PINNED.sub("", weights))

    def refused(problem: str, hint: str = FITTING) -> ConfigError:
        return ConfigError(problem, where=path, hint=hint)

    if PINNED.search(weights) and pin(str(path)) != weights:
        hint = "restore the old file, or set model.weights again"
        raise refused("this file of weights has changed since the run began", hint)
    _, tensors = read_tensors(
        path, problem="not readable as safetensors", hint="save the state dict with safetensors"
    )
    drawn = {name: value for name, value in network.state_dict().items() if _is_loaded(name)}
    given = {}  # by its name in the network: the name in the file, and the tensor
    for name, tensor in tensors.items():
        ours = name.removeprefix("network.")  # as a trained model has them
        if _is_loaded(place := ours if ours in drawn else rename(ours)):
            given[place] = name, tensor
    given = _without_biases(given, drawn)
    first = next(name for name, value in drawn.items() if value.ndim == 4)
    for place, value in drawn.items():
        if place not in given:
            raise refused(f"no tensor for {place}")
        name, tensor = given[place]
        fitting = _for_channels(tensor, value.shape[1]) if place == first else tensor
        if fitting.shape != value.shape:
            sizes = f"{tuple(tensor.shape)}, and {place} is {tuple(value.shape)}"
            raise refused(f"tensor {name} is {sizes}")
        if not bool(torch.isfinite(fitting).all()):
            raise refused(f"tensor {name} is not finite", "take a sound file")
        with torch.no_grad():
            value.copy_(fitting)
    if left := [name for place, (name, _) in given.items() if place not in drawn]:
        raise refused(f"tensor {left[0]} has no place here")


def _is_loaded(name: str) -> bool:
    return not name.startswith(HEADS) and not name.endswith(COUNTER)


def _without_biases(
    given: dict[str, tuple[str, Tensor]], drawn: dict[str, Tensor]
) -> dict[str, tuple[str, Tensor]]:
    """Subtract biases that the network lacks from the running mean after them.

    (x + b) - m is x - (m - b); in training the mean is the batch's own and b cancels.
    """
    found = dict(given)
    for place, (_, bias) in given.items():
        layer = BIAS.match(place)
        mean = f"features.{int(layer[1]) + 1}.running_mean" if layer else ""
        if place not in drawn and mean in given and given[mean][1].shape == bias.shape:
            name, value = given[mean]
            found[mean] = name, value.double() - bias.double()
            del found[place]
    return found


def _for_channels(tensor: Tensor, channels: int) -> Tensor:
    """Average (D, 3, k, k) over colours, times 3 / C, for each channel: (D, C, k, k)."""
    if tensor.ndim != 4 or tensor.shape[1] != COLOURS or channels == COLOURS:
        return tensor
    mean = tensor.mean(1, keepdim=True) * (COLOURS / channels)
    return mean.expand(-1, channels, -1, -1)
