"""AMMSM: adaptive motion magnification and sparse Mamba. A file for each box of its figures."""

from hmrm_lab.models.ammsm import ammsm
