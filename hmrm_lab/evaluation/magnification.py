"""How much a magnifier lets motion grow where an expression moves the face, and elsewhere.

Where the face moves is known on drawn faces, whose exact flow is known.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hmrm_lab.errors import InputError
from hmrm_lab.flow.motion_maps import motion_map
from hmrm_lab.records import Clip, Floats, KnownMotion

MOVING = 0.5  # of the face's largest motion
LEAST = 1e-6  # length below which flow is no motion
STEADY = 0.5  # share of the places that are taken for head alone
ROUNDS = 8


@dataclass(frozen=True)
class Growth:
    """How many times longer motion becomes, on average over places."""

    inside: float
    outside: float

    @property
    def ratio(self) -> float:
        """Growth inside by growth outside: 1 where everything is magnified alike."""
        return self.inside / self.outside


def moving_region(clip: Clip, side: int) -> NDArray[np.bool_]:
    """Where the face moves by itself, as its action units do: (side, side).

    By the exact flow from onset to apex, less that of the head: the places with over half of the
    largest motion. `InputError` for a clip whose exact flow nobody knows.
    """
    if not isinstance(clip.frames, KnownMotion):
        raise InputError(
            f"nobody knows the exact flow of clip {'/'.join(clip.key)}",
            mend="take the data set 'synthetic'",
        )
    exact = motion_map(clip.frames.flow(clip.onset, clip.known_apex)[None], side)[0, :2]
    length = np.linalg.norm(without_head(exact), axis=0)
    return np.asarray(length > MOVING * length.max())


def without_head(flow: Floats) -> Floats:
    """Flow less the affine motion that half of the places fit best (least trimmed squares).

    Shapes
    ------
    flow : (2, S, S)
    returns : the same
    """
    rows, columns = np.indices(flow.shape[1:]).reshape(2, -1) / flow.shape[-1]
    places = np.stack([np.ones_like(rows), columns, rows], axis=1)  # (S^2, 3)
    motion = flow.reshape(2, -1).T.astype(np.float64)  # (S^2, 2)
    left = motion - np.median(motion, axis=0)
    for _ in range(ROUNDS):
        misfit = np.linalg.norm(left, axis=1)
        steady = misfit <= np.quantile(misfit, STEADY)
        head, *_ = np.linalg.lstsq(places[steady], motion[steady])
        left = motion - places @ head
    return np.asarray(left.T.reshape(flow.shape), dtype=np.float32)


def growth_of(flow: Floats, magnified: Floats, moving: NDArray[np.bool_]) -> Growth:
    """Growth inside and outside the moving regions; `ValueError` if one of the two is empty.

    Shapes
    ------
    flow, magnified : (B, 2, S, S)
    moving : (B, S, S)
    """
    if moving.all() or not moving.any():
        raise ValueError("there must be places inside and outside the moving regions")
    length = np.linalg.norm(flow, axis=1)
    times = np.linalg.norm(magnified, axis=1) / np.maximum(length, LEAST)
    return Growth(float(times[moving].mean()), float(times[~moving].mean()))


def growth_table(clips: Sequence[Clip], flow: Floats, magnified: Floats) -> pd.DataFrame:
    """A row per clip: Clip, Class, Share (of the face that moves), Inside, Outside, Ratio.

    Shapes
    ------
    flow, magnified : (n, 2, S, S), in the order of the clips
    """
    rows = []
    for number, clip in enumerate(clips):
        moving, here = moving_region(clip, flow.shape[-1]), slice(number, number + 1)
        growth = growth_of(flow[here], magnified[here], moving[None])
        rows.append(
            {
                "Clip": clip.key.clip,
                "Class": clip.expression,
                "Share": float(moving.mean()),
                "Inside": growth.inside,
                "Outside": growth.outside,
                "Ratio": growth.ratio,
            }
        )
    return pd.DataFrame(rows)
