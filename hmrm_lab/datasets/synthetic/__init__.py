"""Procedural faces that stand in for the licensed recordings.

A subject is a face geometry and a painted picture; a clip warps that picture by the displacement
fields of the action units of its class. Nothing is estimated, so that every clip knows its exact
flow, landmarks and action units. The classes are as unequal as in the MEGC 2019 composite, or as
the emotions of another class scheme in CASME II and SAMM, and so are the numbers of clips of the
subjects. A frame is made when asked for: the neutral picture, warped, lit
and read by a noisy sensor.

A guise shows the faces as the cameras of known data sets would have recorded them. It has the size,
the frame rate and the kind of picture of its data set, and brings no landmarks: the face is found
in it as in a recording. So what is claimed of recordings is measured on all of them. Guises are
named after data sets, and show nobody of these.
"""

import tomllib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from hmrm_lab.datasets.classes import MEGC3, ClassScheme
from hmrm_lab.datasets.synthetic.looks import paint_face
from hmrm_lab.datasets.synthetic.motion import (
    CENTRE_PX,
    JAW,
    SIZE_PX,
    STRETCH,
    Floats,
    floats,
    pixel_grid,
)
from hmrm_lab.datasets.synthetic.painting import MARGIN_PX, SCALE, Traits
from hmrm_lab.datasets.synthetic.recipes import (
    EMOTIONS,
    Recipe,
    Script,
    Stream,
    generator,
    key,
    neutral_landmarks,
    recipes_of,
    write_script,
)
from hmrm_lab.errors import ConfigError, unknown_name
from hmrm_lab.records import Clip, ClipKey
from hmrm_lab.registry import datasets

FPS = 100.0
DRAWING = 1
"""Part of the name of every cache of drawn clips: raise it when the same arguments draw others."""
GUISE_FORMAT = 1  # raise it when a guise alone looks otherwise
MARGIN_ABOVE, CUT_AT_SIDES = 0.06, 0.04  # of the box of the landmarks, in a picture cut out tightly
LEAST = 2  # clips of every class, of as many subjects; the composite's classes may have fewer
DEALS = 1000
DOME = (112.0, 40.0, 104.0, 74.0)  # centre and radii of the hair above the drawn picture, pixels


@datasets.register("synthetic", source="procedural")
def synthetic(
    *,
    scheme: ClassScheme = MEGC3,
    subjects: int = 24,
    clips: int = 156,
    difficulty: float = 0.5,
    frames: int = 16,
    seed: int = 0,
    guise: str = "",
    blink_every: int = 0,
) -> list[Clip]:
    """Clips of procedural faces in order of subject, the same for the same arguments.

    `frames` of each is a `RenderedFrames`, or a `GuisedFrames`. A value out of its range is a
    `ConfigError`.

    Parameters
    ----------
    subjects, clips
        How many subjects, and how many clips of all of them together.
    difficulty
        0 for strong and undisturbed movements, 1 for weak ones among noise and distractors.
    frames
        The length of each clip, 12 at least.
    seed
        Names the faces and the movements.
    guise
        casme2, smic, samm or phone, for recordings like theirs. Else each frame is
        224 x 224, and its landmarks and flow are known.
    blink_every
        Each clip of this many has a blink of 100 to 300 ms; none if 0.
    """
    for name, value, least in (
        ("subjects", subjects, 2),
        ("clips", clips, max(subjects, 2)),
        ("frames", frames, 12),
        ("seed", seed, 0),
        ("blink_every", blink_every, 0),
    ):
        if value < least:
            problem = f"the synthetic data set cannot have {name}={value}"
            raise ConfigError(problem, hint=f"give {name} of at least {least}")
    if not 0 <= difficulty <= 1:
        problem = f"the synthetic data set cannot have difficulty={difficulty}"
        raise ConfigError(problem, hint="give a difficulty from 0 to 1")
    if guise and guise not in GUISES:
        raise unknown_name("guise", guise, GUISES)
    fps = GUISES[guise].fps if guise else FPS
    recipes = recipes_of(scheme)
    cast, drawn = _deal(scheme, recipes, subjects, clips, generator(seed, Stream.CAST))
    made: list[Clip] = []
    taken: dict[tuple[int, str], int] = {}
    for number, (subject, of) in enumerate(zip(cast.tolist(), drawn.tolist(), strict=True)):
        emotion, label = recipes[of].emotion, recipes[of].label
        taken[subject, emotion] = take = taken.get((subject, emotion), 0) + 1
        blink_fps = fps if blink_every and number % blink_every == 0 else 0.0
        script = write_script(recipes, of, seed, subject, number, frames, difficulty, blink_fps)
        picture = RenderedFrames(seed, subject, number, script)
        name = f"s{subject + 1:02d}"
        made.append(
            Clip(
                key=ClipKey("synthetic", name, f"{name}_{emotion[:3]}_{take:02d}"),
                label=label,
                frames=GuisedFrames(picture, guise, script.onset) if guise else picture,
                onset=script.onset,
                apex=script.apex,
                offset=script.offset,
                fps=fps,
                classes=scheme.classes,
                emotion=emotion,
                action_units=script.coded,
            )
        )
    return made


def _deal(
    scheme: ClassScheme,
    recipes: tuple[Recipe, ...],
    subjects: int,
    clips: int,
    rng: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The subject and the recipe of every clip: (clips,) each, in order of subject."""
    labels = np.array([recipe.label for recipe in recipes])
    if lacking := [name for n, name in enumerate(scheme.classes) if n not in labels]:
        problem = f"no built-in face shows the classes {', '.join(lacking)} of '{scheme.name}'"
        raise ConfigError(problem, hint=f"emotions that they show: {', '.join(EMOTIONS)}")
    weights = np.array([recipe.clips for recipe in recipes])
    least = 0 if scheme == MEGC3 else LEAST
    classes = _shares(clips, np.bincount(labels, weights))
    for _ in range(least * len(classes)):
        classes[classes.argmax()] -= classes.min() < least
        classes[classes.argmin()] += classes.sum() < clips
    counts = np.zeros(len(recipes), dtype=int)
    for label, count in enumerate(classes):
        counts[labels == label] = _shares(count, weights[labels == label])
    drawn = rng.permutation(np.repeat(range(len(recipes)), counts))
    # Beside one clip for each subject, the others are shared unequally, as in real data sets.
    rank = (np.arange(subjects) + 0.5) / subjects
    extra = _shares(clips - subjects, rng.permutation(rank**1.5))
    cast = np.repeat(np.arange(subjects), 1 + extra)
    for _ in range(DEALS):
        pairs = np.unique([labels[drawn], cast], axis=1)
        if np.bincount(pairs[0], minlength=len(classes)).min() >= least:
            return cast, drawn
        drawn = rng.permutation(drawn)
    problem = f"{clips} clips of {subjects} built-in faces cannot show all {len(classes)} classes"
    raise ConfigError(f"{problem} on {least} faces", hint="set data.clips or data.subjects higher")


@lru_cache(maxsize=32)
def neutral_texture(seed: int, subject: int) -> Floats:
    """The picture of this subject at rest, as of `paint_face`; read-only."""
    rng = generator(seed, Stream.LOOKS, subject)
    picture = paint_face(neutral_landmarks(seed, subject), Traits(rng), rng)
    picture.setflags(write=False)
    return picture


@dataclass(frozen=True, eq=False)
class RenderedFrames:
    """The frames of one synthetic clip, (224, 224, 3) uint8, RGB, with exact flow and landmarks.

    Holds parameters and no pixels, so that it is cheap to send to another process. A frame is the
    same whenever and wherever it is asked for.
    """

    seed: int
    subject: int
    clip: int
    script: Script

    def __len__(self) -> int:
        return len(self.script.motion)

    def __getitem__(self, index: int, /) -> NDArray[np.uint8]:
        frame = range(len(self))[index]
        seed = key(self.seed, Stream.SENSOR, self.clip, frame)
        return _sensed(self.clean(frame), seed, self.script.noise_level, 3)

    def clean(self, index: int) -> Floats:
        """The frame before the sensor: (224, 224, 3) float32, RGB in levels of 0..255."""
        frame = range(len(self))[index]
        picture = neutral_texture(self.seed, self.subject)
        warped = _sampled(picture, (self.script.motion.neutral_grid(frame) + MARGIN_PX) * SCALE)
        return floats(warped * self.script.gain[frame])

    def landmarks(self, index: int) -> Floats:
        """The exact iBUG landmarks of a frame: (68, 2) float32, order (x, y), pixels."""
        neutral = neutral_landmarks(self.seed, self.subject)
        return self.script.motion.forward(neutral, range(len(self))[index])

    def flow(self, source: int, target: int) -> Floats:
        """The exact flow from one frame to another: (2, 224, 224) float32, (u, v), pixels."""
        frames = range(len(self))
        return self.script.motion.flow(frames[source], frames[target])

    def identity(self, index: int) -> str:
        motion, script = self.script.motion, self.script
        course = (motion.bumps, motion.weights[index], motion.pose[index], script.gain[index])
        settings = b"".join(values.tobytes() for values in course).hex()
        names = f"{self.seed} {self.subject} {self.clip} {index}"
        return f"{DRAWING} {names} {script.noise_level} {settings}"


@dataclass(frozen=True)
class Guise:
    """How a camera sees a face."""

    height: int
    width: int
    fps: float
    noise: float  # standard deviation of the sensor noise, in 8-bit levels
    face_px: float | None = None  # from ear to ear; None for a picture cut out tightly
    gray: bool = False
    jpeg: int | None = None  # the quality of a compression of every frame


_GUISES = Path(__file__).with_name("guises.toml").read_text(encoding="utf-8")
GUISES = {name: Guise(**of) for name, of in tomllib.loads(_GUISES).items()}


@dataclass(frozen=True, eq=False)
class GuisedFrames:
    """The frames of one procedural clip in a guise: (height, width, 3) uint8, RGB."""

    drawn: RenderedFrames
    name: str
    onset: int

    def __len__(self) -> int:
        return len(self.drawn)

    def __getitem__(self, index: int, /) -> NDArray[np.uint8]:
        frame, drawn, guise = range(len(self))[index], self.drawn, GUISES[self.name]
        scene = _backdrop(self).copy()
        box = self._box()
        scene[box] = self._painted(box, frame)
        scene *= drawn.script.gain[frame]
        if guise.gray:
            scene = np.repeat(scene.mean(axis=2, keepdims=True), 3, axis=2)
        seed = key(drawn.seed, Stream.GUISE, drawn.clip, frame, *self.name.encode())
        seen = _sensed(scene, seed, guise.noise, 1 if guise.gray else 3)
        if guise.jpeg is None:
            return seen
        bgr = cv2.cvtColor(seen, cv2.COLOR_RGB2BGR)
        _, code = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, guise.jpeg])
        again = cv2.imdecode(code, cv2.IMREAD_COLOR)
        return np.asarray(cv2.cvtColor(again, cv2.COLOR_BGR2RGB), dtype=np.uint8)

    def identity(self, index: int) -> str:
        return f"{GUISE_FORMAT} {self.name} {self.drawn.identity(index)}"

    def to_scene(self) -> NDArray[np.float64]:
        """From a drawn frame to this picture: (2, 3), as OpenCV takes it."""
        guise, points = GUISES[self.name], self.drawn.landmarks(self.onset)
        size = np.array([guise.width, guise.height])
        if guise.face_px is None:  # brows to chin, with the sides cut off
            (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
            cut, above = CUT_AT_SIDES * (right - left), MARGIN_ABOVE * (bottom - top)
            low, high = np.array([left + cut, top - above]), np.array([right - cut, bottom])
            fill = size / (high - low)
            return np.column_stack([np.diag(fill), -low * fill - 0.5])
        rng = generator(self.drawn.seed, Stream.GUISE, self.drawn.clip)
        turn = np.deg2rad(rng.uniform(-5, 5))
        scale = guise.face_px / float(np.ptp(points[JAW, 0]))
        rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        linear = scale * rotation @ np.diag([1, STRETCH])
        middle = size / 2 + rng.uniform(-1, 1, 2) * (size - scale * SIZE_PX) / 8
        return np.column_stack([linear, middle - linear @ np.full(2, CENTRE_PX)])

    def _painted(self, box: tuple[slice, slice], frame: int | None) -> Floats:
        """Rows and columns of the scene before the sensor, of the face at rest or in a frame."""
        back = cv2.invertAffineTransform(self.to_scene())
        pixels = np.mgrid[box][::-1].astype(np.float32)
        seen = np.tensordot(floats(back[:, :2]), pixels, axes=1) + floats(back[:, 2, None, None])
        x, y, across, down = DOME
        wall = ((seen[0] - x) / across) ** 2 + ((seen[1] - y) / down) ** 2 > 1
        wall &= seen[1] < -MARGIN_PX
        if frame is not None:
            moved = floats(self.drawn.script.motion.neutral_grid(frame) - pixel_grid())
            seen = seen + _sampled(moved.transpose(1, 2, 0), seen).transpose(2, 0, 1)
        seen[:, wall] = -MARGIN_PX  # the corner of the picture, which is wall
        texture = neutral_texture(self.drawn.seed, self.drawn.subject)
        return _sampled(texture, (seen + MARGIN_PX) * SCALE)

    def _box(self) -> tuple[slice, slice]:
        """Rows and columns that the drawn frame takes in the scene; nothing moves elsewhere."""
        matrix, guise = self.to_scene(), GUISES[self.name]
        corners = np.array([(0, 0), (0, SIZE_PX), (SIZE_PX, 0), (SIZE_PX, SIZE_PX)])
        places = corners @ matrix[:, :2].T + matrix[:, 2]
        low = np.floor(places.min(axis=0)).astype(int).clip(0)
        high = np.ceil(places.max(axis=0)).astype(int)
        return slice(low[1], min(high[1], guise.height)), slice(low[0], min(high[0], guise.width))


@lru_cache(maxsize=2)
def _backdrop(frames: GuisedFrames) -> Floats:
    guise = GUISES[frames.name]
    return frames._painted((slice(0, guise.height), slice(0, guise.width)), None)


def _sampled(picture: Floats, where: Floats) -> Floats:
    """A picture at these places, beyond its edge as on it: (H, W, C) by (2, h, w) to (h, w, C)."""
    found: Floats = cv2.remap(
        picture, where[0], where[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return found


def _sensed(
    scene: Floats, seed: np.random.SeedSequence, noise: float, channels: int
) -> NDArray[np.uint8]:
    rng = np.random.Generator(np.random.SFC64(seed))
    grain = rng.standard_normal((*scene.shape[:2], channels), dtype=np.float32)
    noisy = scene + grain * np.float32(noise)
    return np.asarray(cv2.convertScaleAbs(np.maximum(noisy, 0)), dtype=np.uint8)


def _shares(total: int, parts: ArrayLike) -> NDArray[np.int64]:
    """Whole numbers in the ratios of `parts` that add up to the total, by largest remainders."""
    ratios = np.asarray(parts, dtype=float)
    exact = total * ratios / ratios.sum()
    whole = np.floor(exact).astype(int)
    order = np.argsort(whole - exact, kind="stable")
    whole[order[: total - int(whole.sum())]] += 1
    return whole
