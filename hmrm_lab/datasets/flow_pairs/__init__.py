"""Pairs of frames with exact flow, and what a camera does to them."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from hmrm_lab.records import Floats


@dataclass(frozen=True, slots=True, eq=False)
class TruePair:
    """Two frames before the sensor, and where each pixel of the first one went."""

    onset: Floats  # (H, W, 3) float32, RGB in 0..255
    apex: Floats
    flow_px: Floats  # (2, H, W) float32, (u, v), pixels; NaN where it is not known


PairSource = Callable[[np.random.Generator], TruePair]
"""Draws pairs; the same generator state gives the same pair."""


def as_bytes(frame: Floats) -> NDArray[np.uint8]:
    return np.clip(np.rint(frame), 0, 255).astype(np.uint8)


def with_noise(frame: Floats, sigma: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The frame read by a sensor: Gaussian noise of `sigma` 8-bit levels per channel, rounded."""
    if sigma:
        frame = frame + rng.standard_normal(frame.shape, dtype=np.float32) * np.float32(sigma)
    return as_bytes(frame)


def degrade(
    pair: TruePair, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """What two exposures may differ in, drawn at random: light, blur and noise.

    Noise is absent in an eighth of the pairs and else log-uniform in .15..5 levels of 255; now and
    then it is the same in all channels, as in a grey camera.
    """
    frames = [pair.onset, pair.apex]
    if rng.random() < 0.3:  # another gain and offset, sometimes with a slow slope
        gain = np.exp(rng.normal(0, 0.06))
        lit = pair.apex * np.float32(gain) + np.float32(rng.normal(0, 4))
        if rng.random() < 0.4:
            height, width = lit.shape[:2]
            slope = rng.normal(0, 0.05, 2)
            rows, columns = np.linspace(-1, 1, height), np.linspace(-1, 1, width)
            shade = 1 + slope[0] * rows[:, None] + slope[1] * columns[None]
            lit = lit * shade[..., None].astype(np.float32)
        frames[1] = np.clip(lit, 0, 255)
    if rng.random() < 0.15:
        sigma = float(rng.uniform(0.4, 1.2))
        frames = [cv2.GaussianBlur(frame, (0, 0), sigma) for frame in frames]
    noisy, grey = rng.random() > 0.12, rng.random() < 0.2
    sigma = float(np.exp(rng.uniform(np.log(0.15), np.log(5.0)))) if noisy else 0.0
    if grey and noisy:
        grains = rng.standard_normal((2, *pair.onset.shape[:2], 1), dtype=np.float32)
        frames = [frame + grain * sigma for frame, grain in zip(frames, grains, strict=True)]
        sigma = 0.0
    return with_noise(frames[0], sigma, rng), with_noise(frames[1], sigma, rng)
