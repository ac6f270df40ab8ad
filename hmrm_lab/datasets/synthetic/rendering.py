"""Frames made when asked for: the neutral picture, warped, lit and read by a noisy sensor."""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from hmrm_lab.datasets.synthetic import features, skin
from hmrm_lab.datasets.synthetic.action_units import Stream, generator, key
from hmrm_lab.datasets.synthetic.motion import Floats, floats, subject_landmarks
from hmrm_lab.datasets.synthetic.painting import MARGIN_PX, SCALE, blend, blob, noise, region
from hmrm_lab.datasets.synthetic.recipes import Script, Traits, draw_traits


@lru_cache(maxsize=512)
def neutral_landmarks(seed: int, subject: int) -> Floats:
    """The 68 landmarks of this subject at rest: (68, 2) float32, read-only."""
    landmarks = subject_landmarks(generator(seed, Stream.GEOMETRY, subject))
    landmarks.setflags(write=False)
    return landmarks


@lru_cache(maxsize=32)
def neutral_texture(seed: int, subject: int) -> Floats:
    """The picture of this subject at rest, kept for the subjects used last.

    Shapes
    ------
    returns : (S, S, 3) float32, RGB in 0..255, on the canvas of `painting`; read-only
    """
    rng = generator(seed, Stream.LOOKS, subject)
    picture = paint_face(neutral_landmarks(seed, subject), draw_traits(rng), rng)
    picture.setflags(write=False)
    return picture


def paint_face(landmarks: Floats, traits: Traits, rng: np.random.Generator) -> Floats:
    """The neutral picture, painted from the back to the front.

    Shapes
    ------
    landmarks : (68, 2) float32, order (x, y), pixels of the crop
    returns : (S, S, 3) float32, RGB in 0..255
    """
    head = region(skin.head_outline(landmarks), 0.5)
    picture = _background(traits, rng)
    hair = features.strands(traits, rng)
    flesh = skin.lit_skin(landmarks, head, traits, rng)
    if traits.long_hair:
        blend(picture, hair * np.float32(0.55), features.back_hair(landmarks))
    blend(picture, flesh * 0.55, features.neck(landmarks))
    if not traits.long_hair:
        blend(picture, flesh * 0.80, features.ears(landmarks))
    overhang = np.roll(features.hair_mask(landmarks, traits, 4.0), (8, 0), axis=(0, 1))
    blend(picture, flesh * (1 - 0.45 * overhang[..., None]), head)
    features.paint_nostrils(picture, landmarks, traits)
    features.paint_mouth(picture, landmarks, traits, rng)
    features.paint_eyes(picture, landmarks, traits, rng)
    features.paint_brows(picture, landmarks, traits, rng)
    blend(picture, hair, features.front_hair(landmarks, traits, rng))
    picture *= 1 + 0.012 * noise(rng, 0.5)[..., None]
    picture = cv2.GaussianBlur(picture, (0, 0), 0.7)  # the lens; also keeps the warp free of alias
    return floats(np.clip(picture * 255, 0, 255))


def _background(traits: Traits, rng: np.random.Generator) -> Floats:
    lamp_x = 112 + 160 * float(traits.light[0])
    glow = 0.62 + 0.5 * blob(lamp_x, 40, 120, 110) + 0.03 * noise(rng, 40)
    picture: NDArray[np.float32] = glow[..., None] * traits.background
    return np.ascontiguousarray(picture, dtype=np.float32)


DRAWING = 1
"""Part of the name of every cache of drawn clips: raise it when the same arguments draw others."""


@dataclass(frozen=True, eq=False)
class RenderedFrames:
    """The frames of one synthetic clip, with their exact flow and landmarks.

    Holds parameters and no pixels, so that it is cheap to send to another process. A frame is the
    same whenever and wherever it is asked for.

    Shapes
    ------
    frames[i] : (224, 224, 3) uint8, RGB
    """

    seed: int
    subject: int
    clip: int
    script: Script

    def __len__(self) -> int:
        return len(self.script.motion)

    def __getitem__(self, index: int, /) -> NDArray[np.uint8]:
        frame = self._position(index)
        scene = self.clean(frame)
        seed = key(self.seed, Stream.SENSOR, self.clip, frame)
        rng = np.random.Generator(np.random.SFC64(seed))
        grain = rng.standard_normal(scene.shape, dtype=np.float32)
        scene += grain * np.float32(self.script.noise_level)
        return np.asarray(cv2.convertScaleAbs(np.maximum(scene, 0)), dtype=np.uint8)

    def clean(self, index: int) -> Floats:
        """The frame before the sensor: (224, 224, 3) float32, RGB in levels of 0..255."""
        frame = self._position(index)
        neutral = self.script.motion.neutral_grid(frame)
        where = (neutral + MARGIN_PX) * SCALE
        picture = neutral_texture(self.seed, self.subject)
        warped = cv2.remap(
            picture, where[0], where[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        return np.asarray(warped * self.script.gain[frame], dtype=np.float32)

    def landmarks(self, index: int) -> Floats:
        """The exact iBUG landmarks of a frame: (68, 2) float32, order (x, y), pixels."""
        neutral = neutral_landmarks(self.seed, self.subject)
        return self.script.motion.forward(neutral, self._position(index))

    def flow(self, source: int, target: int) -> Floats:
        """The exact flow from one frame to another: (2, 224, 224) float32, (u, v), pixels."""
        return self.script.motion.flow(self._position(source), self._position(target))

    def _position(self, index: int) -> int:
        """A frame's number from an index that may count from the end."""
        return range(len(self))[index]
