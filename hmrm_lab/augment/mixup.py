"""Mixup (Zhang et al., ICLR 2018): two clips and their classes, blended in one proportion."""

import torch
from torch import Tensor


def mix_clips(maps: Tensor, targets: Tensor, alpha: float) -> tuple[Tensor, Tensor, Tensor]:
    """Each clip blended with another of its batch: `lambda x + (1 - lambda) x'`, classes alike.

    Lambda is drawn for each clip, from Beta(alpha, alpha): towards 0 or 1 if alpha is small.

    Shapes
    ------
    maps : (B, C, H, W)
    targets : (B, K), probabilities of the classes
    returns : maps and targets, mixed, and the partner of each clip, its position in the batch (B,)
    """
    partners = torch.randperm(len(maps)).to(maps.device)
    concentration = torch.full((len(maps),), alpha)
    share = torch.distributions.Beta(concentration, concentration).sample().to(maps)
    return _blend(maps, partners, share), _blend(targets, partners, share), partners


def _blend(values: Tensor, partners: Tensor, share: Tensor) -> Tensor:
    theirs = values[partners]
    return theirs + share.view(-1, *(1,) * (values.ndim - 1)) * (values - theirs)
