"""A system of two parts: numbers that describe a clip by itself, then a machine that learns."""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
from torch import Tensor

from hmrm_lab.models.estimator import Inputs
from hmrm_lab.models.handcrafted.nested_svm import NestedSVM
from hmrm_lab.models.options import InnerFolds
from hmrm_lab.models.remembered import Describe, remembered
from hmrm_lab.records import Floats, Ints
from hmrm_lab.registry import Recipe

OF_CLIPS: Recipe = {"augment": {"motionmix": 0.0}}  # of a system that takes no maps


class DescribedSVM:
    """An `Estimator`: a fixed description of every clip, then a support vector machine."""

    def __init__(self, describe: Describe, svm: NestedSVM) -> None:
        self.describe = describe
        self.svm = svm

    def fit(self, inputs: Inputs, labels: Ints, persons: Sequence[str], *, seed: int) -> None:
        self.svm.fit(self.features(inputs), labels, persons, seed=seed)

    def probabilities(self, inputs: Inputs) -> Floats:
        return self.svm.probabilities(self.features(inputs))

    def features(self, inputs: Inputs) -> Floats:
        """The descriptions of these clips: (n, F)."""
        return np.stack([self.describe(one) for one in inputs]).astype(np.float32)

    def state_dict(self) -> dict[str, Tensor]:
        return self.svm.state_dict()

    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> None:
        self.svm.load_state_dict(tensors)


def described_clips(describe: "partial[Floats]", inner_folds: InnerFolds) -> DescribedSVM:
    """Descriptions that are computed once for a clip, in a linear machine."""
    return DescribedSVM(remembered(describe), NestedSVM("linear", inner_folds=inner_folds))
