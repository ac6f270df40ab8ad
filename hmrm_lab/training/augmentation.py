"""Augmentation of motion maps while training: MotionMix, mixup, flip, shift, turn.

Maps are (B, C, H, W), or sequences (B, T, C, H, W), all of whose maps are changed alike. Random
numbers are drawn on the host, for which no GPU has to wait; None where there is nothing to draw.

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

from hmrm_lab.config.sections import AugmentConfig
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
    labels: Tensor  # (n,), on the host
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

    def draw(self, rows: Tensor) -> tuple[Tensor, Tensor | None]:
        """Draw partners (B,) of clips, themselves where not mixed, and lambda (B,), zero there."""
        if self.share == 0 or not self.regions:
            return rows, None
        partners = self._draw_partners(rows)
        chosen = torch.rand(len(rows)) < self.share
        pairs = zip(rows[chosen].tolist(), partners[chosen].tolist(), strict=True)
        self.provenance.update(pairs)
        low, high = self.strength
        strength = (low + (high - low) * torch.rand(len(rows))) * chosen
        return torch.where(chosen, partners, rows), strength

    def mix(self, rows: Tensor, partners: Tensor, strength: Tensor | None) -> Tensor:
        """Return the maps of clips (B,), mixed as drawn."""
        device = self.masks.device
        if strength is None:
            return self.maps[rows.to(device)]
        clips, place = torch.cat([rows, partners]).unique(return_inverse=True)  # each asked once
        own, theirs = self.maps[clips.to(device)][place.to(device)].chunk(2)
        return mix_motion(own, theirs, self._mask[rows.to(device)], strength.to(own))

    def _draw_partners(self, rows: Tensor) -> Tensor:
        """Draw a clip of the same class for each, itself only where its class has no other."""
        partners = rows.clone()
        for label, members in self._same_class.items():
            where = torch.nonzero(self.labels[rows] == label).flatten()
            if len(members) > 1 and len(where):
                step = torch.randint(1, len(members), (len(where),))
                position = torch.searchsorted(members, rows[where])
                partners[where] = members[(position + step) % len(members)]
        return partners


def draw_blend(count: int, alpha: float) -> tuple[Tensor | None, Tensor | None]:
    """Draw a partner in the batch for each clip, and its share from Beta(alpha, alpha)."""
    if alpha == 0:
        return None, None
    partners, concentration = torch.randperm(count), torch.full((count,), alpha)
    return partners, torch.distributions.Beta(concentration, concentration).sample()


def blend(maps: Tensor, targets: Tensor, partners: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
    """Blend each clip with its partner, and their classes: `lambda x + (1 - lambda) x'`.

    Targets (B, K) are probabilities.
    """
    partners, share = partners.to(maps.device), share.to(maps)
    theirs, their_targets = maps[partners], targets[partners]
    mixed = theirs + per_clip(share, maps.ndim) * (maps - theirs)
    return mixed, their_targets + share[:, None] * (targets - their_targets)


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


def draw_moves(count: int, augment: AugmentConfig) -> tuple[Tensor | None, ...]:
    """Draw whether clips are mirrored, their zoom, turn, and shifts: the arguments of `jitter`."""
    mirrored = torch.rand(count) < 0.5 if augment.flip else None
    if augment.shift_px == augment.scale == augment.rotate_deg == 0:
        return mirrored, None, None, None, None
    zoom, turn, right, down = (2 * torch.rand(count) - 1 for _ in range(4))
    shifts = augment.shift_px * right, augment.shift_px * down
    return mirrored, 1 + augment.scale * zoom, math.radians(augment.rotate_deg) * turn, *shifts


def jitter(maps: Tensor, mirrored: Tensor | None, *warp: Tensor | None) -> Tensor:
    """Flip, zoom, turn and shift each clip as drawn; turning turns the vectors, too."""
    if mirrored is not None:
        flipped = per_clip(mirrored.to(maps.device), maps.ndim)
        maps = torch.where(flipped, flip(maps), maps)
    zoom, angle, right, down = (None if number is None else number.to(maps) for number in warp)
    if zoom is None or angle is None or right is None or down is None:
        return maps
    cos, sin = angle.cos(), angle.sin()
    right, down = (2 / maps.shape[-1] * distance for distance in (right, down))
    rows = [torch.stack([cos / zoom, sin / zoom, right], dim=1)]
    rows += [torch.stack([-sin / zoom, cos / zoom, down], dim=1)]
    planes = maps.flatten(1, -3)  # times as channels
    grid = F.affine_grid(torch.stack(rows, dim=1), list(planes.shape), align_corners=False)
    moved = F.grid_sample(planes, grid, padding_mode="border", align_corners=False)
    moved = moved.reshape(maps.shape)
    cos, sin = (per_clip(part, maps.ndim - 1) for part in (cos, sin))
    u, v = moved[..., U, :, :], moved[..., V, :, :]
    turned = torch.stack([cos * u - sin * v, sin * u + cos * v], dim=-3)
    return torch.cat([turned, moved[..., V + 1 :, :, :]], dim=-3)
