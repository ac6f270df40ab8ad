"""A support vector machine on whole flow maps: the bar that a network has to pass."""

from typing import Literal

import numpy as np

from hmrm_lab.models.handcrafted.described import DescribedSVM
from hmrm_lab.models.handcrafted.nested_svm import NestedSVM
from hmrm_lab.models.layers import Estimator, InnerFolds, Inputs
from hmrm_lab.records import Floats
from hmrm_lab.registry import Card, Recipe, systems

RECIPE: Recipe = {
    "input": {"channels": ["u", "v", "strain"], "normalise": "median_rms"},
    "augment": {"motionmix": 0.0},
}

CARD = Card(
    takes="flow maps",
    citation="Cortes and Vapnik, Support-vector networks, Machine Learning 20, 1995",
    fidelity="faithful",
    departures=(
        "C, the kernel's width and the slope of the probabilities are chosen on training subjects"
        " alone, anew in every fold",
    ),
    estimator=True,
)


@systems.register("svm", recipe=RECIPE, source="Cortes and Vapnik 1995", card=CARD)
def svm(
    classes: int,
    *,
    kernel: Literal["rbf", "linear"] = "rbf",
    inner_folds: InnerFolds = 5,
    balanced: bool = True,
) -> Estimator:
    """All values of the maps, standardised on the training clips, in a support vector machine."""
    return DescribedSVM(
        flattened, NestedSVM(kernel, classes, inner_folds=inner_folds, balanced=balanced)
    )


def flattened(maps: Inputs) -> Floats:
    """(C, H, W) to (C * H * W,)."""
    values: Floats = np.asarray(maps, dtype=np.float32).ravel()
    return values
