"""How one person looks: traits drawn once, and the neutral picture painted from them.

The picture is a height map lit from one side (`skin`), with eyes, brows, mouth and hair painted
over it (`features`). Every frame of a subject is a warp of this one picture.
"""

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from hmrm_lab.datasets.synthetic import features, skin
from hmrm_lab.datasets.synthetic.action_units import Stream, generator
from hmrm_lab.datasets.synthetic.geometry import Floats, floats, subject_landmarks
from hmrm_lab.datasets.synthetic.painting import blend, blob, noise, region
from hmrm_lab.datasets.synthetic.recipes import Traits, draw_traits


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
