"""Provenance of MotionMix: which clips were mixed, and how far mixtures lie from originals."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from hmrm_lab.errors import unknown_name
from hmrm_lab.records import MASKS, Floats, FlowSet, Ints
from hmrm_lab.training.augment.motionmix import MotionMix, mix_motion


@dataclass(frozen=True, eq=False)
class Mixtures:
    """Mixed maps (n, C, H, W), with the positions (n,) of each clip and its partner."""

    maps: Floats
    own: Ints
    partners: Ints


def join_masks(masks: NDArray[np.bool_], regions: Iterable[str]) -> NDArray[np.bool_]:
    """Join the masks (2, H, W), order (eyes, mouth), of these regions: (H, W), bool.

    Raises `ConfigError` if there is no such region.
    """
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
    """Mix every clip once, as in training; a class of one clip has no mixture.

    The provenance of `mix` and the random state of the caller are unchanged.
    """
    whole = replace(mix, share=1.0, provenance=set())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        maps = whole(torch.arange(len(mix.labels)))
    pairs = np.array(sorted(whole.provenance), dtype=np.int64).reshape(-1, 2)
    own, partners = pairs[pairs[:, 0] != pairs[:, 1]].T
    return Mixtures(maps[torch.from_numpy(own)].numpy(), own, partners)


def provenance_table(train: FlowSet, provenance: Iterable[tuple[int, int]]) -> pd.DataFrame:
    """Tabulate which clips were mixed: a row for each pair of clip and partner, in order.

    Columns: clip, person (the subject), class, and the same of the partner.
    """
    rows = [
        {
            "clip": train.keys[own].clip,
            "person": train.subjects[own],
            "class": train.expressions[own],
            "partner": train.keys[other].clip,
            "partner's person": train.subjects[other],
            "partner's class": train.expressions[other],
        }
        for own, other in sorted(provenance)
    ]
    columns = ["clip", "person", "class", "partner", "partner's person", "partner's class"]
    return pd.DataFrame(rows, columns=columns)


def distance_table(
    maps: Floats, labels: Ints, mixtures: Mixtures, classes: Sequence[str]
) -> pd.DataFrame:
    """Tabulate how far originals and mixtures lie from originals of their and of other classes.

    The distance of two maps is the root mean square difference of their u and v. Columns:

        kind      original or mixture
        class     its class
        own       to the nearest original of its class, itself and its two parents left out
        other     to the nearest original of another class
        moved     of a mixture: to the clip that it was made of

    Where there is no such original, the distance is NaN.

    Shapes
    ------
    maps : (n, C, H, W), order (u, v, ...)
    labels : (n,), places in `classes`
    """
    count = len(maps)
    parents = np.concatenate(
        [
            np.repeat(np.arange(count)[:, None], 2, axis=1),
            np.stack([mixtures.own, mixtures.partners], axis=1),
        ]
    )
    distances = _distances(np.concatenate([maps, mixtures.maps]), maps)
    of_all = labels[parents[:, 0]]
    allied = of_all[:, None] == labels[None, :]
    related = (np.arange(count)[None, :, None] == parents[:, None, :]).any(2)
    table = pd.DataFrame(
        {
            "kind": ["original"] * count + ["mixture"] * len(mixtures.maps),
            "class": [classes[label] for label in of_all],
            "own": _nearest(distances, allied & ~related),
            "other": _nearest(distances, ~allied),
        }
    )
    moved = distances[np.arange(len(distances)), parents[:, 0]]
    return table.assign(moved=np.where(table["kind"] == "mixture", moved, np.nan))


def _distances(maps: Floats, originals: Floats) -> Floats:
    """Compute the distances between every map and every original: (n, m)."""
    flat, base = (m[:, :2].reshape(len(m), -1) for m in (maps, originals))
    return np.stack([np.sqrt(np.mean((base - row) ** 2, axis=1)) for row in flat])


def _nearest(distances: Floats, allowed: NDArray[np.bool_]) -> Floats:
    nearest = np.where(allowed, distances, np.inf).min(axis=1)
    return np.where(np.isfinite(nearest), nearest, np.nan).astype(np.float32)
