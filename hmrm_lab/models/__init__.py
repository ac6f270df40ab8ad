"""Systems, one file each, and the blocks they share. Importing this folder registers them."""

from hmrm_lab.models import handcrafted, hmrm, ststnet

__all__ = ["handcrafted", "hmrm", "ststnet"]
