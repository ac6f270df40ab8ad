"""Loss and gradients of a batch, recorded once and replayed: CUDA graphs.

A small model keeps a GPU waiting for the processor, which launches some hundreds of kernels a
step. A recorded step is one launch. Forward pass, loss and backward pass are recorded, once for
each size of batch; augmentation, optimizer and averages are few kernels and stay outside.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Loss = Callable[[Tensor, Tensor], Tensor]  # maps and labels of a batch to its loss
Record = Callable[[Callable[[], Tensor]], tuple[Callable[[], None], Tensor]]
"""Records work; gives back what does it again, and the tensor where its result then lies."""

FIRST_AS_IT_IS = 3  # steps of each size, in which kernels are compiled and memory is found


def record_cuda(work: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
    """A CUDA graph of this work."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = work()
    return graph.replay, result


@dataclass(frozen=True)
class _Recorded:
    """A step of one size: its inputs, what replays it, and where its results lie."""

    maps: Tensor
    labels: Tensor
    replay: Callable[[], None]
    loss: Tensor
    gradients: list[Tensor | None]


class RecordedGradients:
    """Sets the gradients of the parameters as a backward pass would; returns the loss.

    The first steps of each size run as they are. What is recorded reads its inputs from, and
    leaves its gradients in, memory of its own.

    Parameters
    ----------
    loss_of
        Whose gradients are wanted. It may draw random numbers on the device, and must neither ask
        the device for a number nor copy to it.
    parameters
        All that get gradients.
    record
        How work is recorded; only tests give another.
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
        if self._seen[size] <= FIRST_AS_IT_IS:
            return self._beside(maps, labels)
        if size not in self._recorded:
            self._recorded[size] = self._record_step(maps, labels)
        step = self._recorded[size]
        step.maps.copy_(maps)
        step.labels.copy_(labels)
        step.replay()
        for parameter, gradient in zip(self.parameters, step.gradients, strict=True):
            parameter.grad = gradient
        return step.loss

    def as_it_is(self, maps: Tensor, labels: Tensor) -> Tensor:
        """The same without a recording, on any device.

        Gradients are made anew, so that a recording of it sets them and does not add to them.
        """
        for parameter in self.parameters:
            parameter.grad = None
        loss = self.loss_of(maps, labels)
        loss.backward()
        return loss.detach()

    def _beside(self, maps: Tensor, labels: Tensor) -> Tensor:
        """On a stream of its own, as what will be recorded, where there are streams."""
        if not maps.is_cuda:
            return self.as_it_is(maps, labels)
        beside, here = torch.cuda.Stream(maps.device), torch.cuda.current_stream(maps.device)
        beside.wait_stream(here)
        with torch.cuda.stream(beside):
            loss = self.as_it_is(maps, labels)
        here.wait_stream(beside)
        return loss

    def _record_step(self, maps: Tensor, labels: Tensor) -> _Recorded:
        own = maps.clone(), labels.clone()
        replay, loss = self.record(lambda: self.as_it_is(*own))
        return _Recorded(*own, replay, loss, [parameter.grad for parameter in self.parameters])
