"""MotionMix (paper 3.1.2): exchange eye and mouth motion between two clips of one class.

    F_mix = (1 - M) F_a + M (lambda F_b + (1 - lambda) F_a)

`lambda = 1` swaps, smaller values blend (paper 3). The label is inherited.
"""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hmrm_lab.records import MASKS

# Eyes with brows, and mouth, of an aligned face that fills its crop: left, top, right, bottom.
TEMPLATE = {"eyes": (0.08, 0.10, 0.92, 0.46), "mouth": (0.22, 0.60, 0.78, 0.94)}


def template_masks(size: int) -> NDArray[np.bool_]:
    """Make region masks without landmarks: (2, size, size), bool, order (eyes, mouth)."""
    centres = (np.arange(size) + 0.5) / size
    masks = []
    for name in MASKS:
        left, top, right, bottom = TEMPLATE[name]
        rows, columns = (top <= centres) & (centres < bottom), (left <= centres) & (centres < right)
        masks.append(rows[:, None] & columns[None, :])
    return np.stack(masks)


def mix_motion(own: Tensor, partner: Tensor, mask: Tensor, strength: Tensor) -> Tensor:
    """Mix the partner's motion into the masked region.

    Shapes
    ------
    own, partner : (B, C, H, W)
    mask : (B, H, W), bool or 0..1
    strength : (B,), the lambda of the equation, 0..1
    """
    weight = (mask * strength[:, None, None])[:, None]
    return own + weight * (partner - own)


class MapSource(Protocol):
    """Maps by position: a tensor, or a function of it. (B,) int64 to (B, C, H, W)."""

    def __getitem__(self, rows: Tensor, /) -> Tensor: ...


@dataclass
class MotionMix:
    """Mix training clips with partners of their class, and record the pairs.

    It is made from training clips only, so that a held-out clip cannot become a partner;
    `provenance` holds every (clip, partner) pair of positions.

    Shapes
    ------
    maps : (n, C, H, W), the training clips; or a source that computes them
    labels : (n,)
    masks : (n, 2, H, W), bool, order (eyes, mouth)
    """

    maps: MapSource
    labels: Tensor
    masks: Tensor
    share: float
    strength: tuple[float, float] = (1.0, 1.0)
    regions: tuple[str, ...] = MASKS
    provenance: set[tuple[int, int]] = field(default_factory=set)

    def __post_init__(self) -> None:
        chosen = [MASKS.index(name) for name in self.regions]
        self._mask = self.masks[:, chosen].any(1)  # (n, H, W)
        self._same_class = {
            int(label): torch.nonzero(self.labels == label).flatten()
            for label in self.labels.unique()
        }

    def __call__(self, rows: Tensor) -> Tensor:
        """Return the clips at these positions, a share of them mixed. (B,) to (B, C, H, W)."""
        if self.share == 0 or not self.regions:
            return self.maps[rows]
        partners = self._draw_partners(rows)
        chosen = torch.rand(len(rows)) < self.share
        pairs = zip(rows[chosen].tolist(), partners[chosen].tolist(), strict=True)
        self.provenance.update(pairs)
        low, high = self.strength
        strength = (low + (high - low) * torch.rand(len(rows))) * chosen
        partners = torch.where(chosen.to(rows.device), partners, rows)
        clips, place = torch.cat([rows, partners]).unique(return_inverse=True)  # each asked once
        own, theirs = self.maps[clips][place].chunk(2)
        return mix_motion(own, theirs, self._mask[rows], strength.to(own))

    def _draw_partners(self, rows: Tensor) -> Tensor:
        """Draw a clip of the same class for each, itself only where its class has no other."""
        partners = rows.clone()
        for label, members in self._same_class.items():
            where = torch.nonzero(self.labels[rows] == label).flatten()
            if len(members) > 1 and len(where):
                step = torch.randint(1, len(members), (len(where),), device=members.device)
                position = torch.searchsorted(members, rows[where])
                partners[where] = members[(position + step) % len(members)]
        return partners


def mix_clips(maps: Tensor, targets: Tensor, alpha: float) -> tuple[Tensor, Tensor, Tensor]:
    """Blend each clip with another of its batch, and their classes: `lambda x + (1 - lambda) x'`.

    Lambda is drawn for each clip from Beta(alpha, alpha).

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
