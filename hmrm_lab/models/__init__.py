"""Systems, one file each, and the blocks they share. Importing this folder registers them."""

from hmrm_lab.models import ammsm, handcrafted, hmrm, meganet, networks
