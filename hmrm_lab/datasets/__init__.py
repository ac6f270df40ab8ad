"""Data sets, one file or folder each. Importing this folder registers them."""

from hmrm_lab.datasets import (
    casme2,
    casme3,
    composite,
    flowmaps,
    fourdme,
    mmew,
    samm,
    smic,
    synthetic,
)

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
