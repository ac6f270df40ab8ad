"""Pairs from synthetic subjects: their faces under drawn motion, and their clips as they are."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hmrm_lab.datasets.flow_pairs import TruePair
from hmrm_lab.datasets.flow_pairs.procedural import (
    MARGIN_PX,
    SCALE,
    draw_field,
    local_bumps,
    render,
    smooth_field,
)
from hmrm_lab.datasets.synthetic.rendering import neutral_texture
from hmrm_lab.records import Clip, Floats, KnownMotion

FACE_PX = 224


def face_pictures(seed: int, subjects: Sequence[int]) -> list[Floats]:
    """The neutral pictures of synthetic subjects: each (480, 480, 3) float32, RGB in 0..255."""
    return [neutral_texture(seed, subject) for subject in subjects]


@dataclass(frozen=True)
class FacialPairs:
    """Parts of faces, as of `face_pictures`, that move a little: no layers, no large motion."""

    faces: Sequence[Floats]
    size: int = 128
    motion_px: tuple[float, float] = (0.05, 4.0)

    def __call__(self, rng: np.random.Generator) -> TruePair:
        face = self.faces[int(rng.integers(len(self.faces)))]
        peak_px = float(np.exp(rng.uniform(*np.log(self.motion_px))))
        if rng.random() < 0.5:
            count = int(rng.integers(1, 6))
            field = local_bumps(rng, self.size, peak_px, count=count, radii=(6.0, 40.0))
        else:
            field = draw_field(rng, self.size, peak_px)
        canvas = SCALE * (self.size + 2 * MARGIN_PX)
        top, left = rng.integers(0, face.shape[0] - canvas + 1, 2)
        part = face[top : top + canvas, left : left + canvas]
        part = np.ascontiguousarray(part[:, ::-1] if rng.random() < 0.5 else part)
        return render([part], [], [field])


def moved_face(face: Floats, field: Floats) -> TruePair:
    """A whole face under a field of 224 x 224 pixels."""
    wider = SCALE * MARGIN_PX - (face.shape[0] - SCALE * FACE_PX) // 2
    canvas = np.pad(face, ((wider, wider), (wider, wider), (0, 0)), mode="reflect")
    return render([canvas], [], [field])


def facial_field(rng: np.random.Generator, kind: str, peak_px: float) -> Floats:
    """A `local` or a `smooth` field over a whole face: (2, 224, 224)."""
    if kind == "local":
        count = int(rng.integers(3, 7))
        return local_bumps(rng, FACE_PX, peak_px, count=count, radii=(12.0, 32.0))
    return smooth_field(rng, FACE_PX, peak_px, grain_px=75.0)


def clip_pair(clip: Clip) -> TruePair:
    """Onset and apex of a synthetic clip before the sensor, with their exact flow."""
    frames = clip.frames
    if not isinstance(frames, KnownMotion):
        raise TypeError("only synthetic clips know their exact flow")
    onset, apex = frames.clean(clip.onset), frames.clean(clip.known_apex)
    return TruePair(onset, apex, frames.flow(clip.onset, clip.known_apex))
