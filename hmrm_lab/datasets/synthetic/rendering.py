"""Frames made when asked for: the neutral picture, warped, lit and read by a noisy sensor."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from hmrm_lab.datasets.synthetic.action_units import Stream, key
from hmrm_lab.datasets.synthetic.appearance import neutral_landmarks, neutral_texture
from hmrm_lab.datasets.synthetic.geometry import Floats
from hmrm_lab.datasets.synthetic.painting import MARGIN_PX, SCALE
from hmrm_lab.datasets.synthetic.recipes import Script

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
