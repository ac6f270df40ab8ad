"""Flow in blocks of a map: Bi-WOOF (Liong et al. 2018), MDMO (Liu et al. 2016)."""

from functools import partial

import numpy as np

from hmrm_lab.models.handcrafted.binary_patterns import block_numbers
from hmrm_lab.models.handcrafted.svm import NestedSVM
from hmrm_lab.models.interface import Bins, Blocks, Estimator, InnerFolds, Inputs, system
from hmrm_lab.records import Floats


@system("bi_woof")
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


@system("mdmo")
def mdmo(
    classes: int, *, grid: Blocks = 6, bins: Bins = 8, inner_folds: InnerFolds = 5
) -> Estimator:
    """The main flow of `grid` x `grid` regions, in a support vector machine."""
    describe = partial(main_directions, grid=grid, bins=bins)
    return NestedSVM(describe, "rbf", classes, inner_folds=inner_folds)


def main_directions(motion: Inputs, *, grid: int, bins: int) -> Floats:
    """Compute the main flow of every region: (2, H, W), order (u, v), to (grid^2 * 2,).

    It is the mean over the pixels of the most frequent direction; the longest is scaled to 1. The
    middle of a bin, not its edge, lies at +u.
    """
    u, v = np.asarray(motion, dtype=np.float64)
    height, width = u.shape
    turns = np.arctan2(v, u) / (2 * np.pi) + 0.5 / bins
    direction = (np.floor(turns * bins).astype(np.int64)) % bins
    region = block_numbers(height, width, grid, option="model.grid")
    places, total = (region * bins + direction).ravel(), grid**2 * bins
    counts, sums_u, sums_v = (
        np.bincount(places, weights, total).reshape(-1, bins)
        for weights in (None, u.ravel(), v.ravel())
    )
    main = counts.argmax(1)[:, None]
    flow = np.concatenate([np.take_along_axis(s, main, 1) for s in (sums_u, sums_v)], axis=1)
    flow /= np.maximum(np.take_along_axis(counts, main, 1), 1)
    longest = np.hypot(*flow.T).max()
    return (flow / longest if longest > 0 else flow).ravel().astype(np.float32)
