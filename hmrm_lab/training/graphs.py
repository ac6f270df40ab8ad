"""Loss and gradients of a batch, recorded once and replayed: CUDA graphs.

A step of a small model launches some hundreds of kernels, for which the GPU waits; a recorded step
is one launch. Forward pass, loss and backward pass are recorded, once for each size of batch;
augmentation, optimizer and averages are few kernels and stay outside.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Loss = Callable[[Tensor, Tensor], Tensor]  # maps and labels of a batch to its loss
Record = Callable[[Callable[[], Tensor]], tuple[Callable[[], None], Tensor]]
"""Records work; returns the replay and the tensor of its result."""

WARM_UP = 3  # steps of each size that run before one is recorded


def record_cuda(work: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
    """Record work in a CUDA graph."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = work()
    return graph.replay, result


@dataclass(frozen=True)
class _Recorded:
    """A recorded step of one size of batch, with the tensors of its inputs and results."""

    maps: Tensor
    labels: Tensor
    replay: Callable[[], None]
    loss: Tensor
    gradients: list[Tensor | None]


class RecordedGradients:
    """Set the gradients of the parameters as a backward pass does; returns the loss.

    The first steps of each size are not recorded. A recorded step has memory of its own for its
    inputs and gradients.

    Parameters
    ----------
    loss_of
        The loss of a batch. It may draw random numbers on the device, and must neither read a
        number from the device nor copy to it.
    parameters
        All that get gradients.
    record
        The recorder; tests replace it.
    """

    def __init__(
        self, loss_of: Loss, parameters: list[nn.Parameter], record: Record = record_cuda
    ) -> None:
        self.loss_of, self.parameters, self.record = loss_of, parameters, record
        self._seen: dict[int, int] = {}
        self._recorded: dict[int, _Recorded] = {}

    def __call__(self, maps: Tensor, labels: Tensor) -> Tensor:
        size = len(maps)
        self._seen[size] = self._seen.get(size, 0) + 1
        if self._seen[size] <= WARM_UP:
            return self._on_own_stream(maps, labels)
        if size not in self._recorded:
            self._recorded[size] = self._record_step(maps, labels)
        step = self._recorded[size]
        step.maps.copy_(maps)
        step.labels.copy_(labels)
        step.replay()
        for parameter, gradient in zip(self.parameters, step.gradients, strict=True):
            parameter.grad = gradient
        return step.loss

    def unrecorded(self, maps: Tensor, labels: Tensor) -> Tensor:
        """Set the gradients without a recording, on any device.

        They are new tensors, so that a recording sets them and does not add to them.
        """
        for parameter in self.parameters:
            parameter.grad = None
        loss = self.loss_of(maps, labels)
        loss.backward()
        return loss.detach()

    def _on_own_stream(self, maps: Tensor, labels: Tensor) -> Tensor:
        """Warm up on a stream of its own, as a recording needs it."""
        if not maps.is_cuda:
            return self.unrecorded(maps, labels)
        own, current = torch.cuda.Stream(maps.device), torch.cuda.current_stream(maps.device)
        own.wait_stream(current)
        with torch.cuda.stream(own):
            loss = self.unrecorded(maps, labels)
        current.wait_stream(own)
        return loss

    def _record_step(self, maps: Tensor, labels: Tensor) -> _Recorded:
        own = maps.clone(), labels.clone()
        replay, loss = self.record(lambda: self.unrecorded(*own))
        return _Recorded(*own, replay, loss, [parameter.grad for parameter in self.parameters])
