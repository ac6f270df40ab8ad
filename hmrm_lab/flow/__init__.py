"""Optical flow: estimators, motion maps, pre-training."""

from hmrm_lab.flow import estimator, gru_attention
from hmrm_lab.flow.estimator import flow, flows
