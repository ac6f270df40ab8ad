"""The systems that HMRM is compared with, one file each. Importing this folder registers them."""

from hmrm_lab.models.networks import (
    capsulenet,
    efficientnet_b0,
    frl_dgt,
    geme,
    googlenet,
    htnet,
    mfdan,
    mlp,
    mobilevit,
    off_apexnet,
    resnet,
    slstt,
    ststnet,
    vgg,
)
