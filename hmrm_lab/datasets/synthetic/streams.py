"""One stream of random numbers for each thing that is drawn, so that none depends on another."""

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """What the numbers are for."""

    GEOMETRY = 1
    LOOKS = 2
    CAST = 3
    SENSOR = 4
    HABIT = 5
    SCRIPT = 6
    BLINK = 7
    GUISE = 8


def key(seed: int, stream: Stream, *place: int) -> np.random.SeedSequence:
    """The seed of this stream for one subject, clip or frame."""
    return np.random.SeedSequence([seed, int(stream), *place])


def generator(seed: int, stream: Stream, *place: int) -> np.random.Generator:
    """The stream for one subject, clip or frame, at its start."""
    return np.random.default_rng(key(seed, stream, *place))
