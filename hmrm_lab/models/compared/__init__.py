"""The systems that HMRM is compared with, one file each. Importing this folder registers them."""

from hmrm_lab.models.compared import (
    frl_dgt,
    htnet,
    mfdan,
    mlp,
    mobilevit,
    slstt,
)

__all__ = [
    "frl_dgt",
    "htnet",
    "mfdan",
    "mlp",
    "mobilevit",
    "slstt",
]
