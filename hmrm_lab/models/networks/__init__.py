"""The systems that HMRM is compared with. Importing this folder registers them."""

from hmrm_lab.models.networks import htnet, mobilevit, pictures, resnet, shallow, transformers
