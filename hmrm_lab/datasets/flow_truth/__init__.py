"""Pairs of frames with exact flow: procedural ones, synthetic faces, and the published sets."""

from hmrm_lab.datasets.flow_truth.pairs import PairSource, TruePair
from hmrm_lab.datasets.flow_truth.procedural import ProceduralPairs

__all__ = ["PairSource", "ProceduralPairs", "TruePair"]
