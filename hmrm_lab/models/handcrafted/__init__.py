"""Systems that are no networks: hand-made descriptors of clips and support vector machines."""

from hmrm_lab.models.handcrafted import bi_woof, clbp_top, lbp_top, mdmo, stlbp_ip, svm
