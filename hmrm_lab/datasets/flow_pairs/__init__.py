"""Pairs of frames with exact flow: procedural ones, synthetic faces, and the published sets."""

from hmrm_lab.datasets.flow_pairs.pairs import PairSource, TruePair
from hmrm_lab.datasets.flow_pairs.procedural import ProceduralPairs

__all__ = ["PairSource", "ProceduralPairs", "TruePair"]
