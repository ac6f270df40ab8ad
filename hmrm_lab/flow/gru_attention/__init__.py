"""GRU-AOFE, the learnt optical flow of HMRM (3.1.1): the registered estimator and its weights.

The other files are the boxes of Figure 2; `gru_flow` is the whole network.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hmrm_lab.errors import InputError
from hmrm_lab.flow.estimator import FlowEstimator, check_pairs
from hmrm_lab.flow.gru_attention.correlation import CorrelationKind
from hmrm_lab.flow.gru_attention.gru_flow import GRUFlow
from hmrm_lab.records import Floats
from hmrm_lab.registry import flows
from hmrm_lab.runtime.processes import keep_memory
from hmrm_lab.runtime.store import read_header, read_tensors, write_weights

SHIPPED = Path(__file__).parents[1] / "weights" / "gru_attention.safetensors"


def save_weights(path: Path, network: GRUFlow, *, subjects: Iterable[str]) -> None:
    write_weights(path, network.state_dict(), subjects=subjects, settings=network.settings)


def load_weights(path: Path = SHIPPED, **changes: Any) -> GRUFlow:
    """The network of a file, ready to estimate; an `InputError` if it holds none.

    `changes` are settings of `GRUFlow` that do not change its weights: `iterations` and `volume`.
    """
    if not path.is_file():
        raise InputError("no such weights", where=path, hint="check the path")
    problem, hint = "not readable as weights", "copy or train them again"
    metadata, tensors = read_tensors(path, problem=problem, hint=hint)
    try:
        stored = read_header(metadata).get("settings").items()  # type: ignore[union-attr]
        settings = {name: tuple(v) if isinstance(v, list) else v for name, v in stored}
        network = GRUFlow(**{**settings, **changes})
        network.load_state_dict(tensors)
    except (TypeError, AttributeError, RuntimeError):
        problem, hint = "these are no weights of GRU-AOFE", "give a file of `pretrain`"
        raise InputError(problem, where=path, hint=hint) from None
    return network.eval()


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
    """GRU-AOFE, frozen, with a file of weights or those of the package.

    `volume` is how correlation is computed, with the same values and different needs of memory;
    `batch` is the number of pairs that go through the network at once.
    """
    keep_memory()
    path, iterations = Path(weights or SHIPPED), (coarse_iterations, fine_iterations)
    network = load_weights(path, iterations=iterations, volume=volume)
    return FrozenFlow(network.to(device), batch, device)


@dataclass(frozen=True)
class FrozenFlow:
    """A network as a `FlowEstimator`."""

    network: GRUFlow
    batch: int
    device: str

    def __call__(self, onset: NDArray[np.uint8], apex: NDArray[np.uint8]) -> Floats:
        check_pairs(onset, apex)
        parts = [slice(start, start + self.batch) for start in range(0, len(onset), self.batch)]
        return np.concatenate([self._estimate(onset[part], apex[part]) for part in parts])

    @torch.inference_mode()
    def _estimate(self, onset: NDArray[np.uint8], apex: NDArray[np.uint8]) -> Floats:
        flow = self.network(as_tensor(onset, self.device), as_tensor(apex, self.device))
        return flow.cpu().numpy().astype(np.float32)


def as_tensor(frames: NDArray[np.uint8], device: str = "cpu") -> Tensor:
    """(B, H, W, 3) uint8 to (B, 3, H, W) float32 in 0..1."""
    planes = np.ascontiguousarray(frames.transpose(0, 3, 1, 2))
    return torch.from_numpy(planes).to(device).float() / 255


@dataclass(frozen=True, eq=False)
class Steps:
    """The flow after every update, (T, 2, H, W) in pixels, and the attention of the last update.

    Attention is (J, h, w), at 1/4 of the frame; the J shares of a pixel add up to 1. `attended` has
    a name for each of the J hidden states; none if they are regions of a square grid, row by row.
    """

    flows_px: Floats
    names: tuple[str, ...]
    attention: Floats
    attended: tuple[str, ...]


def update_names(estimator: FrozenFlow) -> tuple[str, ...]:
    at_coarse, at_fine = estimator.network.iterations
    coarse = [f"1/8, update {number}" for number in range(1, at_coarse + 1)]
    return (*coarse, *(f"1/4, update {number}" for number in range(1, at_fine + 1)))


@torch.inference_mode()
def flow_steps(estimator: FrozenFlow, onset: NDArray[np.uint8], apex: NDArray[np.uint8]) -> Steps:
    """Estimate the motion of one pair, (H, W, 3) uint8, RGB, and return every step."""
    check_pairs(onset[None], apex[None])
    first, second = (as_tensor(frame[None], estimator.device) for frame in (onset, apex))
    unrolled = estimator.network.unroll(first, second)
    attended: tuple[str, ...] = ()
    if estimator.network.settings["attention"] == "steps":
        fine = range(1, estimator.network.iterations[1] + 1)
        attended = ("state passed up", *(f"state of update {number}" for number in fine))
    return Steps(
        flows_px=torch.cat(unrolled.flows).cpu().numpy(),
        names=update_names(estimator),
        attention=unrolled.attention[0].cpu().numpy(),
        attended=attended,
    )
