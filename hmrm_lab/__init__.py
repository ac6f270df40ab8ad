"""hmrm-lab: micro-expression recognition with HMRM, measured honestly.

Frames become faces, faces become flow, flow becomes tokens, tokens become logits, logits become
predictions, and every number, table and picture is computed from the predictions:

    datasets      clips: procedural faces, or recordings; or ready-made flow maps
    faces         detection, landmarks, alignment, regions, apex
    flow          optical flow from onset to apex, strain, normalisation
    pictures      a clip as one picture: dynamic image, MESTI
    preparation   the four above in one step: clips to motion maps, cached
    augment       MotionMix, and flips and shifts that know what they do to vectors
    models        Grained Mamba, region fusion, HMRM, and the systems it is compared with, networks
                  and others
    training      the one classifier loop and the multi-scale loss; what is fitted in one step
    evaluation    leave-one-subject-out, epoch rules, pooled metrics with intervals
    reporting     figures, tables and the HTML report
    studies       whole experiments
    api           the face: what a person types after `import hmrm_lab as lab`, imported when used;
                  `cli` is the command line

Each line imports only from lines above it. Beneath all of them lie `config`, `overrides`,
`registry`, `cards`, `errors`, `records`, `dealing`, `store`, `tensors` and `process`.
"""

from importlib.metadata import PackageNotFoundError, version

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

try:
    __version__ = version("hmrm-lab")
except PackageNotFoundError:  # a checkout that is not installed
    __version__ = "0.0.0"
