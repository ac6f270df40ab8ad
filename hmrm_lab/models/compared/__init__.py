"""The systems that HMRM is compared with, one file each. Importing this folder registers them."""

from hmrm_lab.models.compared import (
    capsulenet,
    efficientnet_b0,
    geme,
    googlenet,
    off_apexnet,
    resnet18,
    resnet50,
    ststnet,
    vgg16,
    vgg19,
)

__all__ = [
    "capsulenet",
    "efficientnet_b0",
    "geme",
    "googlenet",
    "off_apexnet",
    "resnet18",
    "resnet50",
    "ststnet",
    "vgg16",
    "vgg19",
]
