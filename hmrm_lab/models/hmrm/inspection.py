"""Look into a trained HMRM: steps of its scans and weights of its attention.

Nothing here is on the way of a training: hooks are set for one pass and taken away again. What is
read out says what was mixed, not why, and not that it helped.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from hmrm_lab.errors import InputError
from hmrm_lab.models.hmrm.grained_mamba import BidirectionalScan, ScanInputs
from hmrm_lab.models.hmrm.region_fusion import SelfAttention
from hmrm_lab.models.scan.inside import scan_matrix


@dataclass(frozen=True, eq=False)
class Inside:
    """What happened in one pass.

    `scans` has an entry for each block, by the name of its module, such as
    `fine_encoder.mamba.blocks.0.scan`; with pixel tokens its batch is that of all regions, B R.

    Shapes
    ------
    attention : (B, heads, 20, 20), 4 core regions and then 16 sub-regions; rows add up to one.
        None where there is no attention
    scans : as `ScanInputs`
    """

    attention: Tensor | None
    scans: dict[str, ScanInputs]

    @property
    def known_attention(self) -> Tensor:
        """The attention, or an `InputError` where there is none."""
        if self.attention is None:
            raise InputError(
                "this model has no fusion attention", mend="take one with model.fusion=attention"
            )
        return self.attention


def look_inside(model: nn.Module, maps: Tensor) -> Inside:
    """Let the model read these maps, without dropout and without a gradient, and keep what it did.

    Shapes
    ------
    maps : (B, C, H, W), as the model is given them

    Raises
    ------
    InputError
        If the model has neither a scan nor attention.
    """
    parts = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, (BidirectionalScan, SelfAttention))
    }
    if not parts:
        raise InputError("this system has no scan and no attention", mend="take hmrm")
    seen: dict[str, Tensor] = {}
    hooks = [part.register_forward_pre_hook(partial(_keep, seen, n)) for n, part in parts.items()]
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            model(maps)
            scans = {
                name: ScanInputs(*map(Tensor.detach, part.scan_inputs(_tokens(seen[name]))))
                for name, part in parts.items()
                if isinstance(part, BidirectionalScan)
            }
            weights = [
                part.weights(seen[name])
                for name, part in parts.items()
                if isinstance(part, SelfAttention)
            ]
    finally:
        model.train(was_training)
        for hook in hooks:
            hook.remove()
    return Inside(weights[0] if weights else None, scans)


def steps_by_region(scan: ScanInputs, regions: int) -> Tensor:
    """The mean dt at each region over clips and channels, in the order of the regions.

    Pixel tokens are averaged over their region.

    Shapes
    ------
    returns : (2, R), forward then backward
    """
    forward, backward = scan.dt[0], scan.dt[1].flip(-2)  # each (B, L, D) or (B R, L, D)
    steps = torch.stack([forward, backward]).mean(-1)  # (2, B, L)
    if steps.shape[-1] == regions:
        return steps.mean(1)
    return steps.mean(-1).unflatten(1, (-1, regions)).mean(1)


def mixing_matrices(scan: ScanInputs, row: int = 0) -> Tensor:
    """What each token gives to each through the scan, forward and backward: (2, D, L, L).

    `row` is the sequence of the batch. The gate and the layers around the scan are not in it.
    """
    matrices = []
    for number, turned in enumerate((False, True)):
        _, dt, A, B, C, skip = (tensor[number] for tensor in scan)
        matrix = scan_matrix(dt[row], A[0], B[row], C[row], skip[0])
        matrices.append(matrix.flip(1, 2) if turned else matrix)
    return torch.stack(matrices)


def _tokens(xz: Tensor) -> Tensor:
    """The tokens without their gates."""
    return xz.chunk(2, dim=-1)[0]


def _keep(
    seen: dict[str, Tensor], name: str, module: nn.Module, arguments: tuple[Any, ...]
) -> None:
    seen[name] = arguments[0]
