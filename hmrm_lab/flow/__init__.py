"""Optical flow: estimators, strain, normalisation, files. Importing this registers them."""

from hmrm_lab.flow import classical

__all__ = ["classical"]
