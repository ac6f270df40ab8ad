"""Systems that are no networks: hand-made descriptors and support vector machines."""

from hmrm_lab.models.handcrafted import binary_patterns, flow_blocks, svm
