"""A clip as a worse camera would have seen it: more noise, and light that drifts."""

from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from hmrm_lab.records import Clip, Floats, Frames

KEPT_GRAINS = 32  # of 600 kB for a crop


@dataclass(frozen=True, eq=False)
class DisturbedFrames:
    """Frames with noise and drift upon them, each made when asked for and always the same.

    Light changes evenly from onset to offset; before and after it goes on likewise.
    """

    frames: Frames
    onset: int
    offset: int
    noise: float
    drift: float

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int, /) -> NDArray[np.uint8]:
        number = range(len(self))[index]
        gain = 1 + self.drift * (number - self.onset) / max(1, self.offset - self.onset)
        scene = self.frames[number] * np.float32(gain)
        if self.noise:
            scene += _grain(number, scene.shape) * np.float32(self.noise)
        return np.asarray(cv2.convertScaleAbs(np.maximum(scene, 0)), dtype=np.uint8)


class RememberedFrames:
    """Frames that are read or rendered once, and kept as long as this is."""

    def __init__(self, frames: Frames) -> None:
        self._frames = frames
        self._known: dict[int, NDArray[np.uint8]] = {}

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int, /) -> NDArray[np.uint8]:
        if index not in self._known:
            self._known[index] = self._frames[index]
        return self._known[index]


def remembering(clip: Clip) -> Clip:
    """The clip with frames that are kept, to be disturbed again and again."""
    return replace(clip, frames=RememberedFrames(clip.frames))


def disturbed(clip: Clip, *, noise: float = 0.0, drift: float = 0.0) -> Clip:
    """The clip with sensor noise and drifting light.

    Parameters
    ----------
    noise
        Standard deviation in 8-bit levels, of each colour by itself.
    drift
        The change of light from onset to offset, as a share: 0.03 is 3 % brighter in the end.
    """
    frames = DisturbedFrames(clip.frames, clip.onset, clip.offset, noise, drift)
    return replace(clip, frames=frames)


@lru_cache(KEPT_GRAINS)
def _grain(number: int, shape: tuple[int, ...]) -> Floats:
    rng = np.random.Generator(np.random.SFC64(number))
    return rng.standard_normal(shape, dtype=np.float32)
