"""A system of two parts: numbers that describe a clip by itself, then a machine that learns."""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
from torch import Tensor

from hmrm_lab.errors import ConfigError
from hmrm_lab.models.handcrafted.nested_svm import NestedSVM
from hmrm_lab.models.layers import Describe, InnerFolds, Inputs, remembered
from hmrm_lab.records import Floats, Ints
from hmrm_lab.registry import Recipe


def block_numbers(height: int, width: int, blocks: int, *, option: str = "model.blocks") -> Ints:
    """The block of every pixel, row by row from 0: (`height`, `width`), 0..blocks^2 - 1."""
    check_blocks(height, width, blocks, option=option)
    rows, columns = (np.arange(side) * blocks // side for side in (height, width))
    return np.asarray(rows[:, None] * blocks + columns[None], dtype=np.int64)


def check_blocks(
    height: int, width: int, blocks: int, *, option: str = "model.blocks", least: int = 1
) -> None:
    """A `ConfigError` that names `option` where a block has less than `least` pixels a side."""
    if blocks * least > min(height, width):
        of = "" if least == 1 else f" of at least {least} pixels"
        raise ConfigError(
            f"{blocks} blocks{of} a side do not fit {width} x {height} pixels",
            mend=f"set a smaller {option}",
        )


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


def described_clips(
    describe: "partial[Floats]", classes: int, inner_folds: InnerFolds
) -> DescribedSVM:
    """Descriptions that are computed once for a clip, in a linear machine."""
    return DescribedSVM(remembered(describe), NestedSVM("linear", classes, inner_folds=inner_folds))
