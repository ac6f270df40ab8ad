"""GRU-AOFE, the learnt optical flow of HMRM (3.1.1). A file is a box of its figure."""

from hmrm_lab.flow.gru_attention.estimator import GRUFlow, Unrolled

__all__ = ["GRUFlow", "Unrolled"]
