"""MDMO: the mean flow along the main direction of each region (Liu et al. 2016)."""

from functools import partial

import numpy as np

from hmrm_lab.models.handcrafted.lbp_top import block_numbers
from hmrm_lab.models.handcrafted.svm import NestedSVM
from hmrm_lab.models.layers import Bins, Blocks, Estimator, InnerFolds, Inputs
from hmrm_lab.records import Floats
from hmrm_lab.registry import Card, Recipe, systems

RECIPE: Recipe = {
    "input": {"channels": ["u", "v"], "normalise": "median_rms"},
    "augment": {"motionmix": 0.0},
}

CARD = Card(
    takes="flow maps",
    citation="Liu et al., A Main Directional Mean Optical Flow Feature for Spontaneous"
    " Micro-Expression Recognition, IEEE Transactions on Affective Computing 7, 2016",
    fidelity="adapted",
    departures=(
        "a grid of 6 x 6 stands in for the 36 regions between landmarks",
        "one flow from onset to apex, not the mean over all frames of a clip",
        "a region's flow is kept as (u, v) and not as length and angle, which tears directions"
        " apart at 180 degrees",
        "an RBF kernel, its width and C chosen on training subjects",
        "on published maps u and v are scaled each by its own RMS: their directions"
        " are not those of the face",
    ),
    estimator=True,
    needs=("u", "v"),
)


@systems.register("mdmo", recipe=RECIPE, source="Liu et al. 2016", card=CARD)
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
