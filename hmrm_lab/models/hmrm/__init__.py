"""HMRM: a file for each box of the paper's figures."""

from hmrm_lab.models.hmrm.hmrm import HMRM
