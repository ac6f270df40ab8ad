"""Clips of different people that are the same recording, found by the motion maps themselves."""

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import cv2
import numpy as np
from numpy.typing import NDArray

from hmrm_lab.flow.motion_maps import STILL, normalise_maps
from hmrm_lab.records import ClipKey, Floats, FlowSet

SIDE = 8  # of the reduced map behind the perceptual hash
BITS = 2 * SIDE * SIDE  # of u and of v
NEAR_BITS = 16  # on the 309 published maps, the nearest two of different people differ in 28
NEAR_CORRELATION = 0.95  # there the most alike two of different people reach 0.88


@dataclass(frozen=True)
class Twins:
    """Two clips of different people, and how many bits of their hashes differ; None: no bit."""

    first: ClipKey
    second: ClipKey
    bits: int | None


def exact_twins(flowset: FlowSet) -> list[Twins]:
    """Pairs of clips of different people whose maps agree in every byte."""
    groups: dict[str, list[int]] = defaultdict(list)
    for row in np.flatnonzero(_moving(flowset.maps)):
        digest = hashlib.sha256(flowset.maps[row].tobytes()).hexdigest()
        groups[digest].append(int(row))
    persons = flowset.persons
    return [
        Twins(flowset.keys[first], flowset.keys[second], None)
        for rows in groups.values()
        for first, second in combinations(rows, 2)
        if persons[first] != persons[second]
    ]


def near_twins(flowset: FlowSet) -> list[Twins]:
    """Pairs of different people whose maps are alike, but not in every byte.

    Both must hold: their perceptual hashes differ in `NEAR_BITS` of `BITS` at most, and their u and
    v correlate by `NEAR_CORRELATION` at least. So a copy is found that was compressed again, scaled
    or brightened, and two faces that smile alike are not.
    """
    maps = normalise_maps(flowset.maps, "median_rms", flowset.unit, flowset.inside)[:, :2]
    hashes, moving = perceptual_hash(maps), _moving(flowset.maps)
    flat = _standardised(maps.reshape(len(maps), -1))
    return [
        Twins(flowset.keys[one], flowset.keys[other], bits)
        for one, other, bits in _alike(hashes, flowset.persons)
        if moving[one]
        and moving[other]
        and float(flat[one] @ flat[other]) >= NEAR_CORRELATION
        and not np.array_equal(flowset.maps[one], flowset.maps[other])
    ]


def perceptual_hash(maps: Floats) -> NDArray[np.bool_]:
    """Whether each cell of the reduced map exceeds its left neighbour.

    Shapes
    ------
    maps : (n, 2, H, W)
    returns : (n, `BITS`)
    """
    small = np.stack(
        [
            [cv2.resize(plane, (SIDE + 1, SIDE), interpolation=cv2.INTER_AREA) for plane in planes]
            for planes in maps
        ]
    )
    return np.asarray((small[..., 1:] > small[..., :-1]).reshape(len(maps), -1))


def _alike(hashes: NDArray[np.bool_], persons: Sequence[str]) -> Iterator[tuple[int, int, int]]:
    """Rows of different people with near hashes, and their distance in bits."""
    names = np.array(persons)
    for row, own in enumerate(hashes):
        distances = (hashes[row + 1 :] != own).sum(1)
        near = (distances <= NEAR_BITS) & (names[row + 1 :] != names[row])
        for step in np.flatnonzero(near):
            yield row, row + 1 + int(step), int(distances[step])


def _moving(maps: Floats) -> NDArray[np.bool_]:
    """Maps that show motion: all that show none are alike, and copies of nothing."""
    spread = np.ptp(maps[:, :2].reshape(len(maps), -1), axis=1)
    return np.asarray(spread > STILL)


def _standardised(flat: Floats) -> Floats:
    centred = flat - flat.mean(1, keepdims=True)
    norms = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.asarray(centred / np.where(norms > STILL, norms, 1.0), dtype=np.float32)
