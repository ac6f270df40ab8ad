"""The pairs on which flow is judged: held-out pictures, people and motion, never trained on.

A cell is one kind of motion at one level of noise. Every pair of a cell has a motion field of its
own, and the same pairs return at every level of noise.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hmrm_lab.datasets.flow_truth import ProceduralPairs, TruePair
from hmrm_lab.datasets.flow_truth.facial import (
    clip_pair,
    face_pictures,
    facial_field,
    moved_face,
)
from hmrm_lab.datasets.flow_truth.folders import find_pairs
from hmrm_lab.datasets.flow_truth.pairs import with_noise
from hmrm_lab.datasets.flow_truth.textures import procedural_pictures
from hmrm_lab.records import Clip

HELD_OUT_SEED = 30_000
PEOPLE, PICTURES = 10, 12
NOISES = (0.0, 1.0, 2.0, 4.0)  # standard deviation in levels of 255
FACIAL = tuple((kind, peak_px) for kind in ("local", "smooth") for peak_px in (0.5, 1.0, 2.0))
SCENES = ((0.2, 1.0), (1.0, 5.0), (5.0, 20.0))  # longest vector in pixels
SCENE_PX = 224
_PAIR, _GRAIN = 31, 32  # streams of random numbers


@dataclass(frozen=True, slots=True)
class Trial:
    """One pair as estimators see it, with the truth beside it.

    Shapes
    ------
    onset, apex : (H, W, 3) uint8, RGB
    flow_px : (2, H, W) float32, NaN where it is not known
    """

    group: str
    motion: str
    noise: float
    pair: str
    onset: NDArray[np.uint8]
    apex: NDArray[np.uint8]
    flow_px: NDArray[np.float32]


def facial_trials(
    pairs: int = 10,
    noises: Sequence[float] = NOISES,
    seed: int = HELD_OUT_SEED,
    motions: Sequence[tuple[str, float]] = FACIAL,
) -> Iterator[Trial]:
    """Held-out synthetic people under local and smooth motion of .5, 1 and 2 px.

    `motions` may name some of `FACIAL` only; their pairs stay the same.
    """
    faces = face_pictures(seed, range(min(PEOPLE, pairs)))
    for column, (kind, peak_px) in enumerate(FACIAL):
        if (kind, peak_px) not in motions:
            continue
        motion = f"{kind} {peak_px:g} px"
        for number in range(pairs):
            field = facial_field(_rng(seed, _PAIR, column, number), kind, peak_px)
            pair = moved_face(faces[number % len(faces)], field)
            yield from _noisy(pair, "faces", motion, number, noises, (seed, column))


def procedural_trials(
    pairs: int = 10, noises: Sequence[float] = NOISES, seed: int = HELD_OUT_SEED
) -> Iterator[Trial]:
    """Held-out layered scenes by the longest vector in them."""
    pictures = procedural_pictures(seed, PICTURES)
    for row, motion_px in enumerate(SCENES):
        source = ProceduralPairs(pictures, SCENE_PX, motion_px, large=0.0, layered=0.7, still=0.0)
        motion = f"{motion_px[0]:g}-{motion_px[1]:g} px"
        for number in range(pairs):
            pair = source(_rng(seed, _PAIR, 100 + row, number))
            yield from _noisy(pair, "scenes", motion, number, noises, (seed, 100 + row))


def clip_trials(
    clips: Sequence[Clip], noises: Sequence[float] = NOISES, seed: int = HELD_OUT_SEED
) -> Iterator[Trial]:
    """Onset and apex of synthetic clips, with this noise in place of the camera's.

    Unlike the other sets the two frames also differ a little in light, as recordings do.
    """
    for number, clip in enumerate(clips):
        pair = clip_pair(clip)
        yield from _noisy(pair, "clips", "onset to apex", number, noises, (seed, 200))


def folder_trials(root: Path, limit: int | None = None) -> Iterator[Trial]:
    """Pairs of a folder as they are, evenly taken where there are more than `limit`."""
    files = find_pairs(root)
    if limit is not None and len(files) > limit:
        files = [files[place] for place in np.linspace(0, len(files) - 1, limit).astype(int)]
    for item in files:
        pair = item.read()
        onset, apex = (frame.astype(np.uint8) for frame in (pair.onset, pair.apex))
        yield Trial(root.name, "as recorded", 0.0, item.name, onset, apex, pair.flow_px)


TRIALS: dict[str, Callable[..., Iterator[Trial]]] = {
    "faces": facial_trials,
    "scenes": procedural_trials,
}


def _noisy(
    pair: TruePair,
    group: str,
    motion: str,
    number: int,
    noises: Sequence[float],
    key: tuple[int, int],
) -> Iterator[Trial]:
    for noise in noises:
        rng = _rng(key[0], _GRAIN, key[1], number)  # the same grain, of another strength
        onset, apex = with_noise(pair.onset, noise, rng), with_noise(pair.apex, noise, rng)
        yield Trial(group, motion, noise, f"{number:03d}", onset, apex, pair.flow_px)


def _rng(*key: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(list(key)))
