"""Optical flow: estimators, strain, normalisation, files."""

from hmrm_lab.flow import classical
from hmrm_lab.flow.gru_attention import builder
from hmrm_lab.flow.of_clip import flow, flows

__all__ = ["builder", "classical", "flow", "flows"]
