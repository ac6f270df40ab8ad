"""The course of one clip: which action units fire, how strongly and when, and what disturbs them.

A unit is a handful of smooth bumps anchored at the subject's landmarks (facial action coding
system; the units of micro-expressions after Davison et al., "Objective classes for micro-facial
expression recognition", 2018). Numbers are drawn in the same order at every `difficulty`, which
only scales them: a clip of one seed is the same event, weaker and more disturbed as it grows.
`emotions.csv` has the combinations of units of each emotion, and its number of clips in CASME II
(anger and contempt: in SAMM).
"""

import csv
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hmrm_lab.datasets.classes import MEGC3, UNITS, ClassScheme, unit_key
from hmrm_lab.datasets.synthetic.motion import (
    EYE,
    MIRROR,
    Lids,
    Motion,
    floats,
    pixel_grid,
    subject_landmarks,
)
from hmrm_lab.datasets.synthetic.painting import curve
from hmrm_lab.records import Floats

Bump = tuple[list[int], list[float]]
"""The landmarks whose mean a bump lies at; its offset, radii and push, each (x, y)."""


class Recipe(NamedTuple):
    """The clips of an emotion: their number in published data, and what may fire together."""

    emotion: str
    clips: float
    variants: tuple[tuple[str, ...], ...]
    label: int = 0


def _read_table(name: str) -> list[list[str]]:
    with Path(__file__).with_name(name).open(encoding="utf-8") as file:
        return [*csv.reader(file)][1:]


def _read_units() -> dict[str, list[Bump]]:
    """The bumps of each unit on the left of the image, where x grows towards the nose."""
    units: dict[str, list[Bump]] = {}
    for name, landmarks, *numbers in _read_table("action_units.csv"):
        units.setdefault(name, []).append(
            ([int(index) for index in landmarks.split()], [float(text) for text in numbers])
        )
    return units


BUMPS = _read_units()
EMOTIONS = {
    emotion: Recipe(emotion, int(clips), tuple(tuple(units.split("+")) for units in texts.split()))
    for emotion, clips, texts in _read_table("emotions.csv")
}
GROUPS = ("negative", "positive")  # of emotions: for classes that no single emotion is in
COMPOSITE = tuple(
    EMOTIONS[name]._replace(clips=clips, label=label)
    for label, (name, clips) in enumerate((("negative", 250), ("positive", 109), ("surprise", 83)))
)
"""The clips of the MEGC 2019 composite (See et al., 2019, Table I)."""

STRAY = ("1", "2", "4", "5", "7", "12", "14", "15", "17", "26")
"""Units that may fire weakly whatever the class is."""
CODED_SHARE = 0.5  # a stray unit is coded if it pushes half as far as the units of the class
DISTRACTORS = ("blink", "swallow", "lip press", "nostrils")
STRAYS = 3
STRAY_SHARE = 2.2
"""The strongest stray unit at difficulty 1, in shares of the units of the clip's class.

With three of them, a small network trained on TV-L1 flow reaches a UF1 of about .75 at the default
difficulty: enough to learn, and room to be better.
"""

BLINK_S = (0.1, 0.3)
"""How long a blink takes, from the first movement to the open eye."""
CLOSING_SHARE = 0.35  # of this time; lids open more slowly than they close
AROUND_PX = 1.5  # the skin about a closing eye moves this far
DRIFTS = 6

Track = tuple[Floats, Floats]  # bumps (K, 6) and their course (T,)


Stream = IntEnum("Stream", "GEOMETRY LOOKS CAST SENSOR HABIT SCRIPT BLINK GUISE")
"""What random numbers are for."""


def key(seed: int, stream: Stream, *numbers: int) -> np.random.SeedSequence:
    """The seed of this stream for one subject, clip or frame."""
    return np.random.SeedSequence([seed, int(stream), *numbers])


def generator(seed: int, stream: Stream, *numbers: int) -> np.random.Generator:
    """The stream for one subject, clip or frame, at its start."""
    return np.random.default_rng(key(seed, stream, *numbers))


@dataclass(frozen=True, eq=False)
class Script:
    """One clip before it is rendered."""

    motion: Motion
    onset: int
    apex: int
    offset: int
    units: tuple[str, ...]  # the action units of the class that fire
    coded: tuple[str, ...]  # these, and the others that move about as far
    peak_px: float  # the farthest that these units push any point
    gain: Floats  # (T,) float32, the brightness of each frame
    noise_level: float  # standard deviation of the sensor noise in 8-bit levels


def recipes_of(scheme: ClassScheme) -> tuple[Recipe, ...]:
    """What is drawn for a class scheme: all emotions, or combinations of units, in its classes."""
    if scheme == MEGC3:
        return COMPOSITE
    found: dict[tuple[str, int], list[tuple[str, ...]]] = {}
    for emotion, _, variants, _ in EMOTIONS.values():
        for units in variants:
            with suppress(LookupError):
                word = "+".join(units) if scheme.read == UNITS else emotion
                if (label := scheme.label(word, "synthetic")) is not None:
                    found.setdefault((emotion, label), []).append(units)
    single = {label for emotion, label in found if emotion not in GROUPS}
    return tuple(
        Recipe(name, clips * len(units) / len(variants), tuple(units), label)
        for (name, label), units in found.items()
        for _, clips, variants, _ in [EMOTIONS[name]]
        if name not in GROUPS or label not in single
    )


@lru_cache(maxsize=512)
def neutral_landmarks(seed: int, subject: int) -> Floats:
    """The 68 landmarks of this subject at rest: (68, 2) float32, read-only."""
    landmarks = subject_landmarks(generator(seed, Stream.GEOMETRY, subject))
    landmarks.setflags(write=False)
    return landmarks


@lru_cache(maxsize=1024)  # a data set is loaded again and again
def write_script(
    recipes: tuple[Recipe, ...],
    number: int,
    seed: int,
    subject: int,
    clip: int,
    frames: int,
    difficulty: float,
    blink_fps: float,
) -> Script:
    """Draw a clip of this recipe and subject, with a blink if `blink_fps` is its rate."""
    landmarks = neutral_landmarks(seed, subject)
    rng = generator(seed, Stream.HABIT, subject)
    preference = [rng.dirichlet(np.full(len(recipe.variants), 1.5)) for recipe in recipes]
    lean, vigour = float(rng.normal(0, 0.15)), float(rng.random())
    rng = generator(seed, Stream.SCRIPT, clip)
    onset = int(rng.integers(0, 3))
    offset = frames - 1 - int(rng.integers(0, 3))
    apex = onset + round(float(rng.uniform(0.35, 0.65)) * (offset - onset))
    variants = recipes[number].variants
    units = variants[rng.choice(len(variants), p=preference[number])]
    core = [_leaning(name, landmarks, lean, rng) for name in units]
    strays, by_name = [], dict[str, list[Floats]]()
    for _ in range(STRAYS):
        name = STRAY[rng.integers(len(STRAY))]
        bumps = _leaning(name, landmarks, lean, rng)
        strays.append(scaled(bumps, float(rng.uniform(0.3, 1.0)) * difficulty * STRAY_SHARE))
        by_name.setdefault(name, []).append(strays[-1])
    level = 0.7 * rng.beta(1.6, 1.8) + 0.3 * vigour
    weakest = 1.6 ** (1 - difficulty) * 0.5**difficulty  # 1.6-3 px when easy, 0.5-1.1 when hard
    strongest = 3.0 ** (1 - difficulty) * 1.1**difficulty
    peak_px = float(weakest + level * (strongest - weakest))
    push = farthest_px(np.concatenate(core))
    strength, own = peak_px / push, {unit_key(unit) for unit in units}
    reach = {n: farthest_px(np.concatenate(by_name[n])) for n in by_name if n not in own}
    tracks = [
        (scaled(bumps, strength), _course(rng, frames, onset, apex, offset))
        for bumps in (*core, *strays)
    ]
    tracks += _distractors(landmarks, rng, frames, difficulty)
    easy, hard = floats([0.12, 0.12, 0.0006, 0.0004]), floats([0.70, 0.70, 0.0040, 0.0030])
    weights = [np.repeat(course[:, None], len(bumps), axis=1) for bumps, course in tracks]
    motion = Motion(
        np.concatenate([bumps for bumps, _ in tracks]),
        np.concatenate(weights, axis=1),
        floats(_wander(rng, frames, 4) * (easy + difficulty * (hard - easy))),
    )
    script = Script(
        motion=motion,
        onset=onset,
        apex=apex,
        offset=offset,
        units=units,
        coded=(*units, *(name for name, far in reach.items() if far >= CODED_SHARE * push)),
        peak_px=peak_px,
        gain=floats(1 + (0.003 + 0.015 * difficulty) * _wander(rng, frames, 1)[:, 0]),
        noise_level=float(rng.uniform(0.8, 1.2)) * (0.8 + 2.6 * difficulty),
    )
    blink = generator(seed, Stream.BLINK, clip)
    return _with_blink(script, landmarks, blink, blink_fps) if blink_fps else script


def _with_blink(script: Script, landmarks: Floats, rng: np.random.Generator, fps: float) -> Script:
    """The same clip in which both eyes close, fully or nearly, and open again.

    They are closed farthest at some time between onset and offset.
    """
    motion = script.motion
    shut, depth = rng.uniform(script.onset, script.offset), rng.uniform(0.75, 1.0)
    length = rng.uniform(*BLINK_S) * fps
    away = np.arange(len(motion)) - shut
    away /= length * np.where(away < 0, CLOSING_SHARE, 1 - CLOSING_SHARE)
    closing = floats(depth * (0.5 + 0.5 * np.cos(np.pi * away.clip(-1, 1))))
    around = scaled(unit_bumps("blink", landmarks), AROUND_PX)
    weights = np.repeat(closing[:, None], len(around), axis=1)
    edges = []
    for eye in (landmarks[EYE], landmarks[MIRROR][EYE]):  # as it is painted
        corners = eye[[0, 3], 0]
        across = np.linspace(corners.min(), corners.max(), 40, dtype=np.float32)
        lids = curve(eye[:4], 40), curve(eye[[3, 4, 5, 0]], 40)
        down = [np.interp(across, *line[np.argsort(line[:, 0])].T) for line in lids]
        edges.append(floats(np.stack([across, *down])))
    motion = Motion(
        np.concatenate([motion.bumps, around]),
        np.concatenate([motion.weights, weights], axis=1),
        motion.pose,
        Lids(np.stack(edges), closing),
    )
    return replace(script, motion=motion, coded=(*script.coded, "45"))


def unit_bumps(name: str, landmarks: Floats, left: float = 1.0, right: float = 1.0) -> Floats:
    """The bumps (K, 6) of a unit on this face, for a strongest push of about one pixel.

    `left` and `right` scale the two halves of the image. A push at the middle of the face is one
    bump and takes their mean.
    """
    rows = []
    for indices, (offset_x, offset_y, radius_x, radius_y, push_x, push_y) in BUMPS[name]:
        sides = [(landmarks[indices], 1.0, left), (landmarks[MIRROR[indices]], -1.0, right)]
        if (MIRROR[indices] == indices).all():
            sides = [(landmarks[indices], 1.0, (left + right) / 2)]
        for points, mirror, strength in sides:
            x, y = map(float, points.mean(axis=0))
            place = [x + mirror * offset_x, y + offset_y, radius_x, radius_y]
            rows.append([*place, strength * mirror * push_x, strength * push_y])
    return np.array(rows, dtype=np.float32)


def scaled(bumps: Floats, strength: float) -> Floats:
    """The same bumps with pushes this many times as long."""
    return (bumps * floats([1, 1, 1, 1, strength, strength])).astype(np.float32)


def farthest_px(bumps: Floats) -> float:
    """The longest displacement of these bumps together, over every second pixel."""
    points = pixel_grid()[:, ::2, ::2].reshape(2, -1).T
    still = np.zeros((1, 4), dtype=np.float32)
    motion = Motion(bumps, np.ones((1, len(bumps)), dtype=np.float32), still)
    return float(np.linalg.norm(motion.displacement(points, 0), axis=1).max())


def _leaning(name: str, landmarks: Floats, lean: float, rng: np.random.Generator) -> Floats:
    """A unit with its own strength and lopsidedness; L14 is one on the person's left alone."""
    lean += rng.normal(0, 0.25)
    strength = float(rng.uniform(0.6, 1.0))
    left, right = np.exp(lean) * (name[0] != "L"), np.exp(-lean) * (name[0] != "R")
    return scaled(unit_bumps(name.lstrip("LR"), landmarks, left, right), strength)


def _course(rng: np.random.Generator, frames: int, onset: int, apex: int, offset: int) -> Floats:
    """Intensity over time: 0 until the onset, 1 at the apex, a remainder from the offset on."""
    haste, remainder = rng.uniform(0.8, 1.5), rng.uniform(0, 0.25)
    times = np.arange(frames)
    rise = np.clip((times - onset) / (apex - onset), 0, 1)
    fall = np.clip((times - apex) / (offset - apex), 0, 1)
    rising = (0.5 - 0.5 * np.cos(np.pi * rise)) ** haste
    return floats(rising * (1 - (1 - remainder) * (0.5 - 0.5 * np.cos(np.pi * fall))))


def _wander(rng: np.random.Generator, frames: int, count: int) -> Floats:
    """Slow, smooth changes of about unit size: (T, count)."""
    harmonics = np.arange(1, 4)[:, None, None]
    times = np.linspace(0, 1, frames)[None, :, None]
    size = np.clip(rng.normal(0, 1, (3, 1, count)), -2, 2) / harmonics
    phase = rng.uniform(0, 2 * np.pi, (3, 1, count))
    return floats((size * np.sin(1.5 * np.pi * harmonics * times + phase)).sum(axis=0))


def _distractors(
    landmarks: Floats, rng: np.random.Generator, frames: int, difficulty: float
) -> list[Track]:
    """Short movements without an expression, each present in some clips only.

    And what a turn of the head leaves after alignment: broad bumps that come and go.
    """
    tracks: list[Track] = []
    for name in DISTRACTORS:
        present, size = rng.random() < 0.45, float(rng.uniform(0.4, 1.0))
        middle, width = rng.uniform(0, frames), rng.uniform(1.0, 2.5)
        if present:
            pulse = np.exp(-0.5 * ((np.arange(frames) - middle) / width) ** 2)
            reach = size * (0.2 + 1.4 * difficulty) * (1.4 if name == "blink" else 1.0)
            tracks.append((scaled(unit_bumps(name, landmarks), reach), floats(pulse)))
    places = rng.uniform(20, 204, (DRIFTS, 2))
    radii = rng.uniform(55, 110, (DRIFTS, 2))
    pushes = rng.normal(0, 0.05 + 0.30 * difficulty, (DRIFTS, 2)).clip(-1, 1)
    bumps = floats(np.concatenate([places, radii, pushes], axis=1))
    courses = _wander(rng, frames, DRIFTS)
    return tracks + [(bumps[k : k + 1], courses[:, k]) for k in range(DRIFTS)]
