"""hmrm-lab: micro-expression recognition with HMRM, measured honestly.

Frames become faces, faces become flow, flow becomes tokens, tokens become logits, logits become
predictions, and every number, table and picture is computed from the predictions:

    datasets      clips: procedural faces, or recordings; or ready-made flow maps
    faces         detection, landmarks, alignment, regions, apex
    flow          optical flow from onset to apex, strain, normalisation
    preparation   the three above in one step: clips to motion maps and pictures, cached
    models        Grained Mamba, region fusion, HMRM, and the systems it is compared with
    training      augmentation, the classifier loop, the multi-scale loss
    evaluation    protocols, epoch rules, pooled metrics with intervals, audits
    reporting     figures, tables and the HTML report
    studies       whole experiments
    api           what a person types after `import hmrm_lab as lab`, imported when it is used
    cli           the command line

Each line imports only from lines above it. Beneath all of them lie `config`, `registry`, `errors`,
`records` and `runtime`. Examples begin with

    clips = lab.load("synthetic", preset="smoke")
    maps, mlp = clips.maps(), lab.system("mlp", preset="smoke", epochs=1)
    result = lab.evaluate(mlp, maps, seeds=1)
"""

from importlib.metadata import PackageNotFoundError, version

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

try:
    __version__ = version("hmrm-lab")
except PackageNotFoundError:  # a checkout that is not installed
    __version__ = "0.0.0"
