"""What a system is that is no network: fitted in one step, without loss, epochs or gradients."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from numpy.typing import NDArray
from torch import Tensor

from hmrm_lab.records import Floats, Ints

Inputs = NDArray[Any]


@runtime_checkable
class Estimator(Protocol):
    """A system that learns from all training clips at once.

    Its builder takes its settings as keyword arguments and nothing else. `state_dict` holds all
    that was learnt, as tensors, so that a fitted system is stored without any code in the file.

    Shapes
    ------
    inputs : (n, C, H, W) float32 flow maps with the channels asked for, normalised, or
        (n, T, S, S) uint8 gray clips; the card says which
    labels : (n,)
    persons : `dataset/subject` of each clip, for choices on other people than those learnt from
    probabilities : (n, 3) float32, each clip by itself
    """

    def fit(self, inputs: Inputs, labels: Ints, persons: Sequence[str], *, seed: int) -> None: ...

    def probabilities(self, inputs: Inputs) -> Floats: ...

    def state_dict(self) -> dict[str, Tensor]: ...

    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> None:
        """Take a fitted state over; `RuntimeError` if a tensor is missing or of another shape."""
