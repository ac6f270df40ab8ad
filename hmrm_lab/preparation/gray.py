"""Clips as gray pictures of one size and one length, for systems that look at all frames.

A clip runs from onset to offset. Its frames are taken at even distances in time; between two
frames of the recording they are interpolated linearly. (The field's baselines use the temporal
interpolation model of Zhou et al. 2011, which moves along a curve fitted to the frames.)
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from hmrm_lab.faces.align import FramesWithin
from hmrm_lab.records import Clip, Floats

GRAY_FORMAT = 3  # raise it when the same frames give other clips
LENGTH = 16  # frames
GRAY_SIDE_PX = 112

Gray = NDArray[np.uint8]


def even_frames(clip: Clip, length: int, side_px: int) -> Floats:
    """The frames from onset to offset as (length, side, side), gray levels 0 to 255."""
    times = np.linspace(clip.onset, clip.offset, length)
    known: dict[int, Floats] = {}

    def frame(number: int) -> Floats:
        if number not in known:
            known[number] = gray_frame(clip, number, side_px)
        return known[number]

    pictures = []
    for time in times:
        before = int(time)
        part = np.float32(time - before)
        picture = frame(before)
        if part > 0:
            picture = (1 - part) * picture + part * frame(before + 1)
        pictures.append(picture)
    return np.stack(pictures)


def gray_frame(clip: Clip, number: int, side_px: int) -> Floats:
    """One frame as (side, side), gray levels 0 to 255; beyond its recording nothing moves."""
    frame = clip.frames[number]
    inside = clip.frames.inside() if isinstance(clip.frames, FramesWithin) else None
    if inside is not None and number != clip.onset and not inside.all():
        frame = np.where(inside[..., None], frame, clip.frames[clip.onset])
    gray = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32)
    small = cv2.resize(gray, (side_px, side_px), interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.float32)


def resample(clip: Clip, length: int = LENGTH, side_px: int = GRAY_SIDE_PX) -> Gray:
    """`even_frames` in whole gray levels: (length, side, side) uint8."""
    return even_frames(clip, length, side_px).round().astype(np.uint8)
