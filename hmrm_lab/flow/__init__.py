"""Optical flow: estimators, motion maps, pre-training. Importing this registers the estimators."""

from hmrm_lab.flow import estimator, gru_attention
