"""Growth of motion by a magnifier, where an expression moves the face, and elsewhere.

The moving regions are known on drawn faces, whose exact flow is known.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hmrm_lab.errors import InputError
from hmrm_lab.flow.motion_maps import motion_map
from hmrm_lab.records import Clip, Floats, KnownMotion

MOVING = 0.5  # of the face's largest motion
LEAST = 1e-6  # length below which flow is no motion
STEADY = 0.5  # share of the positions that are taken to move with the head alone
ROUNDS = 8


class Growth(NamedTuple):
    """The factor by which motion becomes longer, averaged over positions."""

    inside: float
    outside: float

    @property
    def ratio(self) -> float:
        """Growth inside by growth outside: 1 where everything is magnified alike."""
        return self.inside / self.outside


def moving_region(clip: Clip, side: int) -> NDArray[np.bool_]:
    """Find where the face moves by its action units, not with the head: (side, side).

    Positions with over half of the largest exact flow from onset to apex, less that of the head.
    """
    if not isinstance(clip.frames, KnownMotion):
        problem = f"the exact flow of clip {'/'.join(clip.key)} is not known"
        raise InputError(problem, hint="take the data set 'synthetic'")
    exact = motion_map(clip.frames.flow(clip.onset, clip.known_apex)[None], side)[0, :2]
    length = np.linalg.norm(without_head(exact), axis=0)
    return np.asarray(length > MOVING * length.max())


def without_head(flow: Floats) -> Floats:
    """Subtract the affine motion that half of the positions fit best (least trimmed squares)."""
    rows, columns = np.indices(flow.shape[1:]).reshape(2, -1) / flow.shape[-1]
    positions = np.stack([np.ones_like(rows), columns, rows], axis=1)  # (S^2, 3)
    motion = flow.reshape(2, -1).T.astype(np.float64)  # (S^2, 2)
    left = motion - np.median(motion, axis=0)
    for _ in range(ROUNDS):
        misfit = np.linalg.norm(left, axis=1)
        steady = misfit <= np.quantile(misfit, STEADY)
        head, *_ = np.linalg.lstsq(positions[steady], motion[steady])
        left = motion - positions @ head
    return np.asarray(left.T.reshape(flow.shape), dtype=np.float32)


def growth_of(flow: Floats, magnified: Floats, moving: NDArray[np.bool_]) -> Growth:
    """Compute growth of flow (B, 2, S, S) inside and outside of `moving` (B, S, S)."""
    if moving.all() or not moving.any():
        raise ValueError("there must be positions inside and outside the moving regions")
    length = np.linalg.norm(flow, axis=1)
    times = np.linalg.norm(magnified, axis=1) / np.maximum(length, LEAST)
    return Growth(float(times[moving].mean()), float(times[~moving].mean()))


def growth_table(clips: Sequence[Clip], flow: Floats, magnified: Floats) -> pd.DataFrame:
    """Make a row per clip: Clip, Class, Share (of the face that moves), Inside, Outside, Ratio.

    `flow` and `magnified` are (n, 2, S, S), in the order of the clips.
    """
    rows = []
    for clip, before, after in zip(clips, flow, magnified, strict=True):
        moving = moving_region(clip, flow.shape[-1])
        growth = growth_of(before[None], after[None], moving[None])
        about = (clip.key.clip, clip.expression, float(moving.mean()))
        rows.append((*about, growth.inside, growth.outside, growth.ratio))
    columns = ["Clip", "Class", "Share", "Inside", "Outside", "Ratio"]
    return pd.DataFrame(rows, columns=columns)
