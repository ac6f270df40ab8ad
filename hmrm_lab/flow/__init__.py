"""Optical flow: estimators, motion maps, pre-training."""

from hmrm_lab.flow import estimator, gru_attention
from hmrm_lab.flow.of_clip import flow, flows

__all__ = ["estimator", "flow", "flows", "gru_attention"]
