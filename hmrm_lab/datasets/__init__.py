"""Data sets, one file or folder each. Importing this folder registers them."""

from hmrm_lab.datasets import flowmaps, synthetic
from hmrm_lab.datasets.recordings import casme2, casme3, composite, fourdme, mmew, samm, smic

__all__ = [
    "casme2",
    "casme3",
    "composite",
    "flowmaps",
    "fourdme",
    "mmew",
    "samm",
    "smic",
    "synthetic",
]
