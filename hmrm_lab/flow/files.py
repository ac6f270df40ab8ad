"""Flow fields on disk; the formats live with the data sets that are published in them."""

from hmrm_lab.datasets.flow_pairs.stored import check_suffix, read_flow, write_flow

__all__ = ["check_suffix", "read_flow", "write_flow"]
