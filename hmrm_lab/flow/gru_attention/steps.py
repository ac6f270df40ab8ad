"""One estimation of GRU-AOFE step by step, in arrays and with names, for those who look at it."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from hmrm_lab.flow.estimator import check_pairs
from hmrm_lab.flow.gru_attention.builder import FrozenFlow, as_tensor
from hmrm_lab.records import Floats


@dataclass(frozen=True, eq=False)
class Steps:
    """The flow after every update, and what the last update attended to.

    Shapes
    ------
    flows_px : (T, 2, H, W), pixels, order (u, v); the last is the result
    names : T of them, such as `1/8, update 1`
    attention : (J, h, w), at 1/4 of the frame; the J shares of a pixel add up to 1
    attended : a name for each of the J hidden states; empty where attention is over the regions
        of a square grid, row by row
    """

    flows_px: Floats
    names: tuple[str, ...]
    attention: Floats
    attended: tuple[str, ...]


def update_names(estimator: FrozenFlow) -> tuple[str, ...]:
    """What the updates are called, in their order."""
    at_coarse, at_fine = estimator.network.iterations
    coarse = [f"1/8, update {number}" for number in range(1, at_coarse + 1)]
    return (*coarse, *(f"1/4, update {number}" for number in range(1, at_fine + 1)))


@torch.inference_mode()
def flow_steps(estimator: FrozenFlow, onset: NDArray[np.uint8], apex: NDArray[np.uint8]) -> Steps:
    """Estimate the motion of one pair and keep what came on the way.

    Shapes
    ------
    onset, apex : (H, W, 3), uint8, RGB
    """
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
