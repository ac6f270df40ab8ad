"""A system of two parts: numbers that describe a clip by itself, then a machine that learns."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import partial, wraps

import numpy as np
from torch import Tensor

from hmrm_lab.models.estimator import Inputs
from hmrm_lab.models.handcrafted.nested_svm import NestedSVM
from hmrm_lab.records import Floats, Ints

Describe = Callable[[Inputs], Floats]  # one clip's input to (F,) float32
REMEMBERED = 4096  # descriptions kept in a process; 80 MB of the longest

_known: "OrderedDict[str, Floats]" = OrderedDict()


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


def remembered(describe: "partial[Floats]") -> Describe:
    """The same description, computed once for a clip: every fold but one asks for it again.

    It is found by the clip's own pixels and by the settings, so that no fold can hand anything to
    another.
    """
    settings = f"{describe.func.__qualname__} {sorted(describe.keywords.items())}"

    @wraps(describe.func)
    def known(clip: Inputs) -> Floats:
        digest = hashlib.sha256(f"{settings} {clip.shape} {clip.dtype.str}".encode())
        digest.update(np.ascontiguousarray(clip).tobytes())
        name = digest.hexdigest()
        if name not in _known:
            _known[name] = describe(clip)
            while len(_known) > REMEMBERED:
                _known.popitem(last=False)
        return _known[name]

    return known
