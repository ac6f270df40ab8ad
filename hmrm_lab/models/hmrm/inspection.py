"""Read out a trained HMRM: steps of its scans and weights of its attention.

Hooks are set for one pass and removed. Weights show what was mixed, not why, nor that it helped.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hmrm_lab.errors import InputError
from hmrm_lab.models.hmrm.grained_mamba import BidirectionalScan, ScanInputs
from hmrm_lab.models.hmrm.region_fusion import RegionFusion
from hmrm_lab.models.layers import Attention, evaluation_mode
from hmrm_lab.models.scan.inside import scan_matrix


@dataclass(frozen=True, eq=False)
class Inside:
    """Scans and attention of one pass.

    `attention` is (B, heads, 20, 20), 4 core regions and then 16 sub-regions; rows add up to one.
    None where there is no attention. `scans` has an entry for each block, by the name of its
    module, such as `fine_encoder.mamba.blocks.0.scan`; with pixel tokens B is that of all regions,
    and dt are the steps themselves, after softplus.
    """

    attention: Tensor | None
    scans: dict[str, ScanInputs]

    @property
    def known_attention(self) -> Tensor:
        """Return the attention, or raise `InputError` where there is none."""
        if self.attention is None:
            hint = "take one with model.fusion=attention"
            raise InputError("this model has no fusion attention", hint=hint)
        return self.attention


def look_inside(model: nn.Module, maps: Tensor) -> Inside:
    """Run the model on maps, without dropout or gradient, and record its scans and attention.

    `maps` are (B, C, H, W), as the model is given them. Raises `InputError` for sequences, or if
    the model has neither a scan nor fusion attention.
    """
    if maps.ndim > 4:
        hint = "take one trained with input.frames=1"
        raise InputError("the inside of a system that reads sequences is not shown", hint=hint)
    parts: dict[nn.Module, str] = {}
    for name, module in model.named_modules():
        if isinstance(module, BidirectionalScan):
            parts[module] = name
        if isinstance(module, RegionFusion):
            parts[module.attention] = name
    if not parts:
        raise InputError("this system has no scan and no attention", hint="take hmrm")
    inputs: dict[nn.Module, Tensor] = {}

    def keep(part: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        if part in inputs:
            hint = "take one with model.share_encoder=false"
            raise InputError("the inside of an encoder that both grains share", hint=hint)
        inputs[part] = arguments[0]

    hooks = [part.register_forward_pre_hook(keep) for part in parts]
    scans, attention = {}, None
    try:
        with evaluation_mode(model), torch.no_grad():
            model(maps)
            for part, name in parts.items():
                if isinstance(part, Attention):
                    attention = part.weights(inputs[part])
                elif isinstance(part, BidirectionalScan):
                    tokens, _gates = inputs[part].chunk(2, dim=-1)
                    scan = part.scan_inputs(tokens)
                    dt = F.softplus(scan.dt + part.dt_bias[:, None, None])
                    scans[name] = ScanInputs(*map(Tensor.detach, scan._replace(dt=dt)))
    finally:
        for hook in hooks:
            hook.remove()
    return Inside(attention, scans)


def steps_by_region(scan: ScanInputs, regions: int) -> Tensor:
    """Average dt over clips, channels, and pixel tokens of a region: (2, R), forward, backward."""
    forward, backward = scan.dt[0], scan.dt[1].flip(-2)  # each (B, L, D) or (B R, L, D)
    steps = torch.stack([forward, backward]).mean(-1)  # (2, B, L)
    if steps.shape[-1] == regions:
        return steps.mean(1)
    return steps.mean(-1).unflatten(1, (-1, regions)).mean(1)


def mixing_matrices(scan: ScanInputs, row: int = 0) -> Tensor:
    """Compute what each token gives to each, forward and backward: (2, D, L, L).

    `row` is the sequence of the batch. The gate and the layers around the scan are left out.
    """
    forward, backward = (
        scan_matrix(dt[row], A[0], B[row], C[row], skip[0])
        for _, dt, A, B, C, skip in zip(*scan, strict=True)
    )
    return torch.stack([forward, backward.flip(1, 2)])
