"""Where the tensors of widely published weights belong in the networks of this folder.

The names are those of torchvision's state dicts. A file that torch wrote keeps their order and a
safetensors file does not, so that tensors are found by name.
"""

import re
from collections.abc import Callable

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
