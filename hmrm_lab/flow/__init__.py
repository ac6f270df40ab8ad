"""Optical flow: estimators, strain, normalisation, files. Importing this registers them."""

from hmrm_lab.flow import classical
from hmrm_lab.flow.gru_attention import builder

__all__ = ["builder", "classical"]
