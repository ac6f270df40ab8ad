"""Action units learnt beside the class: targets, logits and loss (decision 0023).

A network is built for K + U outputs; those behind the classes are the logits of the action units.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hmrm_lab.config import ExperimentConfig
from hmrm_lab.errors import InputError
from hmrm_lab.records import FlowSet

HINT = "leave loss.action_units out, or take data whose coding file has them"


def units_to_learn(config: ExperimentConfig, flowset: FlowSet) -> tuple[int, ...]:
    """List the action units that these settings learn; `InputError` if the data have none."""
    if config.loss.action_units and not flowset.moving_units:
        names = ", ".join(sorted({key.dataset for key in flowset.keys}))
        raise InputError(f"no action unit is coded for two subjects of '{names}'", hint=HINT)
    return flowset.moving_units if config.loss.action_units else ()


def unit_targets(train: FlowSet, units: tuple[int, ...]) -> Tensor:
    """Return 1 for a unit that moves, 0, or NaN if unknown: (n, U); `InputError` if all are NaN."""
    coding = torch.from_numpy(train.coding_of(units)).float()
    if units and not (coding >= 0).any():
        raise InputError("no training clip of this fold has coded action units", hint=HINT)
    return torch.where(coding >= 0, coding, torch.nan)


def unit_offset(network: nn.Module) -> Tensor | None:
    """Return what is added to the logits of the units, (U,); None of a network without any."""
    return getattr(getattr(network, "system", network), "unit_offset", None)  # see `FineTuned`


def log_odds(targets: Tensor) -> Tensor:
    """Compute how often each unit moves, as logits (U,), with one clip more of either kind."""
    return ((targets == 1).sum(0) + 1).log() - ((targets == 0).sum(0) + 1).log()


def split_logits(network: nn.Module, logits: Tensor) -> tuple[Tensor, Tensor]:
    """Split logits (B, scales, K + U) into those of the classes and those of the units.

    Units count from the mean of the classes: a network's outputs may all be positive (CapsuleNet).
    """
    offset = unit_offset(network)
    if offset is None:
        return logits, logits[..., :0]
    classes, units = logits.tensor_split([logits.shape[-1] - len(offset)], dim=-1)
    return classes, units - classes.mean(-1, keepdim=True) + offset


def unit_loss(logits: Tensor, targets: Tensor, scale_weights: Tensor) -> Tensor | float:
    """Compute the binary cross-entropy of what is known, averaged, and summed over scales.

    Logits are (B, scales, U), targets (B, U) in 0..1 or NaN.
    """
    if not targets.shape[1]:
        return 0.0
    truth = targets.to(logits)[:, None].expand_as(logits)
    known, truth = ~truth.isnan(), truth.nan_to_num()
    entropy = F.binary_cross_entropy_with_logits(logits, truth, reduction="none") * known
    means = entropy.sum((0, 2)) / known[:, 0].sum().clamp_min(1)
    return (means * scale_weights[: logits.shape[1]]).sum()
