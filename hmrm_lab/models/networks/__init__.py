"""The systems that HMRM is compared with. Importing this folder registers them."""

from hmrm_lab.models.networks import (
    capsulenet,
    efficientnet_b0,
    googlenet,
    htnet,
    mobilevit,
    resnet,
    shallow,
    transformers,
    vgg,
)
