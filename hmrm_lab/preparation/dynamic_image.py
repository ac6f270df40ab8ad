"""A clip as one picture, dynamic image or MESTI, and as gray frames of one size and length.

Frames are (T, H, W), gray, uint8 or float32; pictures (H, W) float32, signed, RMS 1, or all zero.
"""

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from hmrm_lab.config.sections import PICTURE_SIDE_PX
from hmrm_lab.faces.align import FramesWithin
from hmrm_lab.records import Clip, Floats

GRAY_FORMAT = 3  # raise it when the same frames give other gray clips
PICTURE_FORMAT = 1  # raise it when the same frames give other pictures
LENGTH = 16  # frames
GRAY_SIDE_PX = 112
ROUNDING = 1e-6  # of the largest possible sum; below it are rounding errors of float32


def dynamic_image(frames: NDArray[np.generic]) -> Floats:
    """Approximate rank pooling over the running means of two frames or more (Bilen et al. 2016).

    Rank pooling seeks a picture whose product with the mean of the first t frames grows with t; one
    step of gradient descent from zero is a weighted sum of the frames.
    """
    return pool(frames, rank_weights(len(frames)))


def rank_weights(length: int) -> NDArray[np.float64]:
    """The weight of each frame, (T,): 2 (T - t + 1) - (T + 1) (H_T - H_{t-1}), t = 1..T.

    H_t is the t-th harmonic number. It is the sum of (2 i - T - 1) / i over i = t..T: frame t is
    part of the running means from the t-th on. The weights add up to zero.
    """
    time = np.arange(1, length + 1, dtype=np.float64)
    summands = (2 * time - length - 1) / time
    return summands[::-1].cumsum()[::-1]


def slope_weights(length: int) -> NDArray[np.float64]:
    """The weights without running means: 2 t - T - 1, the slope of a line through the frames."""
    return 2 * np.arange(1, length + 1, dtype=np.float64) - length - 1


def pool(frames: NDArray[np.generic], weights: NDArray[np.float64]) -> Floats:
    """Sum of weight times frame over time, divided by its root mean square.

    The first frame is subtracted before, so that the picture of a still clip is exactly zero; for
    weights that add up to zero this changes nothing else.
    """
    if frames.ndim != 3:
        raise ValueError(f"frames must be (T, H, W), gray, not {frames.shape}")
    if len(frames) < 2:
        raise ValueError(f"a picture of a clip needs two frames or more, not {len(frames)}")
    moved = frames.astype(np.float64) - frames[0].astype(np.float64)
    picture = np.tensordot(weights, moved, axes=1)
    largest = np.abs(picture).max()
    if largest <= ROUNDING * np.abs(weights).sum() * np.abs(moved).max():
        return np.zeros(picture.shape, np.float32)
    scaled = picture / largest
    return (scaled / np.sqrt(np.mean(scaled**2))).astype(np.float32)


def mesti(frames: NDArray[np.generic]) -> Floats:
    """The rise of each pixel above its own drift in mid-clip, by least squares (MESTI).

    Zero where nothing but an even drift is seen, as in two frames.
    """
    return pool(frames, hump_weights(len(frames)))


def hump_weights(length: int) -> NDArray[np.float64]:
    """The weight of each frame, (T,): 6 t (T - 1 - t) - (T - 1) (T - 2), t = 0..T-1.

    The orthogonal polynomial of degree two, turned so that mid-clip counts positive: whole
    numbers, orthogonal to a constant and to a line.
    """
    time = np.arange(length, dtype=np.float64)
    return 6 * time * (length - 1 - time) - (length - 1) * (length - 2)


def even_frames(clip: Clip, length: int, side_px: int) -> Floats:
    """The frames from onset to offset as (length, side, side), gray levels 0 to 255.

    They are taken at even distances in time and interpolated linearly. (The field's baselines use
    the temporal interpolation model of Zhou et al. 2011, a curve fitted to the frames.)
    """
    frame = cache(lambda number: gray_frame(clip, number, side_px))
    pictures = []
    for time in np.linspace(clip.onset, clip.offset, length):
        before = int(time)
        part = np.float32(time - before)
        picture = frame(before)
        if part > 0:
            picture = (1 - part) * picture + part * frame(before + 1)
        pictures.append(picture)
    return np.stack(pictures)


def gray_frame(clip: Clip, number: int, side_px: int) -> Floats:
    """One frame as (side, side), gray levels 0 to 255; the onset outside its recording."""
    frame = clip.frames[number]
    inside = clip.frames.inside() if isinstance(clip.frames, FramesWithin) else None
    if inside is not None and number != clip.onset and not inside.all():
        frame = np.where(inside[..., None], frame, clip.frames[clip.onset])
    gray = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return cv2.resize(gray, (side_px, side_px), interpolation=cv2.INTER_AREA)


def resample(clip: Clip, length: int = LENGTH, side_px: int = GRAY_SIDE_PX) -> NDArray[np.uint8]:
    """`even_frames` in whole gray levels: (length, side, side) uint8."""
    return even_frames(clip, length, side_px).round().astype(np.uint8)


def clip_pictures(clip: Clip) -> Floats:
    """The pictures of a clip in the canonical crop, (4, side, side), order `PICTURES`.

    Onset and apex are centred on their mean, dynamic image and MESTI on no change; all have RMS 1.
    """
    frames = even_frames(clip, LENGTH, PICTURE_SIDE_PX)
    onset, apex = (
        standardise(gray_frame(clip, number, PICTURE_SIDE_PX))
        for number in (clip.onset, clip.known_apex)
    )
    return np.stack([onset, apex, dynamic_image(frames), mesti(frames)]).astype(np.float32)


def standardise(picture: Floats) -> Floats:
    """Scale a picture to mean 0 and RMS 1; a uniform one becomes 0."""
    centred = picture - picture.mean()
    deviation = float(np.sqrt((centred**2).mean()))
    return np.asarray(centred / deviation if deviation > 0 else centred, dtype=np.float32)
