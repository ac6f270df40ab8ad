"""Augmentation of motion maps while training: MotionMix, mixup, flip, shift, turn.

Maps are (B, C, H, W), or sequences (B, T, C, H, W), all of whose maps are changed alike.

MotionMix (paper 3.1.2) exchanges eye and mouth motion between two clips of one class, whose label
is inherited: `F_mix = (1 - M) F_a + M (lambda F_b + (1 - lambda) F_a)`. `lambda = 1` swaps, smaller
values blend (paper 3).
"""

import math
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from hmrm_lab.records import MASKS

# Eyes with brows, and mouth, of an aligned face that fills its crop: left, top, right, bottom.
TEMPLATE = {"eyes": (0.08, 0.10, 0.92, 0.46), "mouth": (0.22, 0.60, 0.78, 0.94)}
U, V = 0, 1  # the channels with a direction; strain and pictures after them are only moved


def template_masks(size: int) -> NDArray[np.bool_]:
    """Make region masks without landmarks: (2, size, size), bool, order (eyes, mouth)."""
    centres = (np.arange(size) + 0.5) / size
    masks = []
    for left, top, right, bottom in (TEMPLATE[name] for name in MASKS):
        rows, columns = (top <= centres) & (centres < bottom), (left <= centres) & (centres < right)
        masks.append(rows[:, None] & columns)
    return np.stack(masks)


def mix_motion(own: Tensor, partner: Tensor, mask: Tensor, strength: Tensor) -> Tensor:
    """Mix the partner's motion into `mask` (B, H, W); `strength` (B,) is lambda, 0..1.

    Of a sequence the k-th map is mixed with the partner's k-th.
    """
    weight = (mask * strength[:, None, None]).unflatten(0, (-1, *[1] * (own.ndim - 3)))
    return own + weight * (partner - own)


class MapSource(Protocol):
    """Maps by position: a tensor, or a function of it. (B,) int64 to maps or sequences."""

    def __getitem__(self, rows: Tensor, /) -> Tensor: ...


@dataclass
class MotionMix:
    """Mix training clips, and no others, with partners of their class, and record the pairs."""

    maps: MapSource  # (n, C, H, W), or (n, T, C, H, W)
    labels: Tensor  # (n,)
    masks: Tensor  # (n, 2, H, W), bool, order (eyes, mouth)
    share: float
    strength: tuple[float, float] = (1.0, 1.0)
    regions: tuple[str, ...] = MASKS
    provenance: set[tuple[int, int]] = field(default_factory=set)  # positions (clip, partner)

    def __post_init__(self) -> None:
        self._mask = self.masks[:, [MASKS.index(name) for name in self.regions]].any(1)  # (n, H, W)
        self._same_class = {
            int(label): torch.nonzero(self.labels == label).flatten()
            for label in self.labels.unique()
        }

    def __call__(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return maps, a share of them mixed, and partners (B,): themselves where not mixed."""
        if self.share == 0 or not self.regions:
            return self.maps[rows], rows
        partners = self._draw_partners(rows)
        chosen = torch.rand(len(rows)) < self.share
        pairs = zip(rows[chosen].tolist(), partners[chosen].tolist(), strict=True)
        self.provenance.update(pairs)
        low, high = self.strength
        strength = (low + (high - low) * torch.rand(len(rows))) * chosen
        partners = torch.where(chosen.to(rows.device), partners, rows)
        clips, place = torch.cat([rows, partners]).unique(return_inverse=True)  # each asked once
        own, theirs = self.maps[clips][place].chunk(2)
        return mix_motion(own, theirs, self._mask[rows], strength.to(own)), partners

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

    Lambda is drawn for each clip from Beta(alpha, alpha). Targets (B, K) are probabilities. The
    third result is the position (B,) of each clip's partner.
    """
    partners = torch.randperm(len(maps)).to(maps.device)
    concentration = torch.full((len(maps),), alpha)
    share = torch.distributions.Beta(concentration, concentration).sample().to(maps)
    theirs, their_targets = maps[partners], targets[partners]
    mixed = theirs + per_clip(share, maps.ndim) * (maps - theirs)
    return mixed, their_targets + share[:, None] * (targets - their_targets), partners


def flip(maps: Tensor) -> Tensor:
    """Mirror the face: reverse columns and the sign of u."""
    mirrored = maps.flip(-1)
    mirrored[..., U, :, :] *= -1
    return mirrored


def shift(maps: Tensor, right_px: int, down_px: int) -> Tensor:
    """Move all maps by whole pixels; the border is repeated."""
    height, width = maps.shape[-2:]
    reach = max(abs(right_px), abs(down_px))
    padded = F.pad(maps.flatten(1, -3), (reach,) * 4, mode="replicate")  # times as channels
    top, left = reach - down_px, reach - right_px
    return padded[..., top : top + height, left : left + width].reshape(maps.shape)


def per_clip(values: Tensor, ndim: int) -> Tensor:
    """Values (B,) with axes of length 1 behind, `ndim` in all."""
    return values.reshape(-1, *[1] * (ndim - 1))


def jitter(maps: Tensor, *, flips: bool, shift_px: int, scale: float, rotate_deg: float) -> Tensor:
    """Flip, shift, zoom and turn each clip at random; turning turns the vectors, too."""
    if flips:
        mirrored = torch.rand(len(maps), device=maps.device) < 0.5
        maps = torch.where(per_clip(mirrored, maps.ndim), flip(maps), maps)
    if shift_px == 0 and scale == 0 and rotate_deg == 0:
        return maps

    def symmetric() -> Tensor:
        return 2 * torch.rand(len(maps), device=maps.device, dtype=maps.dtype) - 1

    zoom = 1 + scale * symmetric()
    angle = math.radians(rotate_deg) * symmetric()
    cos, sin = angle.cos(), angle.sin()
    right, down = (2 * shift_px / maps.shape[-1] * symmetric() for _ in range(2))
    rows = [torch.stack([cos / zoom, sin / zoom, right], dim=1)]
    rows += [torch.stack([-sin / zoom, cos / zoom, down], dim=1)]
    planes = maps.flatten(1, -3)  # times as channels
    grid = F.affine_grid(torch.stack(rows, dim=1), list(planes.shape), align_corners=False)
    moved = F.grid_sample(planes, grid, padding_mode="border", align_corners=False)
    moved = moved.reshape(maps.shape)
    if rotate_deg == 0:
        return moved
    cos, sin = (per_clip(part, maps.ndim - 1) for part in (cos, sin))
    u, v = moved[..., U, :, :], moved[..., V, :, :]
    turned = torch.stack([cos * u - sin * v, sin * u + cos * v], dim=-3)
    return torch.cat([turned, moved[..., V + 1 :, :, :]], dim=-3)
