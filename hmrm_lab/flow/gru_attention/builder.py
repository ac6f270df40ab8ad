"""The registered estimator: the network with its shipped weights, on 8-bit frames."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hmrm_lab.flow.estimator import FlowEstimator, check_pairs
from hmrm_lab.flow.gru_attention.correlation import CorrelationKind
from hmrm_lab.flow.gru_attention.estimator import GRUFlow
from hmrm_lab.flow.gru_attention.weights import SHIPPED, load_weights
from hmrm_lab.records import Floats
from hmrm_lab.registry import flows
from hmrm_lab.runtime.processes import keep_memory


@flows.register("gru_attention", source="HMRM 3.1.1 (GRU-AOFE); pre-trained on procedural pairs")
def gru_attention(
    *,
    weights: str = "",
    coarse_iterations: int = 2,
    fine_iterations: int = 2,
    volume: CorrelationKind = "auto",
    batch: int = 8,
    device: str = "cpu",
) -> FlowEstimator:
    """GRU-AOFE, frozen.

    Parameters
    ----------
    weights
        A file of weights; none takes those of the package.
    volume
        How correlation is computed; the values are the same, memory is not.
    batch
        How many pairs go through the network at once.
    """
    keep_memory()
    network = load_weights(
        Path(weights) if weights else SHIPPED,
        iterations=(coarse_iterations, fine_iterations),
        volume=volume,
    )
    return FrozenFlow(network.to(device), batch, device)


@dataclass(frozen=True)
class FrozenFlow:
    """A network as a `FlowEstimator`."""

    network: GRUFlow
    batch: int
    device: str

    def __call__(self, onset: NDArray[np.uint8], apex: NDArray[np.uint8]) -> Floats:
        check_pairs(onset, apex)
        fields = [
            self._estimate(onset[start : start + self.batch], apex[start : start + self.batch])
            for start in range(0, len(onset), self.batch)
        ]
        return np.concatenate(fields)

    @torch.inference_mode()
    def _estimate(self, onset: NDArray[np.uint8], apex: NDArray[np.uint8]) -> Floats:
        flow = self.network(as_tensor(onset, self.device), as_tensor(apex, self.device))
        return flow.cpu().numpy().astype(np.float32)


def as_tensor(frames: NDArray[np.uint8], device: str = "cpu") -> Tensor:
    """(B, H, W, 3) uint8 to (B, 3, H, W) float32 in 0..1."""
    planes = np.ascontiguousarray(frames.transpose(0, 3, 1, 2))
    return torch.from_numpy(planes).to(device).float() / 255
