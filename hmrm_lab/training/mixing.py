"""MotionMix looked at: which clips were mixed, how far mixtures lie from originals, one crop."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from hmrm_lab.errors import unknown_name
from hmrm_lab.faces.landmarks import region_masks
from hmrm_lab.flow.estimator import FlowEstimator
from hmrm_lab.flow.motion_maps import optical_strain, without_median
from hmrm_lab.records import MASKS, Clip, Floats, FlowSet, Ints, LandmarkedFrames
from hmrm_lab.training.augmentation import MotionMix, mix_motion, template_masks


class Mixtures(NamedTuple):
    """Mixed maps (n, C, H, W), with the positions (n,) of each clip and its partner."""

    maps: Floats
    own: Ints
    partners: Ints


def join_masks(masks: NDArray[np.bool_], regions: Iterable[str]) -> NDArray[np.bool_]:
    """Join the masks (2, H, W), order (eyes, mouth), of these regions: (H, W), bool."""
    regions = list(regions)
    for name in regions:
        if name not in MASKS:
            raise unknown_name("region", name, MASKS)
    return np.asarray(masks[[MASKS.index(name) for name in regions]].any(0))


def mix_pair(own: Floats, partner: Floats, mask: NDArray[np.bool_], strength: float) -> Floats:
    """Mix the motion of one pair (C, H, W) in a mask (H, W); `strength` is lambda, 0..1."""
    ours, theirs, where = (torch.from_numpy(array)[None] for array in (own, partner, mask))
    mixed = mix_motion(ours, theirs, where, torch.tensor([strength], dtype=ours.dtype))
    return np.asarray(mixed[0].numpy())


def draw_mixtures(mix: MotionMix, *, seed: int) -> Mixtures:
    """Mix every clip once, as in training, unless it is the only one of its class."""
    whole = replace(mix, share=1.0, provenance=set())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        rows = torch.arange(len(mix.labels))
        maps = whole.mix(rows, *whole.draw(rows))
    pairs = np.array(sorted(whole.provenance), dtype=np.int64).reshape(-1, 2)
    own, partners = pairs[pairs[:, 0] != pairs[:, 1]].T
    return Mixtures(maps[torch.from_numpy(own)].numpy(), own, partners)


def provenance_table(train: FlowSet, provenance: Iterable[tuple[int, int]]) -> pd.DataFrame:
    """Tabulate clip, subject and class of each mixed clip and of its partner."""
    clips = [key.clip for key in train.keys]
    about = list(zip(clips, train.subjects, train.expressions, strict=True))
    columns = ["clip", "subject", "class", "partner", "partner's subject", "partner's class"]
    rows = [about[own] + about[other] for own, other in sorted(provenance)]
    return pd.DataFrame(rows, columns=columns)


def distance_table(
    maps: Floats, labels: Ints, mixtures: Mixtures, classes: Sequence[str]
) -> pd.DataFrame:
    """Tabulate how far originals and mixtures lie from originals of their and of other classes.

    `maps` (n, C, H, W) are the originals, order (u, v, ...), `labels` (n,) places in `classes`. The
    distance is the root mean square difference of u and v; NaN where there is none. Columns:

        kind      original or mixture
        class     its class
        own       to the nearest original of its class, itself and its two parents left out
        other     to the nearest original of another class
        moved     of a mixture: to the clip that it was made of
    """
    count = len(maps)
    positions = np.arange(count)
    parents = np.concatenate(
        [np.stack([positions] * 2, axis=1), np.stack([mixtures.own, mixtures.partners], axis=1)]
    )
    everything = np.concatenate([maps, mixtures.maps])
    flat, base = (m[:, :2].reshape(len(m), -1) for m in (everything, maps))
    distances = np.stack([np.sqrt(np.mean((base - row) ** 2, axis=1)) for row in flat])

    def nearest(allowed: NDArray[np.bool_]) -> Floats:
        found = np.where(allowed, distances, np.inf).min(axis=1)
        return np.where(np.isfinite(found), found, np.nan).astype(np.float32)

    of_all = labels[parents[:, 0]]
    allied = of_all[:, None] == labels
    related = (positions[:, None] == parents[:, None, :]).any(2)
    moved = distances[np.arange(len(distances)), parents[:, 0]]
    return pd.DataFrame(
        {
            "kind": ["original"] * count + ["mixture"] * len(mixtures.maps),
            "class": [classes[label] for label in of_all],
            "own": nearest(allied & ~related),
            "other": nearest(~allied),
            "moved": np.where(np.arange(len(moved)) < count, np.nan, moved),
        }
    )


class CropMotion(NamedTuple):
    map: Floats  # (3, H, W), order (u, v, strain), pixels
    masks: NDArray[np.bool_]  # (2, H, W), order (eyes, mouth)
    onset: NDArray[np.uint8]  # (H, W, 3), RGB


def crop_motion(clip: Clip, estimator: FlowEstimator) -> CropMotion:
    """Compute flow, strain and masks of a square crop at full resolution.

    The masks are from the landmarks of the onset, or the template's without landmarks. Raises
    `InputError` for a clip without an apex.
    """
    onset, apex = clip.frames[clip.onset], clip.frames[clip.known_apex]
    flow_px = estimator(onset[None], apex[None])
    motion = np.concatenate([flow_px[0], optical_strain(flow_px)])
    if isinstance(clip.frames, LandmarkedFrames):
        masks = region_masks(clip.frames.landmarks(clip.onset), *onset.shape[:2])
    else:
        masks = template_masks(onset.shape[0])
    return CropMotion(motion.astype(np.float32), masks, onset)


def steadied(motion: Floats) -> Floats:
    """Subtract the median of u and v, the head's motion, from a motion map (3, H, W)."""
    return np.concatenate([without_median(motion[:2]), motion[2:]])
