"""Where the tensors of widely published weights belong in the networks of this folder.

The names are those of torchvision's state dicts. A file that torch wrote keeps their order and a
safetensors file does not, so that tensors are found by name.
"""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import torch
from pydantic import AfterValidator
from torch import Tensor, nn

from hmrm_lab.errors import ConfigError
from hmrm_lab.runtime.tensors import read_tensors

Renaming = Callable[[str], str]

STAGES = (1, 2, 2, 3, 3, 4, 1)  # blocks of each of EfficientNet-B0's
INCEPTIONS = {"3a": 1, "3b": 2, "4a": 4, "4b": 5, "4c": 6, "4d": 7, "4e": 8, "5a": 10, "5b": 11}
"""Places in `GoogLeNet.stages`; a pooling lies at 0, 3 and 9."""


def resnet_name(name: str) -> str:
    """`layer2.0.conv1.weight` to `stages.1.0.body.0.0.weight`, and so on."""
    if name.startswith(("conv1.", "bn1.")):
        return re.sub(r"^conv1", "stem.0.0", re.sub(r"^bn1", "stem.0.1", name))
    name = re.sub(r"^layer(\d+)", lambda found: f"stages.{int(found[1]) - 1}", name)
    name = re.sub(r"\.conv(\d)", lambda found: f".body.{int(found[1]) - 1}.0", name)
    name = re.sub(r"\.bn(\d)", lambda found: f".body.{int(found[1]) - 1}.1", name)
    return re.sub(r"^fc\.", "head.", name.replace(".downsample.", ".shortcut."))


def efficientnet_name(name: str) -> str:
    """`features.2.1.block.2.fc1.weight` to `blocks.2.body.2.weigh.0.weight`, and so on."""
    name = re.sub(r"^features\.(\d+)\.(\d+)\.block", _block, name)
    name = re.sub(r"^features\.0\.", "stem.", name)
    name = re.sub(rf"^features\.{len(STAGES) + 1}\.", "last.", name)
    name = name.replace(".fc1.", ".weigh.0.").replace(".fc2.", ".weigh.2.")
    return re.sub(r"^classifier\.1\.", "head.", name)


def googlenet_name(name: str) -> str:
    """`inception3a.branch2.1.conv.weight` to `stages.1.ways.1.1.0.weight`, and so on."""
    name = re.sub(r"^inception(\w\w)\.branch(\d)", _way, name)
    name = re.sub(r"^conv1\.", "stem.0.", name)
    name = re.sub(r"^conv([23])\.", r"stem.\1.", name)
    name = name.replace(".conv.", ".0.").replace(".bn.", ".1.")
    return re.sub(r"^(fc|aux\d)\.", "head.", name)


def same_name(name: str) -> str:
    """VGG's layers are counted alike in both, and MEGANet is published nowhere."""
    return name


def _block(found: re.Match[str]) -> str:
    stage, block = int(found[1]), int(found[2])
    return f"blocks.{sum(STAGES[: stage - 1]) + block}.body"


def _way(found: re.Match[str]) -> str:
    stage = INCEPTIONS.get(found[1])
    return found[0] if stage is None else f"stages.{stage}.ways.{int(found[2]) - 1}"


COLOURS = 3
DIGITS = 16
PINNED = re.compile(rf"@sha256:[0-9a-f]{{{DIGITS}}}$")
HEADS = ("head.", "classifier.")  # what tells classes apart is left as it was drawn
BIAS = re.compile(r"features\.(\d+)\.bias$")  # of a VGG's convolution, or of its normalisation
COUNTER = "num_batches_tracked"  # no number of it is used

FITTING = (
    "take weights of this very network: model.width=1 for published ones, and for a VGG"
    " model.batch_norm as in the file"
)


def pin(weights: str) -> str:
    """`PATH@sha256:DIGITS` for a path; what is pinned already, or empty, stays as it is."""
    if not weights or PINNED.search(weights):
        return weights
    path = Path(weights).expanduser()
    return f"{path}@sha256:{_digits(path)}"


OwnWeights = Annotated[str, AfterValidator(pin)]


def load_own(network: nn.Module, weights: str, rename: Renaming) -> None:
    """Put the tensors of a safetensors file in place of the drawn ones; nothing for an empty name.

    Tensors are named as in the network, or as `rename` knows them. The last layers, which tell
    classes apart, are left as drawn: for a VGG all three linear ones. A first convolution for three
    colours has its mean over them for each channel of ours, times 3 / C, so that what comes out
    keeps its size. A bias before batch normalisation, as torchvision's VGGs have, is taken off the
    running mean, which comes to the same.

    Raises
    ------
    ConfigError
        If the file has changed since the settings were read, or the first tensor that lacks,
        is left over, does not fit, or is not finite.
    """
    if not weights:
        return
    path = Path(PINNED.sub("", weights))
    if PINNED.search(weights) and pin(str(path)) != weights:
        raise ConfigError(
            "this file of weights has changed since the run began",
            where=path,
            mend="bring the old file back, or set model.weights anew",
        )
    _, tensors = read_tensors(
        path, problem="not readable as safetensors", mend="save the state dict with safetensors"
    )
    drawn = {name: value for name, value in network.state_dict().items() if _wanted(name)}
    given = _without_cancelled(_placed(tensors, drawn, rename), drawn)
    first = next(name for name, value in drawn.items() if value.ndim == 4)
    for place, value in drawn.items():
        if place not in given:
            raise ConfigError(f"no tensor for {place}", where=path, mend=FITTING)
        name, tensor = given[place]
        fitting = _for_channels(tensor, value.shape[1]) if place == first else tensor
        if fitting.shape != value.shape:
            sizes = f"{tuple(tensor.shape)}, and {place} is {tuple(value.shape)}"
            raise ConfigError(f"tensor {name} is {sizes}", where=path, mend=FITTING)
        if not bool(torch.isfinite(fitting).all()):
            raise ConfigError(f"tensor {name} is not finite", where=path, mend="take a sound file")
        with torch.no_grad():
            value.copy_(fitting)
    if left := [name for place, (name, _) in given.items() if place not in drawn]:
        raise ConfigError(f"tensor {left[0]} has no place here", where=path, mend=FITTING)


def _placed(
    tensors: dict[str, Tensor], drawn: dict[str, Tensor], rename: Renaming
) -> dict[str, tuple[str, Tensor]]:
    """Where each tensor goes, with its name in the file; without the last layers."""
    found = {}
    for name, tensor in tensors.items():
        ours = name.removeprefix("network.")  # as a trained model has them
        place = ours if ours in drawn else rename(ours)
        if _wanted(place):
            found[place] = name, tensor
    return found


def _without_cancelled(
    given: dict[str, tuple[str, Tensor]], drawn: dict[str, Tensor]
) -> dict[str, tuple[str, Tensor]]:
    """Biases of convolutions that a network has no place for, taken off the mean behind them.

    (x + b) - m is x - (m - b); in training the mean is the batch's own and b cancels.
    """
    found = dict(given)
    for place, (_, bias) in given.items():
        layer = BIAS.match(place)
        if layer is None or place in drawn:
            continue
        mean = f"features.{int(layer[1]) + 1}.running_mean"
        name, value = given.get(mean, ("", None))
        _, weight = given.get(f"features.{layer[1]}.weight", ("", None))
        if value is None or weight is None or weight.ndim != 4 or value.shape != bias.shape:
            continue
        found[mean] = name, value.double() - bias.double()
        del found[place]
    return found


def _wanted(name: str) -> bool:
    return not name.startswith(HEADS) and not name.endswith(COUNTER)


def _for_channels(tensor: Tensor, channels: int) -> Tensor:
    """(D, 3, k, k) to (D, C, k, k): each channel the mean over the colours, times 3 / C."""
    if tensor.ndim != 4 or tensor.shape[1] != COLOURS or channels == COLOURS:
        return tensor
    mean = tensor.mean(1, keepdim=True) * (COLOURS / channels)
    return mean.expand(-1, channels, -1, -1)


def _digits(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:DIGITS]
    except OSError as error:
        raise ConfigError(
            f"no readable file of weights ({error.strerror})",
            where=path,
            mend="set model.weights to a safetensors file",
        ) from None
