"""Bi-WOOF: histograms of flow directions, weighted twice (Liong et al. 2018)."""

from functools import partial

import numpy as np

from hmrm_lab.models.handcrafted.lbp_top import block_numbers
from hmrm_lab.models.handcrafted.svm import NestedSVM
from hmrm_lab.models.layers import Bins, Blocks, Estimator, InnerFolds, Inputs
from hmrm_lab.records import Floats
from hmrm_lab.registry import Card, Recipe, systems

RECIPE: Recipe = {
    "input": {"channels": ["u", "v", "strain"], "normalise": "median_rms"},
    "augment": {"motionmix": 0.0},
}

CARD = Card(
    takes="flow maps",
    citation="Liong et al., Less is more: Micro-expression recognition from video using apex"
    " frame, Signal Processing: Image Communication 62, 2018",
    fidelity="adapted",
    departures=(
        "maps of 28 pixels a side, not full faces",
        "the median flow is taken away and the RMS made 1: ready-made maps have lost their zero",
        "C of the linear SVM is chosen on training subjects; published is one value for all",
        "on published maps u and v are scaled each by its own RMS: their directions and lengths"
        " are not those of the face",
    ),
    estimator=True,
    needs=("u", "v", "strain"),
)


@systems.register("bi_woof", recipe=RECIPE, source="Liong et al. 2018", card=CARD)
def bi_woof(
    classes: int, *, blocks: Blocks = 5, bins: Bins = 8, inner_folds: InnerFolds = 5
) -> Estimator:
    """Directions of flow in `blocks` x `blocks` histograms of `bins`, in a linear SVM."""
    describe = partial(weighted_orientations, blocks=blocks, bins=bins)
    return NestedSVM(describe, "linear", classes, inner_folds=inner_folds)


def weighted_orientations(motion: Inputs, *, blocks: int, bins: int) -> Floats:
    """Compute the histograms of one map: (3, H, W), order (u, v, strain), to (blocks^2 * bins,).

    A pixel counts in its direction's bin by the length of its flow (the local weight); a block
    counts by its mean strain (the global weight). Bin 0 begins at +u, and bins follow towards +v,
    which is down.
    """
    u, v, strain = np.asarray(motion, dtype=np.float64)
    height, width = u.shape
    angle = np.arctan2(v, u) % (2 * np.pi)
    direction = np.minimum((angle * bins / (2 * np.pi)).astype(np.int64), bins - 1)
    block = block_numbers(height, width, blocks)
    places, total = (block * bins + direction).ravel(), blocks**2 * bins
    local = np.bincount(places, np.hypot(u, v).ravel(), total).reshape(-1, bins)
    strains = np.bincount(block.ravel(), strain.ravel(), blocks**2)
    pixels = np.bincount(block.ravel(), minlength=blocks**2)
    return (local * (strains / pixels)[:, None]).ravel().astype(np.float32)
