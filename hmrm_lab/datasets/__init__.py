"""Data sets, one file or folder each. Importing this folder registers them."""

from hmrm_lab.datasets import flowmaps, synthetic

__all__ = ["flowmaps", "synthetic"]
