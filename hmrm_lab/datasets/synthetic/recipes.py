"""The course of one clip: which units fire, how strongly and when, and what disturbs them.

`difficulty` never changes which numbers are drawn, only what they are scaled by, so that a clip
of one seed is the same event at every difficulty, weaker and more disturbed as it grows.
"""

from dataclasses import dataclass, replace

import numpy as np

from hmrm_lab.datasets.synthetic.action_units import CORE, DISTRACTORS, STRAY, unit_bumps
from hmrm_lab.datasets.synthetic.motion import EYE, MIRROR, SIZE_PX, Floats, Lids, Motion, floats
from hmrm_lab.datasets.synthetic.painting import colour, curve

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

Track = tuple[Floats, Floats]  # bumps (K, 6) and their course (T,)


@dataclass(frozen=True, eq=False)
class Script:
    """One clip before it is rendered.

    Shapes
    ------
    gain : (T,) float32, the brightness of each frame
    """

    motion: Motion
    onset: int
    apex: int
    offset: int
    units: tuple[str, ...]  # the action units of the class that fire
    peak_px: float  # the farthest that these units push any point
    gain: Floats
    noise_level: float  # standard deviation of the sensor noise in 8-bit levels


@dataclass(frozen=True, eq=False)
class Habit:
    """How one subject moves: preferred variants of each class, lopsidedness, strength."""

    preference: tuple[np.ndarray, ...]
    lean: float
    vigour: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Habit":
        preference = tuple(rng.dirichlet(np.full(len(variants), 1.5)) for variants in CORE.values())
        return cls(preference, float(rng.normal(0, 0.15)), float(rng.random()))


def write_script(
    label: int,
    landmarks: Floats,
    habit: Habit,
    rng: np.random.Generator,
    *,
    frames: int,
    difficulty: float,
) -> Script:
    """Draw one clip of this class for this subject."""
    onset, apex, offset = _key_frames(rng, frames)
    variants = [*CORE.values()][label]
    units = variants[rng.choice(len(variants), p=habit.preference[label])]
    core = [_unit(name, landmarks, habit, rng) for name in units]
    strays = [
        scaled(
            _unit(STRAY[rng.integers(len(STRAY))], landmarks, habit, rng),
            float(rng.uniform(0.3, 1.0)) * difficulty * STRAY_SHARE,
        )
        for _ in range(STRAYS)
    ]
    peak_px = _peak_px(0.7 * rng.beta(1.6, 1.8) + 0.3 * habit.vigour, difficulty)
    strength = peak_px / farthest_px(np.concatenate(core))
    tracks = [
        (scaled(bumps, strength), _course(rng, frames, onset, apex, offset))
        for bumps in (*core, *strays)
    ]
    tracks += _distractors(landmarks, rng, frames, difficulty)
    tracks += _drift(rng, frames, difficulty)
    return Script(
        motion=_merged(tracks, _pose(rng, frames, difficulty)),
        onset=onset,
        apex=apex,
        offset=offset,
        units=units,
        peak_px=peak_px,
        gain=(1 + (0.003 + 0.015 * difficulty) * _wander(rng, frames, 1)[:, 0]).astype(np.float32),
        noise_level=float(rng.uniform(0.8, 1.2)) * (0.8 + 2.6 * difficulty),
    )


def with_blink(script: Script, landmarks: Floats, rng: np.random.Generator, fps: float) -> Script:
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
    motion = Motion(
        np.concatenate([motion.bumps, around]),
        np.concatenate([motion.weights, weights], axis=1),
        motion.pose,
        Lids(np.stack([_lid_edges(landmarks), _lid_edges(landmarks[MIRROR])]), closing),
    )
    return replace(script, motion=motion)


def _lid_edges(landmarks: Floats) -> Floats:
    """The edges of one eye as it is painted: (3, n), as in `motion.Lids`."""
    eye = landmarks[EYE]
    upper, lower = curve(eye[:4]), curve(eye[[3, 4, 5, 0]])
    across = np.linspace(eye[[0, 3], 0].min(), eye[[0, 3], 0].max(), len(upper), dtype=np.float32)
    down = [np.interp(across, *line[np.argsort(line[:, 0])].T) for line in (upper, lower)]
    return floats(np.stack([across, *down]))


def scaled(bumps: Floats, strength: float) -> Floats:
    """The same bumps with pushes this many times as long."""
    return (bumps * floats([1, 1, 1, 1, strength, strength])).astype(np.float32)


def farthest_px(bumps: Floats) -> float:
    """The longest displacement of these bumps together, over every second pixel."""
    rows, columns = np.mgrid[0:SIZE_PX:2, 0:SIZE_PX:2].astype(np.float32)
    points = np.stack([columns.ravel(), rows.ravel()], axis=1)
    still = np.zeros((1, 4), dtype=np.float32)
    motion = Motion(bumps, np.ones((1, len(bumps)), dtype=np.float32), still)
    return float(np.linalg.norm(motion.displacement(points, 0), axis=1).max())


def _peak_px(level: float, difficulty: float) -> float:
    """From a level in 0..1 to pixels: 1.6-3 px when easy, 0.5-1.1 px when hard."""
    weakest = 1.6 ** (1 - difficulty) * 0.5**difficulty
    strongest = 3.0 ** (1 - difficulty) * 1.1**difficulty
    return float(weakest + level * (strongest - weakest))


def _unit(name: str, landmarks: Floats, habit: Habit, rng: np.random.Generator) -> Floats:
    """A unit with its own strength and lopsidedness."""
    lean = habit.lean + rng.normal(0, 0.25)
    strength = float(rng.uniform(0.6, 1.0))
    return scaled(unit_bumps(name, landmarks, np.exp(lean), np.exp(-lean)), strength)


def _key_frames(rng: np.random.Generator, frames: int) -> tuple[int, int, int]:
    onset = int(rng.integers(0, 3))
    offset = frames - 1 - int(rng.integers(0, 3))
    apex = onset + round(float(rng.uniform(0.35, 0.65)) * (offset - onset))
    return onset, apex, offset


def _course(rng: np.random.Generator, frames: int, onset: int, apex: int, offset: int) -> Floats:
    """Intensity over time: 0 until the onset, 1 at the apex, a remainder from the offset on."""
    haste, remainder = rng.uniform(0.8, 1.5), rng.uniform(0, 0.25)
    times = np.arange(frames)
    rise = np.clip((times - onset) / (apex - onset), 0, 1)
    fall = np.clip((times - apex) / (offset - apex), 0, 1)
    rising = (0.5 - 0.5 * np.cos(np.pi * rise)) ** haste
    return (rising * (1 - (1 - remainder) * (0.5 - 0.5 * np.cos(np.pi * fall)))).astype(np.float32)


def _wander(rng: np.random.Generator, frames: int, count: int) -> Floats:
    """Slow, smooth changes of about unit size: (T, count)."""
    harmonics = np.arange(1, 4)[:, None, None]
    times = np.linspace(0, 1, frames)[None, :, None]
    size = np.clip(rng.normal(0, 1, (3, 1, count)), -2, 2) / harmonics
    phase = rng.uniform(0, 2 * np.pi, (3, 1, count))
    return floats((size * np.sin(1.5 * np.pi * harmonics * times + phase)).sum(axis=0))


def _pose(rng: np.random.Generator, frames: int, difficulty: float) -> Floats:
    """The head's similarity in each frame: (T, 4), as in `motion.Motion`."""
    easy = floats([0.12, 0.12, 0.0006, 0.0004])
    hard = floats([0.70, 0.70, 0.0040, 0.0030])
    return (_wander(rng, frames, 4) * (easy + difficulty * (hard - easy))).astype(np.float32)


def _distractors(
    landmarks: Floats, rng: np.random.Generator, frames: int, difficulty: float
) -> list[Track]:
    """Short movements without an expression, each present in some clips only."""
    tracks: list[Track] = []
    for name in DISTRACTORS:
        present, size = rng.random() < 0.45, float(rng.uniform(0.4, 1.0))
        middle, width = rng.uniform(0, frames), rng.uniform(1.0, 2.5)
        if present:
            pulse = np.exp(-0.5 * ((np.arange(frames) - middle) / width) ** 2)
            reach = size * (0.2 + 1.4 * difficulty) * (1.4 if name == "blink" else 1.0)
            tracks.append((scaled(unit_bumps(name, landmarks), reach), pulse.astype(np.float32)))
    return tracks


def _drift(rng: np.random.Generator, frames: int, difficulty: float) -> list[Track]:
    """What a turn of the head leaves after alignment: broad bumps that come and go."""
    count = 6
    places = rng.uniform(20, 204, (count, 2))
    radii = rng.uniform(55, 110, (count, 2))
    pushes = rng.normal(0, 0.05 + 0.30 * difficulty, (count, 2)).clip(-1, 1)
    bumps = np.concatenate([places, radii, pushes], axis=1).astype(np.float32)
    courses = _wander(rng, frames, count)
    return [(bumps[k : k + 1], courses[:, k]) for k in range(count)]


def _merged(tracks: list[Track], pose: Floats) -> Motion:
    bumps = np.concatenate([bumps for bumps, _ in tracks])
    weights = [np.repeat(course[:, None], len(bumps), axis=1) for bumps, course in tracks]
    return Motion(bumps, np.concatenate(weights, axis=1), pose)


_COMPLEXIONS = floats(
    [(246, 216, 198), (238, 203, 178), (226, 184, 152), (208, 160, 124)]
    + [(180, 130, 96), (146, 100, 72), (112, 76, 56)]
)
_IRISES = [
    (86, 54, 34),
    (60, 40, 30),
    (112, 82, 46),
    (92, 110, 74),
    (86, 118, 148),
    (104, 116, 124),
]
_HAIRS = [(30, 24, 22), (48, 34, 28), (84, 58, 40), (122, 88, 56), (182, 144, 96), (136, 74, 46)]
_BACKGROUNDS = [(150, 166, 178), (176, 170, 160), (138, 152, 142), (172, 158, 170), (196, 190, 180)]


@dataclass(frozen=True, eq=False)
class Traits:
    """What a subject looks like, apart from the geometry. Colours are (3,) float32 in 0..1."""

    complexion: Floats
    tone: float  # 0 light .. 1 dark
    blush: float
    freckles: float
    stubble: float
    roughness: float
    light: Floats  # unit vector towards the lamp; x right, y down, z to the camera
    iris: Floats
    hair: Floats
    background: Floats
    brow_density: float
    parting_px: float
    hairline_px: float
    long_hair: bool
    lip_tint: float


def draw_traits(rng: np.random.Generator) -> Traits:
    tone = float(rng.beta(1.1, 1.5))
    step = tone * (len(_COMPLEXIONS) - 1.001)
    low, part = int(step), np.float32(step % 1)
    complexion = (1 - part) * _COMPLEXIONS[low] + part * _COMPLEXIONS[low + 1]
    dark = int(tone > 0.55)  # darker subjects of this sample have dark eyes and hair
    lamp = np.array([rng.choice([-1, 1]) * rng.uniform(0.2, 0.55), -rng.uniform(0.25, 0.5), 0.85])
    return Traits(
        complexion=(complexion / 255 + rng.normal(0, 0.008, 3)).astype(np.float32),
        tone=tone,
        blush=float(rng.uniform(0.5, 1.2)),
        freckles=float(rng.choice([0, 0.2, 1], p=[0.5, 0.3, 0.2]) * (tone < 0.5)),
        stubble=float(rng.choice([0, rng.uniform(0.3, 0.9)], p=[0.65, 0.35])),
        roughness=float(rng.uniform(0.8, 1.3)),
        light=(lamp / np.linalg.norm(lamp)).astype(np.float32),
        iris=colour(*_IRISES[rng.integers(0, 2 if dark else len(_IRISES))]),
        hair=colour(*_HAIRS[rng.integers(0, 2 if dark else len(_HAIRS))]),
        background=colour(*_BACKGROUNDS[rng.integers(len(_BACKGROUNDS))]),
        brow_density=float(rng.uniform(0.65, 1.0)),
        parting_px=float(rng.uniform(-38, 38)),
        hairline_px=float(rng.uniform(17, 29)),
        long_hair=bool(rng.random() < 0.45),
        lip_tint=float(rng.uniform(0.35, 0.8)),
    )
