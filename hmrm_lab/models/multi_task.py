"""Networks with a second loss of their own, beside that of the answer.

Magnification that supervises itself, say: its loss needs no label. The trainer adds it to the
classification loss; a test, a cost or a feature never asks for it.
"""

from typing import Protocol, runtime_checkable

from torch import Tensor, nn


@runtime_checkable
class MultiTask(Protocol):
    """A network with `forward` as every system has it, and this for its training.

    It is one pass: the logits are those that `forward` gives, and the loss is of the same maps.

    Shapes
    ------
    maps : (B, C, H, W)
    returns : logits (B, scales, K), and the extra loss (), already weighted, a mean over clips
    """

    def forward_tasks(self, maps: Tensor) -> tuple[Tensor, Tensor | float]: ...


def forward_tasks(network: nn.Module, maps: Tensor) -> tuple[Tensor, Tensor | float]:
    """The logits of any network, and its extra loss: 0 where it has none."""
    if isinstance(network, MultiTask):
        return network.forward_tasks(maps)
    return network(maps), 0.0
