"""The systems that HMRM is compared with. Importing this folder registers them."""

from hmrm_lab.models.networks import (
    affine_transformer,
    attribute_embedding,
    capsulenet,
    efficientnet,
    fmanet,
    htnet,
    mobilevit,
    multi_scale,
    over_time,
    pictures,
    resnet,
    shallow,
    transformers,
)
